"""The graph of who is connected to whom, and its drawings, names of enemies among them."""

import itertools
import re
import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from sidegate.api.endpoint.v1.backend_health_pb2 import (
    BackendHealth,
    GatewayHealth,
    GetServiceHealthResponse,
)
from sidegate.api.endpoint.v1.endpoint_pb2 import Condition, Connection, ConnectionState, Endpoint
from sidegate.api.gateway.v1.gateway_service_pb2 import GetStatusResponse
from sidegate.api.registry.v1.endpoint_service_pb2 import (
    Backend,
    ConnectableService,
    EndpointService,
    HealthCheck,
    PortMapping,
    PrivateName,
)
from sidegate.api.registry.v1.vpc_pb2 import Attachment, NetnsTarget, Port, Resolver, RouteTable, Subnet, Vpc
from sidegate.topology import clean, document, dot, svg, text
from sidegate.topology.build import build, only
from sidegate.topology.gather import Seen
from sidegate.topology.graph import Graph, Tone

ACCEPTED, PENDING = ConnectionState.CONNECTION_STATE_ACCEPTED, ConnectionState.CONNECTION_STATE_PENDING_ACCEPTANCE
REJECTED = ConnectionState.CONNECTION_STATE_REJECTED
HOSTILE = [
    '"];evil[label="',
    "<B>bold</B><SCRIPT>alert(1)</SCRIPT>",
    "&lt;img src=x&gt; &amp; &#60;",
    "back\\slash\\N\\G\\",
    "\x1b[31mred\x1b[0m\x07\n\r\tnext",
    "\u202etxet desrever",
    "]]>--><!-- ",
    "日本語 ✓ 😀",
    "a" * 500,
]


def seen(name: str = "shop") -> Seen:
    """An operator's: shop's endpoints of payments' service, with one backend of two well."""
    return Seen(
        viewer="operator",
        vpcs={
            "v-1": Vpc(id="v-1", name=name, account="shop", project="default", cidrs=["10.0.0.0/24"]),
            "v-2": Vpc(id="v-2", name="pay", account="payments", project="default", cidrs=["10.0.0.0/24"]),
        },
        subnets=[
            Subnet(id="s-1", vpc_id="v-1", name=name, cidr="10.0.0.0/24"),
            Subnet(id="s-2", vpc_id="v-2", name="main", cidr="10.0.0.0/24"),
        ],
        ports=[
            Port(id="p-1", subnet_id="s-1", vpc_id="v-1", address="10.0.0.10", holder="machine/client"),
            Port(id="p-2", subnet_id="s-1", vpc_id="v-1", address="10.0.0.2", holder="endpoint/e-1"),
            Port(id="p-3", subnet_id="s-2", vpc_id="v-2", address="10.0.0.10", holder="machine/server"),
        ],
        attachments=[Attachment(id="a-1", vpc_id="v-1", cell="default", netns=NetnsTarget(namespace="ns"))],
        services=[
            EndpointService(
                id="w",
                name="web",
                full_name="local.web.w",
                account="payments",
                project="default",
                vpc_id="v-2",
                backends=[Backend(address="10.0.0.10", weight=1), Backend(address="10.0.0.11", weight=3)],
                port_mappings=[PortMapping(client_port=80, server_port=8080)],
                state=EndpointService.STATE_AVAILABLE,
                health_check=HealthCheck(),
            )
        ],
        endpoints=[endpoint("e-1"), endpoint("e-2", state=PENDING), endpoint("e-3", ready=Condition(reason="no way"))],
        connections=[connection("e-1", ACCEPTED), connection("e-2", PENDING), connection("e-9", REJECTED)],
        health={"w": health()},
        gateways=[GetStatusResponse(gateway_id="gw", cell="default", in_sync=True)],
    )


def endpoint(id_: str, **what: Any) -> Endpoint:
    known: dict[str, Any] = {
        "id": id_,
        "account": "shop",
        "project": "default",
        "service": "w",
        "service_full_name": "local.web.w",
        "vpc_id": "v-1",
        "subnet_id": "s-1",
        "address": "10.0.0.2",
        "state": ACCEPTED,
        "marker_id": 7,
        "ready": Condition(status=True),
    }
    return Endpoint(**{**known, **what})


