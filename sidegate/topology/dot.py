"""The graph as source for Graphviz: a box for each VPC, clients on the left, backends on the right."""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain

from sidegate.topology import saying
from sidegate.topology.clean import markup, quoted
from sidegate.topology.graph import MEANINGS, Cell, Connection, Endpoint, Graph, Port, Service, Subnet, Tone, Vpc

COLOURS = {Tone.GOOD: "#1a7f37", Tone.WAITING: "#9a6700", Tone.BAD: "#cf222e", Tone.PLAIN: "#59636e"}
LINES = {Tone.GOOD: "solid", Tone.WAITING: "dashed", Tone.BAD: "dotted", Tone.PLAIN: "solid"}
"""Colours say it to most people, lines to everybody."""

MOST_MACHINES = 8
"""Machines of a subnet that are drawn each for itself, beside those that are backends."""

HEAD = (
    "digraph sidegate {",
    "  graph [rankdir=LR, compound=true, bgcolor=transparent, pad=0.3, nodesep=0.22, ranksep=0.9, "
    'fontname="Helvetica", fontsize=12, fontcolor="#1f2328"]',
    '  node [shape=box, fontname="Helvetica", fontsize=11, fontcolor="#1f2328", color="#59636e", margin="0.12,0.06"]',
    '  edge [fontname="Helvetica", fontsize=10, color="#59636e", arrowsize=0.8]',
)


def source(graph: Graph) -> str:
    """DOT. Nothing of a name's is more than text in it."""
    drawing = _Drawing(graph)
    return "\n".join([*HEAD, *(f"  {line}" for line in drawing.lines()), "}"]) + "\n"


class _Drawing:
    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._vpcs = {each.id for each in graph.vpcs}
        self._busy = {backend.port_id for service in graph.services for backend in service.backends}
        self._endpoints = {each.id: each for each in graph.endpoints}
        self._services = {each.id for each in graph.services}

    def lines(self) -> Iterator[str]:
        graph = self._graph
        for vpc in graph.vpcs:
            yield from self._vpc(vpc)
        for endpoint in graph.endpoints:
            if endpoint.vpc_id not in self._vpcs:
                yield _endpoint(endpoint)
        for service in graph.services:
            if service.vpc_id not in self._vpcs:
                yield _service(service)
        yield from chain.from_iterable(map(self._cell, graph.cells))
        yield from chain.from_iterable(map(self._clients, graph.endpoints))
        yield from chain.from_iterable(map(self._connection, graph.connections))
        yield from chain.from_iterable(map(_backends, graph.services))
        yield from _legend()

    def _vpc(self, vpc: Vpc) -> Iterator[str]:
        title, below = saying.vpc(vpc)
        yield f"subgraph {quoted(f'cluster_{vpc.id}')} {{"
        yield f'label={_label(title, [below])}; labeljust=l; class="vpc"; color="#59636e"; style=rounded'
        for subnet in vpc.subnets:
            yield from self._subnet(subnet, vpc)
        known = {subnet.id for subnet in vpc.subnets}
        yield from map(_endpoint, self._of(vpc, lambda each: each.subnet_id not in known))
        yield from (_service(each) for each in self._graph.services if each.vpc_id == vpc.id)
        for address in vpc.others:
            yield _node(f"address:{vpc.id}:{address}", address, [], shape="box", tone=Tone.PLAIN)
        for each in vpc.attachments:
            yield _node(f"attachment:{each.id}", "", [saying.attachment(each)], shape="plaintext", tone=Tone.PLAIN)
        if not (vpc.subnets or vpc.attachments):
            yield _nothing(vpc.id)
        yield "}"

    def _of(self, vpc: Vpc, fits: Callable[[Endpoint], bool]) -> Sequence[Endpoint]:
        return [each for each in self._graph.endpoints if each.vpc_id == vpc.id and fits(each)]

    def _subnet(self, subnet: Subnet, vpc: Vpc) -> Iterator[str]:
        yield f"subgraph {quoted(f'cluster_{subnet.id}')} {{"
        yield f'label={_label(saying.subnet(subnet), [])}; class="subnet"; color="#afb8c1"; style="rounded,dashed"'
        machines = self._machines(subnet)
        yield from (_node(f"port:{each.id}", each.name, [each.address], "box", Tone.PLAIN) for each in machines)
        if left := len(subnet.ports) - len(machines):
            yield _node(f"more:{subnet.id}", f"{left} more machines", [], "plaintext", Tone.PLAIN)
        yield from map(_endpoint, self._of(vpc, lambda each: each.subnet_id == subnet.id))
        if not subnet.ports:
            yield _nothing(subnet.id)
        yield "}"

    def _machines(self, subnet: Subnet) -> Sequence[Port]:
        idle = [each.id for each in subnet.ports if each.id not in self._busy]
        shown = self._busy | set(idle[:MOST_MACHINES])
        return [each for each in subnet.ports if each.id in shown]

    def _clients(self, endpoint: Endpoint) -> Iterator[str]:
        """Machines stand to the left of the endpoints that they may use; so does who comes from outside."""
        for vpc in self._graph.vpcs:
            for subnet in vpc.subnets if vpc.id == endpoint.vpc_id else ():
                idle = [each for each in self._machines(subnet) if each.id not in self._busy]
                yield from (f"{_edge(f'port:{each.id}', f'endpoint:{endpoint.id}')} [style=invis]" for each in idle)
        for cidr in endpoint.outside:
            outside = f"outside:{endpoint.vpc_id}:{cidr}"
            yield _node(outside, f"outside {cidr}", [], "tab", Tone.PLAIN)
            yield f'{_edge(outside, f"endpoint:{endpoint.id}")} [class="plain"]'

    def _connection(self, connection: Connection) -> Iterator[str]:
        there = f"endpoint:{connection.endpoint_id}"
        endpoint = self._endpoints.get(connection.endpoint_id)
        if endpoint is None:
            who = f"endpoint {connection.endpoint_id[: saying.SHORT_ID]}"
            yield _node(there, who, [f"of account {connection.account}"], "cds", connection.tone)
        if connection.service_id in self._services:
            said = _label("", saying.connection(connection))
            edge = _edge(there, f"service:{connection.service_id}")
            yield f"{edge} [label={said}, {_toned(connection.tone, fontcolor=True)}, penwidth=1.6]"

    def _cell(self, cell: Cell) -> Iterator[str]:
        name = f"cell:{cell.name}"
        lines = [f"gateway {each.id} {each.state}" for each in cell.gateways]
        tone = max((each.tone for each in cell.gateways), key=list(COLOURS).index, default=Tone.PLAIN)
        yield _node(name, f"cell {cell.name}", lines, "hexagon", tone)
        for vpc in self._graph.vpcs:
            for each in vpc.attachments:
                if each.cell == cell.name:
                    style = 'style=dotted, dir=none, constraint=false, class="plain"'
                    yield f"{_edge(f'attachment:{each.id}', name)} [{style}]"


