"""A picture as JSON, in the reader's language: what `static/topology.js` draws, and a list says in words.

    {"nodes": [{"id": "endpoint:4f1c…", "kind": "endpoint", "parent": "subnet:…", "label": "web", "about": ["10.0.0.2"],
                "state": "accepted", "word": "accepted", "tone": "good", "reason": "", "count": 1,
                "href": "/endpoints/4f1c…", "said": "Endpoint web · 10.0.0.2 · accepted"}],
     "lines": [{"id": "connection:4f1c…", "kind": "connection", "from": "endpoint:…", "to": "service:…",
                "state": "accepted", "word": "accepted", "tone": "good", "reason": "", "count": 1, "traffic": 0,
                "said": "web → payments · accepted"}]}

Ids are the same in every picture that a thing is in, so that two pictures can be compared. `parent` is "" at the top,
and comes before what it holds. `href` is "" where there is no page. `traffic` is in bytes per second.
"""

from collections.abc import Callable, Mapping
from urllib.parse import urlencode

from services.console.drawing.grouping import grouped
from services.console.drawing.picture import NOTHING, Line, Node, Picture, of
from services.console.pages.states import said
from services.console.pages.words import gettext as _
from services.console.pages.words import ngettext
from sidegate.topology.graph import Graph

Json = dict[str, "Json"] | list["Json"] | str | int | float | bool | None
Found = dict[str, Json]


def document(graph: Graph, traffic: Mapping[str, float] = NOTHING) -> Found:
    """The graph, grouped. `traffic` is by endpoint."""
    return document_of(grouped(of(graph, traffic)))


def document_of(picture: Picture) -> Found:
    labels = {node.id: label(node) for node in picture.nodes}
    return {
        "nodes": [_node(each) for each in picture.nodes],
        "lines": [_line(each, labels) for each in picture.lines],
    }


def _node(node: Node) -> Found:
    return {
        "id": node.id,
        "kind": node.kind,
        "parent": node.parent,
        "label": label(node),
        "about": list(node.about),
        "state": node.state,
        "word": said(node.state),
        "tone": node.tone.value,
        "reason": node.reason,
        "count": node.count,
        "href": href(node),
        "said": _joined(_titled(node), *node.about, said(node.state), node.reason, _owner(node)),
    }


def _owner(node: Node) -> str:
    """Where it is not said already."""
    return "" if node.owner in node.name else node.owner


def _line(line: Line, labels: Mapping[str, str]) -> Found:
    return {
        "id": line.id,
        "kind": line.kind,
        "from": line.tail,
        "to": line.head,
        "state": line.state,
        "word": said(line.state),
        "tone": line.tone.value,
        "reason": line.reason,
        "count": line.count,
        "traffic": line.traffic,
        "said": _joined(f"{labels[line.tail]} → {labels[line.head]}", said(line.state), line.reason),
    }


def _joined(*parts: str) -> str:
    return " · ".join(filter(None, parts))


ONE: Mapping[str, Callable[[str], str]] = {
    "vpc": lambda name: _("VPC %(name)s", name=name),
    "subnet": lambda name: _("Subnet %(name)s", name=name),
    "machine": lambda name: _("Machine %(name)s", name=name),
    "address": lambda name: _("Address %(name)s", name=name),
    "outside": lambda name: _("Outside %(name)s", name=name),
    "endpoint": lambda name: _("Endpoint %(name)s", name=name),
    "remote": lambda name: _("Endpoint of account %(name)s", name=name),
    "service": lambda name: _("Service %(name)s", name=name),
    "foreign": lambda name: _("Service %(name)s of another account", name=name),
    "attachment": lambda name: _("Attachment %(name)s", name=name),
    "cell": lambda name: _("Cell %(name)s", name=name),
    "gateway": lambda name: _("Gateway %(name)s", name=name),
}
MANY: Mapping[str, Callable[[int], str]] = {
    "vpc": lambda count: ngettext("%(num)s VPC", "%(num)s VPCs", count),
    "subnet": lambda count: ngettext("%(num)s subnet", "%(num)s subnets", count),
    "machine": lambda count: ngettext("%(num)s machine", "%(num)s machines", count),
    "address": lambda count: ngettext("%(num)s address", "%(num)s addresses", count),
    "outside": lambda count: ngettext("%(num)s range outside", "%(num)s ranges outside", count),
    "endpoint": lambda count: ngettext("%(num)s endpoint", "%(num)s endpoints", count),
    "remote": lambda count: ngettext("%(num)s endpoint", "%(num)s endpoints", count),
    "service": lambda count: ngettext("%(num)s service", "%(num)s services", count),
    "foreign": lambda count: ngettext("%(num)s service", "%(num)s services", count),
    "attachment": lambda count: ngettext("%(num)s attachment", "%(num)s attachments", count),
    "cell": lambda count: ngettext("%(num)s cell", "%(num)s cells", count),
    "gateway": lambda count: ngettext("%(num)s gateway", "%(num)s gateways", count),
}


def label(node: Node) -> str:
    """What stands in it: its name, or how many things it is."""
    return MANY[node.kind](node.count) if node.count > 1 else node.name


def _titled(node: Node) -> str:
    return label(node) if node.count > 1 else ONE[node.kind](node.name)


def href(node: Node) -> str:
    """Its page; of several the list of them."""
    if node.count > 1:
        return _list(node)
    match node.kind:
        case "endpoint":
            return f"/endpoints/{node.of}"
        case "service":
            return f"/services/{node.of}"
        case "remote":
            return f"/services/{node.service}"
        case "vpc" | "subnet" | "machine" | "address" | "attachment":
            return f"/vpcs/{node.vpc}"
        case _:
            return ""


def _list(node: Node) -> str:
    match node.kind:
        case "endpoint":
            return _filtered("/endpoints", service=node.service, vpc=node.vpc, state=node.state)
        case "remote" if node.service:
            return _filtered(f"/services/{node.service}", state=node.state)
        case "service" | "remote":
            return "/services"
        case "foreign":
            return "/endpoints"
        case "cell" | "gateway" | "outside":
            return ""
        case _:
            return f"/vpcs/{node.vpc}" if node.vpc else "/vpcs"


def _filtered(path: str, **by: str) -> str:
    query = urlencode({name: value for name, value in by.items() if value})
    return f"{path}?{query}" if query else path