def connection(id_: str, state: ConnectionState.ValueType) -> Connection:
    return Connection(endpoint_id=id_, service_id="w", account="shop", state=state, marker_id=7)


def health() -> GetServiceHealthResponse:
    """Two gateways, of which one finds the second backend unhealthy."""
    well, ill = BackendHealth.CONDITION_WELL, BackendHealth.CONDITION_UNHEALTHY
    told = [
        [BackendHealth(address="10.0.0.10", condition=well), BackendHealth(address="10.0.0.11", condition=other)]
        for other in (well, ill)
    ]
    return GetServiceHealthResponse(
        service_id="w", gateways=[GatewayHealth(gateway_id=f"gw-{n}", backends=each) for n, each in enumerate(told)]
    )


def words(graph: Graph, width: int = 200) -> str:
    console = Console(width=width, markup=False, highlight=False)
    with console.capture() as captured:
        console.print(text.render(graph))
    return captured.get()


def test_an_endpoint_leads_to_its_service_and_that_to_its_backends() -> None:
    graph = build(seen())
    assert {each.id: (each.state, each.tone) for each in graph.endpoints} == {
        "e-1": ("accepted", Tone.GOOD),
        "e-2": ("pendingAcceptance", Tone.WAITING),
        "e-3": ("accepted", Tone.BAD),
    }
    (service,) = graph.services
    assert [(each.address, each.port_id, each.health) for each in service.backends] == [
        ("10.0.0.10", "p-3", "well"),
        ("10.0.0.11", "", "unhealthy"),
    ]
    assert service.ports == ("80:8080/tcp",)
    assert [vpc.others for vpc in graph.vpcs] == [("10.0.0.11",), ()]


def test_a_connection_seen_from_both_sides_is_one() -> None:
    graph = build(seen())
    assert [(each.endpoint_id, each.account) for each in graph.connections] == [
        ("e-1", "shop"),
        ("e-2", "shop"),
        ("e-3", ""),
        ("e-9", "shop"),
    ]


def test_ports_of_endpoints_are_no_machines() -> None:
    (shop,) = [each for each in build(seen()).vpcs if each.id == "v-1"]
    assert [port.name for port in shop.subnets[0].ports] == ["client"]


def test_of_anothers_service_only_what_may_be_known_is_told() -> None:
    told = Seen(viewer="shop/default", endpoints=[endpoint("e-1")])
    told.lookups["w"] = ConnectableService(id="w", port_mappings=[PortMapping(client_port=80)])
    (service,) = build(told).services
    assert (service.name, service.ports, service.owner, service.vpc_id, service.backends) == (
        "web",
        ("80/tcp",),
        "",
        "",
        (),
    )


def test_an_endpoint_of_routes_says_where_they_lead_and_who_has_them() -> None:
    told = seen()
    told.route_tables.append(RouteTable(id="t-1", vpc_id="v-1", name="private", subnet_ids=["s-1"]))
    told.vpcs["v-1"].resolver.CopyFrom(Resolver(subnet_id="s-1", address="10.0.0.53"))
    told.services[0].service_type = EndpointService.SERVICE_TYPE_GATEWAY
    told.services[0].server_type = EndpointService.SERVER_TYPE_CLOUD
    told.services[0].private_name.CopyFrom(
        PrivateName(name="store.example.com", state=PrivateName.STATE_PENDING_VERIFICATION)
    )
    routes: dict[str, Any] = {"public_prefixes": ["100.125.0.0/16"], "route_tables": ["t-1"], "dns_names": ["e.local"]}
    told.endpoints.append(endpoint("e-4", address="", subnet_id="", **routes))
    said = words(build(told))
    for each in (
        "route table private",
        "resolver 10.0.0.53",
        "CLOUD GATEWAY",
        "store.example.com (not verified)",
        "e.local",
    ):
        assert each in said
    assert re.search(r"endpoint e-4 +routes to 100\.125\.0\.0/16 +for private +e\.local ──▶ web", said)
    assert "routes to 100.125.0.0/16" in dot.source(build(told))


