"""From the graph to nodes and lines: what is drawn, before anybody says it in words. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from types import MappingProxyType

from sidegate.topology.graph import Backend, Cell, Connection, Endpoint, Graph, Service, Tone, Vpc

WORST = (Tone.PLAIN, Tone.GOOD, Tone.WAITING, Tone.BAD)
SHORT_ID = 8


@dataclass(frozen=True, slots=True)
class Node:
    """A thing, or `count` of them. `of` is its id in the contract; `service` and `vpc` are those that it belongs to.

    Kinds: vpc, subnet, machine, address, outside, endpoint, remote (an endpoint of another account), service, foreign
    (a service of another account), attachment, cell, gateway.
    """

    id: str
    kind: str
    name: str = ""
    parent: str = ""
    about: tuple[str, ...] = ()
    owner: str = ""
    state: str = ""
    tone: Tone = Tone.PLAIN
    reason: str = ""
    of: str = ""
    service: str = ""
    vpc: str = ""
    count: int = 1


@dataclass(frozen=True, slots=True)
class Line:
    """What leads from a node to another, or `count` of such. Kinds: connection, backend, outside, attachment.

    `traffic` is in bytes per second.
    """

    id: str
    kind: str
    tail: str
    head: str
    state: str = ""
    tone: Tone = Tone.PLAIN
    reason: str = ""
    count: int = 1
    traffic: float = 0


@dataclass(frozen=True, slots=True)
class Picture:
    """Nodes come after their parents."""

    nodes: tuple[Node, ...] = ()
    lines: tuple[Line, ...] = ()


def worst(tones: Sequence[Tone]) -> Tone:
    return max(tones, key=WORST.index, default=Tone.PLAIN)


NOTHING: Mapping[str, float] = MappingProxyType({})


def of(graph: Graph, traffic: Mapping[str, float] = NOTHING) -> Picture:
    """`traffic` is by endpoint."""
    return _Drawing(graph, traffic).picture()


@dataclass
class _Drawing:
    graph: Graph
    traffic: Mapping[str, float]
    vpcs: set[str] = field(init=False)
    subnets: set[str] = field(init=False)
    health: dict[str, list[Backend]] = field(init=False)

    def __post_init__(self) -> None:
        self.vpcs = {vpc.id for vpc in self.graph.vpcs}
        self.subnets = {subnet.id for vpc in self.graph.vpcs for subnet in vpc.subnets}
        self.health = {}
        for service in self.graph.services:
            for backend in service.backends:
                self.health.setdefault(_place(service, backend), []).append(backend)

    def picture(self) -> Picture:
        graph = self.graph
        nodes = [*chain.from_iterable(map(self._vpc, graph.vpcs)), *map(self._service, graph.services)]
        nodes += map(self._endpoint, graph.endpoints)
        nodes += chain.from_iterable(map(_cell, graph.cells))
        nodes += self._remote()
        lines = [*map(self._connection, graph.connections), *chain.from_iterable(map(_backends, graph.services))]
        nodes += _outside(graph.endpoints)
        lines += chain.from_iterable(map(_from_outside, graph.endpoints))
        lines += [
            Line(f"attached:{each.id}", "attachment", f"attachment:{each.id}", f"cell:{each.cell}")
            for vpc in graph.vpcs
            for each in vpc.attachments
        ]
        return _whole(nodes, lines)

    def _vpc(self, vpc: Vpc) -> Iterator[Node]:
        """Whose it is stands at its name where whoever looks is another: many are called alike."""
        here, name = f"vpc:{vpc.id}", vpc.name if vpc.owner == self.graph.viewer else f"{vpc.name} ({vpc.owner})"
        yield Node(here, "vpc", name, about=vpc.cidrs, owner=vpc.owner, of=vpc.id, vpc=vpc.id)
        for subnet in vpc.subnets:
            inside = f"subnet:{subnet.id}"
            yield Node(inside, "subnet", subnet.name, here, (subnet.cidr,), of=subnet.id, vpc=vpc.id)
            for port in subnet.ports:
                there = f"machine:{port.id}"
                state, tone, reason = self._healthy(there)
                yield Node(
                    there, "machine", port.name, inside, (port.address,), "", state, tone, reason, port.id, vpc=vpc.id
                )
        for address in vpc.others:
            there = f"address:{vpc.id}:{address}"
            state, tone, reason = self._healthy(there)
            yield Node(there, "address", address, here, (), "", state, tone, reason, vpc=vpc.id)
        for each in vpc.attachments:
            yield Node(f"attachment:{each.id}", "attachment", each.target, here, of=each.id, vpc=vpc.id)

    def _healthy(self, place: str) -> tuple[str, Tone, str]:
        """How a backend is: as the service that finds it worst says."""
        found = max(self.health.get(place, ()), key=lambda each: WORST.index(each.tone), default=None)
        return (found.health, found.tone, found.reason) if found else ("", Tone.PLAIN, "")

    def _service(self, service: Service) -> Node:
        parent = f"vpc:{service.vpc_id}" if service.vpc_id in self.vpcs else ""
        kind = "service" if service.owner else "foreign"
        about = tuple(filter(None, (" ".join(service.ports), service.private_name)))
        return Node(
            f"service:{service.id}",
            kind,
            service.name,
            parent,
            about,
            service.owner,
            service.state,
            service.tone,
            of=service.id,
            service=service.id,
            vpc=service.vpc_id,
        )

    def _endpoint(self, endpoint: Endpoint) -> Node:
        parent = f"subnet:{endpoint.subnet_id}" if endpoint.subnet_id in self.subnets else f"vpc:{endpoint.vpc_id}"
        return Node(
            f"endpoint:{endpoint.id}",
            "endpoint",
            endpoint.name or endpoint.id[:SHORT_ID],
            parent if endpoint.vpc_id in self.vpcs else "",
            tuple(filter(None, (endpoint.address or ", ".join(endpoint.public_prefixes),))),
            endpoint.owner,
            endpoint.state,
            endpoint.tone,
            endpoint.reason,
            endpoint.id,
            endpoint.service_id,
            endpoint.vpc_id,
        )

    def _connection(self, found: Connection) -> Line:
        ends = (f"endpoint:{found.endpoint_id}", f"service:{found.service_id}")
        traffic = self.traffic.get(found.endpoint_id, 0)
        return Line(
            f"connection:{found.endpoint_id}", "connection", *ends, found.state, found.tone, found.reason, 1, traffic
        )

    def _remote(self) -> Iterator[Node]:
        known = {each.id for each in self.graph.endpoints}
        for each in self.graph.connections:
            if each.endpoint_id not in known:
                yield Node(
                    f"endpoint:{each.endpoint_id}",
                    "remote",
                    each.account or each.endpoint_id[:SHORT_ID],
                    about=(str(each.marker),) if each.marker else (),
                    owner=each.account,
                    state=each.state,
                    tone=each.tone,
                    reason=each.reason,
                    of=each.endpoint_id,
                    service=each.service_id,
                )


def _cell(cell: Cell) -> Iterator[Node]:
    yield Node(f"cell:{cell.name}", "cell", cell.name, of=cell.name)
    for each in cell.gateways:
        yield Node(
            f"gateway:{cell.name}:{each.id}", "gateway", each.id, f"cell:{cell.name}", (), "", each.state, each.tone
        )


def _place(service: Service, backend: Backend) -> str:
    return f"machine:{backend.port_id}" if backend.port_id else f"address:{service.vpc_id}:{backend.address}"


def _backends(service: Service) -> Iterator[Line]:
    for each in service.backends:
        place, state = _place(service, each), "draining" if each.draining else each.health
        yield Line(
            f"backend:{service.id}:{place}", "backend", f"service:{service.id}", place, state, each.tone, each.reason
        )


def _outside(endpoints: Sequence[Endpoint]) -> Iterator[Node]:
    seen = {(each.vpc_id, cidr) for each in endpoints for cidr in each.outside}
    for vpc, cidr in sorted(seen):
        yield Node(f"outside:{vpc}:{cidr}", "outside", cidr, vpc=vpc)


def _from_outside(endpoint: Endpoint) -> Iterator[Line]:
    for cidr in endpoint.outside:
        tail = f"outside:{endpoint.vpc_id}:{cidr}"
        yield Line(f"{tail}:{endpoint.id}", "outside", tail, f"endpoint:{endpoint.id}")


def _whole(nodes: Sequence[Node], lines: Sequence[Line]) -> Picture:
    """Lines lead only to what is there, and nothing is there twice."""
    by_id = {node.id: node for node in nodes}
    return Picture(
        tuple(by_id.values()),
        tuple({line.id: line for line in lines if line.tail in by_id and line.head in by_id}.values()),
    )
