"""Entries of the forwarding log <-> the values of this gateway's table."""

from collections.abc import Iterable
from ipaddress import IPv4Address
from uuid import UUID

import structlog

from services.common.addressing import address_of, collapsed, family, is_one_family, network_of
from services.gateway_agent.desired import REMOVED, Content, Versioned, Withheld
from services.gateway_agent.facts import Fact, Presence
from services.gateway_agent.table import (
    Attachment,
    Backend,
    Endpoint,
    Entry,
    Key,
    Kind,
    Network,
    Resolver,
    Service,
    everybody,
)
from services.gateway_agent.wire_protocols import mapping_of, mapping_to_proto
from services.gateway_agent.wire_resolvers import names_of, resolver_of, resolver_to_proto
from services.gateway_agent.wire_routes import route_to_proto, routes_of
from services.gateway_agent.wire_settings import fill_settings, with_settings
from services.gateway_agent.wire_targets import attachment_to_proto, target_of
from sidegate.api.events.v1 import endpoint_events_pb2, forwarding_pb2
from sidegate.api.gateway.v1 import gateway_service_pb2

MAX_REASON = 300
MAX_WEIGHT = 100
MOST_SOURCES = 64

NO_LEASE = Withheld("this gateway has no source address for it yet")
MALFORMED = Withheld("this gateway does not understand what it was told")

_PRESENCES = {
    Presence.FORWARDING: gateway_service_pb2.EndpointReport.PRESENCE_FORWARDING,
    Presence.ABSENT: gateway_service_pb2.EndpointReport.PRESENCE_ABSENT,
    Presence.HINDERED: gateway_service_pb2.EndpointReport.PRESENCE_HINDERED,
}

log = structlog.get_logger(__name__)


def news_of_event(data: bytes, gateway: str) -> Versioned | None:
    """What an event of the cell's log changes for a gateway; None for one that is not about forwarding."""
    event = endpoint_events_pb2.EndpointEvent.FromString(data)
    return news_of(event.forwarding, gateway) if event.HasField("forwarding") else None


def news_of(entry: forwarding_pb2.ForwardingEntry, gateway: str) -> Versioned | None:
    """What an entry tells a gateway; None for a kind of entries that is newer than this program."""
    match entry.WhichOneof("entry"):
        case "attachment":
            key, version = Key(Kind.ATTACHMENT, entry.attachment.vpc_id), entry.attachment.version
        case "service":
            key, version = Key(Kind.SERVICE, entry.service.service_id), entry.service.version
        case "endpoint":
            key, version = Key(Kind.ENDPOINT, entry.endpoint.endpoint_id), entry.endpoint.generation
        case "resolver":
            key, version = Key(Kind.RESOLVER, entry.resolver.vpc_id), entry.resolver.version
        case None:
            return None
    if not _is_id(key.id):
        log.error("an entry of the forwarding log has no id", kind=key.kind, id=key.id)
        return None
    return Versioned(
        key, version, _content(entry, key, gateway), _lease(entry, gateway), names_of(entry.endpoint.dns_names)
    )


def _lease(entry: forwarding_pb2.ForwardingEntry, gateway: str) -> str:
    return "" if _is_gone(entry.endpoint) else _lease_of(entry.endpoint, gateway)


def _is_gone(told: forwarding_pb2.EndpointForwarding) -> bool:
    return told.removed and not told.draining_until


def _lease_of(told: forwarding_pb2.EndpointForwarding, gateway: str) -> str:
    return next(iter(_leases_of(told, gateway)), "")


def _leases_of(told: forwarding_pb2.EndpointForwarding, gateway: str) -> tuple[str, ...]:
    """Each once, the first of them first; of more than there can be here, as many as can."""
    return tuple(dict.fromkeys(lease.address for lease in told.sources if lease.gateway_id == gateway))[:MOST_SOURCES]


def _content(entry: forwarding_pb2.ForwardingEntry, key: Key, gateway: str) -> Content:
    """What cannot be understood is not forwarded, and takes the place of what was there before."""
    try:
        match key.kind:
            case Kind.ATTACHMENT:
                return _attachment(entry.attachment)
            case Kind.SERVICE:
                return _service(entry.service)
            case Kind.ENDPOINT:
                return _endpoint(entry.endpoint, gateway)
            case Kind.RESOLVER:
                return _resolver(entry.resolver)
    except ValueError as error:
        log.error("cannot forward an entry that is malformed", kind=key.kind, id=key.id, why=str(error))
        return MALFORMED


def _attachment(told: forwarding_pb2.AttachmentForwarding) -> Content:
    if told.removed:
        return REMOVED
    return Attachment(_id(told.vpc_id), target_of(told))


