"""The graph for terminals: a tree of each VPC, and at its leaves what leads where."""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.text import Text
from rich.tree import Tree

from sidegate.topology import saying
from sidegate.topology.clean import line
from sidegate.topology.graph import MEANINGS, Connection, Endpoint, Graph, Service, Subnet, Tone, Vpc

STYLES = {Tone.GOOD: "green", Tone.WAITING: "yellow", Tone.BAD: "red", Tone.PLAIN: ""}
MARKS = {Tone.GOOD: "●", Tone.WAITING: "◐", Tone.BAD: "✗", Tone.PLAIN: "·"}
NOTHING = "nothing is there yet: `sidegate vpc create NAME --cidr CIDR` makes the first VPC"


def render(graph: Graph) -> RenderableType:
    drawing = _Drawing(graph)
    parts = [*drawing.parts()]
    parts = parts if graph.vpcs or graph.services else [Text(NOTHING), *parts]
    return Group(*(each for part in parts for each in (part, "")), legend())


def legend() -> Text:
    said = Text("legend: ", "bold")
    for place, (tone, meaning) in enumerate(MEANINGS.items()):
        said.append(f"{', ' * bool(place)}{MARKS[tone]} ", STYLES[tone]).append(meaning)
    return said


class _Drawing:
    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._services = {each.id: each for each in graph.services}
        self._endpoints = {each.id: each for each in graph.endpoints}
        self._connections = {each.endpoint_id: each for each in graph.connections}
        self._vpcs = {each.id: each for each in graph.vpcs}
        self._ports = {port.id: port for vpc in graph.vpcs for subnet in vpc.subnets for port in subnet.ports}

    def parts(self) -> Iterator[RenderableType]:
        yield from map(self._vpc, self._graph.vpcs)
        others = [each for each in self._graph.services if each.vpc_id not in self._vpcs]
        if others:
            tree = Tree(Text("services of others", "bold"))
            for each in others:
                tree.add(_said(each.tone, *_lines(*saying.service(each))))
            yield tree
        if self._graph.cells:
            yield self._cells()

    def _vpc(self, vpc: Vpc) -> Tree:
        title, below = saying.vpc(vpc)
        tree = Tree(Text.assemble((line(title), "bold"), f"  {line(below)}"))
        for subnet in vpc.subnets:
            self._subnet(tree, subnet, vpc)
        known = {subnet.id for subnet in vpc.subnets}
        for endpoint in self._graph.endpoints:
            if endpoint.vpc_id == vpc.id and endpoint.subnet_id not in known:
                tree.add(self._endpoint(endpoint))
        for service in self._graph.services:
            if service.vpc_id == vpc.id:
                self._service(tree, service)
        for attachment in vpc.attachments:
            tree.add(_said(Tone.PLAIN, "attached by", saying.attachment(attachment)))
        return tree

    def _subnet(self, tree: Tree, subnet: Subnet, vpc: Vpc) -> None:
        branch = tree.add(line(saying.subnet(subnet)))
        for port in subnet.ports:
            branch.add(_said(Tone.PLAIN, port.name, port.address))
        for endpoint in self._graph.endpoints:
            if (endpoint.vpc_id, endpoint.subnet_id) == (vpc.id, subnet.id):
                branch.add(self._endpoint(endpoint))

    def _endpoint(self, endpoint: Endpoint) -> Text:
        """endpoint web 10.0.0.2 ──▶ service web of payments  accepted, 2 of 3 backends"""
        title, lines = saying.endpoint(endpoint)
        service, connection = self._services.get(endpoint.service_id), self._connections.get(endpoint.id)
        there = service.name if service else endpoint.service_id
        said = _said(endpoint.tone, title, *lines)
        said.append(f" ──▶ {line(there)}", "bold")
        state = saying.connection(connection) if connection else (endpoint.state,)
        return said.append(f"  {', '.join(map(line, state))}", STYLES[endpoint.tone])

    def _service(self, tree: Tree, service: Service) -> None:
        branch = tree.add(_said(service.tone, *_lines(*saying.service(service))))
        for backend in service.backends:
            port = self._ports.get(backend.port_id)
            said = (f"──▶ {backend.address}", port.name if port else "", saying.backend(backend))
            branch.add(_said(backend.tone, *filter(None, said)))
        for connection in self._graph.connections:
            if connection.service_id == service.id:
                branch.add(self._incoming(connection))

    def _incoming(self, connection: Connection) -> Text:
        endpoint = self._endpoints.get(connection.endpoint_id)
        name = endpoint.name if endpoint and endpoint.name else connection.endpoint_id[: saying.SHORT_ID]
        whose = endpoint.owner if endpoint else f"account {connection.account}"
        return _said(connection.tone, f"◀── endpoint {name} of {whose}", *saying.connection(connection))

    def _cells(self) -> Tree:
        tree = Tree(Text("cells", "bold"))
        for cell in self._graph.cells:
            branch = tree.add(line(f"cell {cell.name}"))
            for gateway in cell.gateways:
                branch.add(_said(gateway.tone, f"gateway {gateway.id}", gateway.state))
        return tree


def _lines(title: str, lines: tuple[str, ...]) -> tuple[str, ...]:
    return title, *lines


def _said(tone: Tone, *words: str) -> Text:
    text = Text(f"{MARKS[tone]} ", STYLES[tone])
    return text.append("  ".join(map(line, words)))