def _nothing(box: str) -> str:
    """What Graphviz draws a box around that is empty."""
    return f'{quoted(f"empty:{box}")} [style=invis, label=""]'


def _endpoint(endpoint: Endpoint) -> str:
    title, lines = saying.endpoint(endpoint)
    return _node(f"endpoint:{endpoint.id}", title, lines, "cds", endpoint.tone)


def _service(service: Service) -> str:
    title, lines = saying.service(service)
    return _node(f"service:{service.id}", title, lines, "component", service.tone)


def _backends(service: Service) -> Iterator[str]:
    for each in service.backends:
        place = f"port:{each.port_id}" if each.port_id else f"address:{service.vpc_id}:{each.address}"
        said = _label("", [saying.backend(each)])
        yield f"{_edge(f'service:{service.id}', place)} [label={said}, {_toned(each.tone, fontcolor=True)}]"


def _legend() -> Iterator[str]:
    yield 'subgraph "cluster legend" {'
    yield f'label={_label("Legend", [])}; class="legend"; color="#afb8c1"; style=rounded'
    for tone, meaning in MEANINGS.items():
        label = _label(f"{_sample(tone)} {meaning}", [])
        yield (
            f'{quoted(f"legend:{tone}")} [shape=plaintext, margin=0, height=0.2, label={label}, class="key {tone}", '
            + (f'fontcolor="{COLOURS[tone]}"]')
        )
    yield "{rank=same; " + "; ".join(quoted(f"legend:{tone}") for tone in MEANINGS) + "}"
    yield "}"


def _sample(tone: Tone) -> str:
    return {Tone.GOOD: "───", Tone.WAITING: "╌╌╌", Tone.BAD: "┈┈┈", Tone.PLAIN: "───"}[tone]


def _node(name: str, title: str, lines: Sequence[str], shape: str, tone: Tone) -> str:
    room = ', margin="0.3,0.1"' if shape == "cds" else ""
    return f"{quoted(name)} [label={_label(title, lines)}, shape={shape}{room}, {_toned(tone)}]"


def _toned(tone: Tone, *, fontcolor: bool = False) -> str:
    written = f', fontcolor="{COLOURS[tone]}"' if fontcolor else ""
    return f'color="{COLOURS[tone]}", style={LINES[tone]}, class="{tone}"{written}'


def _label(title: str, lines: Sequence[str]) -> str:
    """An HTML-like label: the title in bold, lines below it."""
    bold = [f"<B>{markup(title)}</B>"] if title else []
    small = [f'<FONT POINT-SIZE="10">{markup(line)}</FONT>' for line in lines if line]
    return f"<{'<BR/>'.join(bold + small)}>" if bold or small else '""'


def _edge(tail: str, head: str) -> str:
    return f"{quoted(tail)} -> {quoted(head)}"
