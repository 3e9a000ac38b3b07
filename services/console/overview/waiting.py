"""What waits for somebody: to be decided, or to be put right. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from google.protobuf.timestamp_pb2 import Timestamp

from sidegate.api.endpoint.v1.endpoint_pb2 import ConnectionState, Endpoint
from sidegate.api.registry.v1.endpoint_service_pb2 import EndpointService
from sidegate.api.registry.v1.quota_pb2 import Quota
from sidegate.topology.gather import Seen
from sidegate.topology.graph import Graph, Tone

PENDING = ConnectionState.CONNECTION_STATE_PENDING_ACCEPTANCE
ACCEPTED = ConnectionState.CONNECTION_STATE_ACCEPTED
NEARLY = 0.8
"""Of a quota, from when it is said."""


@dataclass(frozen=True, slots=True)
class Request:
    """An endpoint that its service's owner has to accept or reject."""

    service: str
    service_name: str
    endpoint: str
    account: str
    marker: int
    at: Timestamp
    etag: str


@dataclass(frozen=True, slots=True)
class Backend:
    """One that does not answer. `service` is empty where the reader may not open it."""

    service: str
    service_name: str
    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Blocked:
    """An endpoint through which no packet passes, though nobody has to decide anything."""

    endpoint: str
    name: str
    service_name: str
    state: str
    reason: str


@dataclass(frozen=True, slots=True)
class Doubt:
    """A condition of what works otherwise: `kind` is sources or dns of an endpoint, or name of a service."""

    kind: str
    of: str
    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Nearly:
    """A quota that is nearly used up: `kind` is service or endpoint."""

    kind: str
    used: int
    limit: int


@dataclass(frozen=True, slots=True)
class Silent:
    """A gateway that is lost, or does not have all yet."""

    gateway: str
    cell: str
    state: str


@dataclass(frozen=True, slots=True)
class Waiting:
    requests: Sequence[Request] = ()
    backends: Sequence[Backend] = ()
    blocked: Sequence[Blocked] = ()
    doubts: Sequence[Doubt] = ()
    quotas: Sequence[Nearly] = ()
    gateways: Sequence[Silent] = ()

    @property
    def total(self) -> int:
        return sum(map(len, (self.requests, self.backends, self.blocked, self.doubts, self.quotas, self.gateways)))


def waiting(graph: Graph, seen: Seen, quotas: Mapping[str, Quota]) -> Waiting:
    return Waiting(
        tuple(_requests(graph, seen)),
        tuple(_backends(graph)),
        tuple(_blocked(graph)),
        tuple(_doubts(seen)),
        tuple(_nearly(quotas)),
        tuple(_silent(graph)),
    )


def _requests(graph: Graph, seen: Seen) -> Iterator[Request]:
    """Those that have waited longest first."""
    names = {each.id: each.name for each in graph.services}
    pending = [each for each in seen.connections if each.state == PENDING]
    for each in sorted(pending, key=lambda found: (found.create_time.ToNanoseconds(), found.endpoint_id)):
        name = names.get(each.service_id, each.service_id)
        yield Request(
            each.service_id, name, each.endpoint_id, each.account, each.marker_id, each.create_time, each.etag
        )


def _backends(graph: Graph) -> Iterator[Backend]:
    ports = {port.id: port.name for vpc in graph.vpcs for subnet in vpc.subnets for port in subnet.ports}
    for service in graph.services:
        for each in service.backends:
            if each.tone == Tone.BAD:
                name = " ".join(filter(None, (ports.get(each.port_id, ""), each.address)))
                yield Backend(service.id, service.name, name, each.reason)


def _blocked(graph: Graph) -> Iterator[Blocked]:
    names = {each.id: each.name for each in graph.services}
    for each in graph.endpoints:
        if each.tone == Tone.BAD and each.state != "deleted":
            name = names.get(each.service_id, each.service_id)
            yield Blocked(each.id, each.name or each.id, name, each.state, each.reason)


def _doubts(seen: Seen) -> Iterator[Doubt]:
    for each in seen.endpoints:
        if each.state == ACCEPTED:
            yield from _of_endpoint(each)
    for service in seen.services:
        name = service.private_name
        if name.name and name.state != name.STATE_VERIFIED and service.state == EndpointService.STATE_AVAILABLE:
            yield Doubt("name", service.id, service.name or service.id, name.name)


def _of_endpoint(endpoint: Endpoint) -> Iterator[Doubt]:
    name = endpoint.name or endpoint.id
    if endpoint.HasField("sources") and not endpoint.sources.status:
        yield Doubt("sources", endpoint.id, name, endpoint.sources.reason)
    if endpoint.HasField("dns") and not endpoint.dns.status:
        yield Doubt("dns", endpoint.id, name, endpoint.dns.reason)


def _nearly(quotas: Mapping[str, Quota]) -> Iterator[Nearly]:
    for kind, quota in quotas.items():
        if quota.limit >= 0 and quota.used >= NEARLY * quota.limit and quota.limit:
            yield Nearly(kind, quota.used, quota.limit)


def _silent(graph: Graph) -> Iterator[Silent]:
    for cell in graph.cells:
        for each in cell.gateways:
            if each.tone != Tone.GOOD:
                yield Silent(each.id, cell.name, each.state)