def _service(told: forwarding_pb2.ServiceForwarding) -> Content:
    if told.removed:
        return REMOVED
    ports = sorted({mapping_of(mapping) for mapping in told.port_mappings})
    backends = [_backend(each) for each in told.weighted_backends] or [
        Backend(address_of(address)) for address in told.backends
    ]
    if not is_one_family(backend.address for backend in backends):
        raise ValueError("its backends are of both IP versions")
    once = {backend.address: backend for backend in backends}
    plain = Service(_id(told.service_id), _id(told.vpc_id), tuple(ports), tuple(once.values()))
    return with_settings(plain, told)


def _backend(told: forwarding_pb2.BackendForwarding) -> Backend:
    if not 0 < told.weight <= MAX_WEIGHT:
        raise ValueError(f"weight {told.weight} of backend {told.address} is outside 1 to {MAX_WEIGHT}")
    return Backend(address_of(told.address), told.weight, told.draining)


def _endpoint(told: forwarding_pb2.EndpointForwarding, gateway: str) -> Content:
    if _is_gone(told):
        return REMOVED
    if told.draining_until < 0:
        raise ValueError(f"draining until {told.draining_until} is before there were gateways")
    if not (sources := tuple(map(IPv4Address, _leases_of(told, gateway)))):
        return NO_LEASE
    routes = routes_of(told.routes)
    address = routes[0].prefix.network_address if routes else address_of(told.address)
    return Endpoint(
        id=_id(told.endpoint_id),
        marker=told.marker_id,
        vpc=_id(told.vpc_id),
        address=address,
        service=_id(told.service_id),
        source_address=sources[0],
        admission=told.admission,
        allowed=_networks(told.allowed_cidrs, address.version),
        draining_until=told.draining_until,
        more_sources=sources[1:],
        routes=routes,
    )


def _resolver(told: forwarding_pb2.ResolverForwarding) -> Content:
    return REMOVED if told.removed else resolver_of(told, _id(told.vpc_id))


def _networks(cidrs: Iterable[str], version: int) -> tuple[Network, ...]:
    """One form for each set of addresses, so that tables can be compared."""
    networks = [network_of(cidr, strict=False) for cidr in cidrs]
    if any(network.version != version for network in networks):
        raise ValueError(f"its address is {family(version)}, and of its whitelist not all is")
    return collapsed(networks) or everybody(version)


def _id(text: str) -> str:
    if not _is_id(text):
        raise ValueError(f"{text!r} is no UUID in its usual form")
    return text


def _is_id(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


def entry_to_proto(entry: Entry | Resolver, gateway: str) -> forwarding_pb2.ForwardingEntry:
    """The entry as this gateway forwards it, without versions."""
    match entry:
        case Attachment(vpc, target):
            return forwarding_pb2.ForwardingEntry(attachment=attachment_to_proto(vpc, target))
        case Service():
            return forwarding_pb2.ForwardingEntry(service=_service_to_proto(entry))
        case Endpoint():
            return forwarding_pb2.ForwardingEntry(endpoint=_endpoint_to_proto(entry, gateway))
        case Resolver():
            return forwarding_pb2.ForwardingEntry(resolver=resolver_to_proto(entry))


def _service_to_proto(service: Service) -> forwarding_pb2.ServiceForwarding:
    told = forwarding_pb2.ServiceForwarding(
        service_id=service.id,
        vpc_id=service.vpc,
        backends=(str(backend.address) for backend in service.backends if not backend.draining),
        weighted_backends=(
            forwarding_pb2.BackendForwarding(
                address=str(backend.address), weight=backend.weight, draining=backend.draining
            )
            for backend in service.backends
        ),
        port_mappings=map(mapping_to_proto, service.ports),
    )
    fill_settings(told, service)
    return told


def _endpoint_to_proto(endpoint: Endpoint, gateway: str) -> forwarding_pb2.EndpointForwarding:
    addresses = (endpoint.source_address, *endpoint.more_sources)
    return forwarding_pb2.EndpointForwarding(
        endpoint_id=endpoint.id,
        marker_id=endpoint.marker,
        vpc_id=endpoint.vpc,
        address="" if endpoint.routes else str(endpoint.address),
        service_id=endpoint.service,
        allowed_cidrs=() if endpoint.allowed == everybody(endpoint.address.version) else map(str, endpoint.allowed),
        admission=endpoint.admission,
        sources=(forwarding_pb2.SourceLease(gateway_id=gateway, address=str(each)) for each in addresses),
        removed=endpoint.draining_until > 0,
        draining_until=endpoint.draining_until,
        routes=map(route_to_proto, endpoint.routes),
    )


def fact_to_proto(fact: Fact) -> gateway_service_pb2.EndpointReport:
    return gateway_service_pb2.EndpointReport(
        endpoint_id=fact.endpoint,
        generation=fact.generation,
        presence=_PRESENCES[fact.presence],
        reason=fact.reason[:MAX_REASON],
        sources_wanted=fact.sources_wanted,
    )