def test_clients_from_beyond_the_vpc_are_drawn_as_such() -> None:
    told = seen()
    told.endpoints[0].allowed_cidrs.extend(["10.0.0.8/29", "192.168.7.0/24"])
    graph = build(told)
    assert next(each for each in graph.endpoints if each.id == "e-1").outside == ("192.168.7.0/24",)
    assert '"outside:v-1:192.168.7.0/24" -> "endpoint:e-1"' in dot.source(graph)


def test_the_order_of_answers_changes_nothing() -> None:
    told = seen()
    expected = build(told)
    for each in (told.subnets, told.ports, told.services, told.endpoints, told.connections, told.attachments):
        each.reverse()
    told.vpcs = dict(reversed(told.vpcs.items()))
    assert build(told) == expected


def test_only_what_touches_a_vpc_remains() -> None:
    told = seen()
    told.vpcs["v-3"] = Vpc(id="v-3", name="lonely", cidrs=["10.0.0.0/24"])
    graph = build(told)
    assert {each.id for each in only(graph, ["v-1"]).vpcs} == {"v-1", "v-2"}
    assert only(graph, ["v-3"]).endpoints == ()
    assert {each.id for each in only(graph, ["v-2"]).endpoints} == {"e-1", "e-2", "e-3"}


def test_many_machines_are_drawn_as_a_number_and_backends_each_for_itself() -> None:
    told = seen()
    for each in range(20, 220):
        told.ports.append(
            Port(id=f"m-{each}", subnet_id="s-2", vpc_id="v-2", address=f"10.0.0.{each}", holder="machine/m")
        )
    source = dot.source(build(told))
    assert "192 more machines" in source
    assert '"port:p-3"' in source


def test_data_is_the_graph_and_nothing_else() -> None:
    told = document.of(build(seen()))
    assert isinstance(told, dict)
    assert list(told) == ["viewer", "vpcs", "services", "endpoints", "connections", "cells"]


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_name_is_text_in_every_drawing(name: str) -> None:
    told = seen(name)
    told.endpoints[0].name = name
    told.endpoints[0].dns_names.append(name)
    told.endpoints[0].failure = name
    told.services[0].name = name
    graph, usual = build(told), build(seen())
    drawn = svg.render(dot.source(graph), name)
    root = ElementTree.fromstring(drawn)  # noqa: S314 # drawn by Graphviz a moment ago
    assert _shape(root) == _shape(ElementTree.fromstring(svg.render(dot.source(usual), "usual")))  # noqa: S314
    said = {each.strip() for each in itertools.chain.from_iterable(each.itertext() for each in root.iter())}
    assert any(clean.line(name)[:60] in each.replace("\xa0", " ") for each in said), said
    printed = words(graph, 4000)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202e]", printed)
    assert clean.line(name).strip() in printed


def _shape(root: ElementTree.Element) -> list[str]:
    """The nodes, edges and boxes that were drawn, and what elements there are."""
    svgs = "{http://www.w3.org/2000/svg}"
    groups = sorted(each.get("class", "") for each in root.iter(f"{svgs}g"))
    return groups + sorted({each.tag for each in root.iter()})


@given(st.text())
def test_any_name_becomes_one_line_of_what_can_be_printed(name: str) -> None:
    said = clean.line(name)
    assert said.isprintable()
    assert len(said) <= clean.LONGEST
    assert clean.line(said) == said


def test_without_graphviz_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(svg.NotDrawn) as refused:
        svg.render("digraph {}", "nothing")
    assert "dot" in refused.value.text
    assert "graphviz" in refused.value.hint


def test_what_graphviz_does_not_read_is_a_sentence() -> None:
    assert shutil.which("dot"), "this test needs Graphviz: run make setup-test"
    with pytest.raises(svg.NotDrawn, match="drew nothing"):
        svg.render("no graph", "nothing")


def test_colours_of_a_picture_are_said_outright_for_light_and_dark_pages() -> None:
    light, dark = svg.STYLE.split("@media (prefers-color-scheme: dark)")
    assert "var(" not in svg.STYLE  # which only browsers know
    for colours, said in ((svg.LIGHT, light), (svg.DARK, dark)):
        assert all(colour in said for colour in colours.values())
