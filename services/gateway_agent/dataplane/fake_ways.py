"""Where a new session of the fake data plane goes, and what its backend sees of it: the rules of bpf/table.h."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from services.gateway_agent.dataplane.entries import Entries
from services.gateway_agent.dataplane.fake_sessions import Session
from services.gateway_agent.dataplane.maps import Counter
from services.gateway_agent.table import Address, ClientIdentity, Endpoint, PortMapping, Protocol, Service, seen_as


class Way(NamedTuple):
    """To backends of this service, at this mapping's server port; what is refused where it has none."""

    service: Service
    mapping: PortMapping
    identity: ClientIdentity  # PROXY where it goes to one
    without_backend: Counter


def mapping_of(service: Service, protocol: Protocol, port: int) -> PortMapping | None:
    return next((each for each in service.ports if (each.protocol, each.client_port) == (protocol, port)), None)


def way_of(entries: Entries, endpoint: Endpoint, service: Service, mapping: PortMapping) -> Way | None:
    """Of a session to a port of the endpoint's service; None where it should have a proxy and has none."""
    if mapping.identity is not ClientIdentity.PROXY or endpoint.proxy == service.id:
        identity = ClientIdentity.TOA if mapping.identity is ClientIdentity.TOA else ClientIdentity.NONE
        return Way(service, mapping, identity, Counter.REFUSED_NO_BACKEND)
    proxy = entries.service(endpoint.proxy)
    own = mapping_of(proxy, mapping.protocol, mapping.client_port) if proxy else None
    return Way(proxy, own, mapping.identity, Counter.REFUSED_NO_PROXY) if proxy and own else None


def is_told_otherwise(session: Session, endpoint: Endpoint, service: Service) -> bool:
    """Whether backends learn of clients of its port what the session does not tell, since it began before."""
    mapping = mapping_of(service, session.consumer.protocol, session.consumer.destination_port)
    if mapping is None or (mapping.identity is ClientIdentity.PROXY and endpoint.proxy == service.id):
        return False
    return mapping.identity not in {ClientIdentity.NONE, session.identity}


def sources(
    endpoint: Endpoint, service: Service, client: tuple[Address, int], ports: Sequence[int], hash_: int
) -> Iterator[tuple[Address, int]]:
    """What backends may see, in the order in which it is tried; which of several addresses is first is by the hash."""
    if service.keeps_source:
        yield client
        return
    leased = (endpoint.source_address, *endpoint.more_sources)
    first = hash_ % len(leased)
    for each in leased[first:] + leased[:first]:
        for port in ports:
            yield seen_as(each, client[0].version), port
