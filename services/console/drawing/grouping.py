"""Makes a picture small enough to be looked at: things that are alike become one node that says how many. Pure."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from services.console.drawing.picture import Line, Node, Picture, worst

MOST = 60
"""Nodes of a kind that are drawn each for itself."""

MOST_IDLE = 8
"""Machines of a subnet that nothing leads to."""

Key = Callable[[Node, Sequence[str]], tuple[str, ...]]
"""What nodes have in common that become one: of a node, and of the nodes at the other ends of its lines."""

T = TypeVar("T")


def _nothing(_node: Node, _ends: Sequence[str]) -> tuple[str, ...]:
    return ()


def _parent(node: Node, _ends: Sequence[str]) -> tuple[str, ...]:
    return (node.parent,)


def _owner(node: Node, _ends: Sequence[str]) -> tuple[str, ...]:
    return (node.owner,)


def _state(node: Node, _ends: Sequence[str]) -> tuple[str, ...]:
    return (node.parent, node.state, node.tone)


def _ends(node: Node, ends: Sequence[str]) -> tuple[str, ...]:
    return (node.parent, node.state, node.tone, *ends)


def _account(node: Node, ends: Sequence[str]) -> tuple[str, ...]:
    return (node.owner, node.state, node.tone, *ends)


KEYS: Mapping[str, Sequence[Key]] = {
    "vpc": (_owner, _nothing),
    "subnet": (_parent, _nothing),
    "service": (_state, _parent, _nothing),
    "foreign": (_state, _nothing),
    "endpoint": (_ends, _state, _parent, _nothing),
    "remote": (_account, _ends, _state, _nothing),
    "machine": (_ends, _state, _parent, _nothing),
    "address": (_ends, _state, _parent, _nothing),
    "attachment": (_parent, _nothing),
    "outside": (_nothing,),
    "cell": (_nothing,),
    "gateway": (_state, _nothing),
}
"""From fine to coarse: a coarser one is taken where a finer one leaves too many. What holds others comes first."""


def grouped(picture: Picture, most: int = MOST, most_idle: int = MOST_IDLE) -> Picture:
    """The same things; of no kind more than `most` nodes. The same picture gives the same groups, with the same ids."""
    picture = _idle(picture, most_idle)
    for kind, keys in KEYS.items():
        for key in keys:
            if sum(node.kind == kind for node in picture.nodes) > most:
                picture = _grouped(picture, kind, key)
    return picture


def _idle(picture: Picture, most: int) -> Picture:
    busy = {end for line in picture.lines for end in (line.tail, line.head)}
    idle = defaultdict(list)
    for node in picture.nodes:
        if node.kind == "machine" and node.id not in busy:
            idle[node.parent].append(node)
    groups = {
        node.id: _named("machine", (parent, "idle"))
        for parent, nodes in idle.items()
        if len(nodes) > most
        for node in nodes
    }
    return _merged(picture, groups)


def _grouped(picture: Picture, kind: str, key: Key) -> Picture:
    ends = defaultdict(set)
    for line in picture.lines:
        ends[line.tail].add(line.head)
        ends[line.head].add(line.tail)
    named = {node.id: _named(kind, key(node, sorted(ends[node.id]))) for node in picture.nodes if node.kind == kind}
    sizes = Counter(named.values())
    return _merged(picture, {id_: name for id_, name in named.items() if sizes[name] > 1})


def _named(kind: str, key: tuple[str, ...]) -> str:
    return "|".join((f"group:{kind}", *key))


def _merged(picture: Picture, groups: Mapping[str, str]) -> Picture:
    """With all that `groups` maps to the same id as one node, which holds what they held."""
    if not groups:
        return picture
    nodes = [replace(each, parent=groups[each.parent]) if each.parent in groups else each for each in picture.nodes]
    lines = [_between(line, groups) for line in picture.lines]
    together = _gathered((groups.get(node.id, node.id), node) for node in nodes)
    joined = _gathered((line.id, line) for line in lines if line.tail != line.head)
    return Picture(
        tuple(_one(id_, alike) for id_, alike in together.items()),
        tuple(_one_line(alike) for alike in joined.values()),
    )


def _gathered(found: Iterator[tuple[str, T]]) -> dict[str, list[T]]:
    gathered: dict[str, list[T]] = {}
    for id_, each in found:
        gathered.setdefault(id_, []).append(each)
    return gathered


def _one(id_: str, alike: Sequence[Node]) -> Node:
    first = alike[0]
    if len(alike) == 1 and first.id == id_:
        return first

    def common(values: Sequence[str]) -> str:
        return values[0] if len(set(values)) == 1 else ""

    return Node(
        id_,
        first.kind,
        parent=common([each.parent for each in alike]),
        owner=common([each.owner for each in alike]),
        state=common([each.state for each in alike]),
        tone=worst([each.tone for each in alike]),
        reason=common([each.reason for each in alike]),
        service=common([each.service for each in alike]),
        vpc=common([each.vpc for each in alike]),
        count=sum(each.count for each in alike),
    )


def _between(line: Line, groups: Mapping[str, str]) -> Line:
    """Where it leads now; lines between the same ends that are alike become one."""
    tail, head = groups.get(line.tail, line.tail), groups.get(line.head, line.head)
    if (tail, head) == (line.tail, line.head):
        return line
    return replace(line, id="|".join(("line", line.kind, tail, head, line.state, line.tone)), tail=tail, head=head)


def _one_line(alike: Sequence[Line]) -> Line:
    reasons = {each.reason for each in alike}
    return replace(
        alike[0],
        count=sum(each.count for each in alike),
        traffic=sum(each.traffic for each in alike),
        reason=reasons.pop() if len(reasons) == 1 else "",
    )
