"""The topology as a picture: what is alike becomes one node where there is too much, and ids stay the same."""

from dataclasses import replace
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from services.console.drawing.document import Found, document, document_of
from services.console.drawing.grouping import MOST, MOST_IDLE, grouped
from services.console.drawing.picture import Node, Picture, of
from services.console.pages.words import speaking
from sidegate.topology.graph import (
    Attachment,
    Backend,
    Cell,
    Connection,
    Endpoint,
    Gateway,
    Graph,
    Port,
    Service,
    Subnet,
    Tone,
    Vpc,
)


def service(id_: str, owner: str = "", vpc: str = "", backends: tuple[Backend, ...] = ()) -> Service:
    state, tone = ("available", Tone.GOOD) if owner else ("", Tone.PLAIN)
    return Service(id_, f"name-{id_}", "", owner, vpc, "", ("80/tcp",), (), "", "", False, state, tone, backends)


def endpoint(id_: str, service_id: str = "w", subnet: str = "s-1", tone: Tone = Tone.GOOD) -> Endpoint:
    state = {Tone.GOOD: "accepted", Tone.WAITING: "creating", Tone.BAD: "rejected"}[tone]
    places = ("shop/default", "v-1", subnet, "10.0.0.2", service_id, 7)
    return Endpoint(id_, f"name-{id_}", *places, (), (), (), (), (), state, tone, "")


def connection(found: Endpoint) -> Connection:
    return Connection(found.id, found.service_id, "", found.marker, found.state, found.tone, found.reason)


def graph(endpoints: list[Endpoint], machines: int = 1, remote: int = 0) -> Graph:
    """Shop's network with endpoints of payments' service, and a service of its own that others are connected to."""
    ports = tuple(Port(f"p-{number}", f"machine{number}", f"10.0.1.{number}") for number in range(machines))
    backend = Backend("10.0.1.0", "p-0", 1, False, "unhealthy", Tone.BAD, "it is silent")
    vpc = Vpc(
        "v-1",
        "shop",
        "shop/default",
        ("10.0.0.0/16",),
        "",
        (Subnet("s-1", "front", "10.0.0.0/24", "", ports),),
        (),
        (Attachment("a-1", "default", "netns shop"),),
    )
    others = [Connection(f"r-{number}", "own", "bank", number, "accepted", Tone.GOOD, "") for number in range(remote)]
    return Graph(
        "shop/default",
        (vpc,),
        (service("own", "shop/default", "v-1", (backend,)), service("w"), service("x")),
        tuple(endpoints),
        (*map(connection, endpoints), *others),
        (Cell("default", (Gateway("gw-1", "in sync", Tone.GOOD),)),),
    )


def told(document: Found, what: str) -> list[dict[str, Any]]:
    return cast(list[dict[str, Any]], document[what])


def kinds(picture: Picture, kind: str) -> list[Node]:
    return [node for node in picture.nodes if node.kind == kind]


def test_everything_of_a_graph_is_in_the_picture_and_lines_lead_to_what_is_there() -> None:
    picture = of(graph([endpoint("e-1")], machines=2, remote=1))
    assert [(node.id, node.parent) for node in picture.nodes] == [
        ("vpc:v-1", ""),
        ("subnet:s-1", "vpc:v-1"),
        ("machine:p-0", "subnet:s-1"),
        ("machine:p-1", "subnet:s-1"),
        ("attachment:a-1", "vpc:v-1"),
        ("service:own", "vpc:v-1"),
        ("service:w", ""),
        ("service:x", ""),
        ("endpoint:e-1", "subnet:s-1"),
        ("cell:default", ""),
        ("gateway:default:gw-1", "cell:default"),
        ("endpoint:r-0", ""),
    ]
    assert [(line.kind, line.tail, line.head, line.tone) for line in picture.lines] == [
        ("connection", "endpoint:e-1", "service:w", Tone.GOOD),
        ("connection", "endpoint:r-0", "service:own", Tone.GOOD),
        ("backend", "service:own", "machine:p-0", Tone.BAD),
        ("attachment", "attachment:a-1", "cell:default", Tone.PLAIN),
    ]


def test_an_endpoint_of_another_is_called_as_whoever_has_it() -> None:
    """Its name and its network are not its provider's to know, and its id says nothing to people."""
    drawn = {node["id"]: node for node in told(document(graph([], remote=8)), "nodes")}
    remote = drawn["endpoint:r-7"]
    assert (remote["label"], remote["about"]) == ("bank", ["7"])
    assert remote["said"] == "Endpoint of account bank · 7 · accepted"


def test_the_operator_sees_whose_a_network_is_and_its_owner_does_not_read_of_himself() -> None:
    """Everybody's network may be called main, and have the same addresses."""
    own = graph([])
    (before,) = (node for node in told(document(own), "nodes") if node["kind"] == "vpc")
    (after,) = (node for node in told(document(replace(own, viewer="operator")), "nodes") if node["kind"] == "vpc")
    assert after["label"] == f"{before['label']} (shop/default)"
    assert after["said"].count("shop/default") == 1


def test_few_things_are_drawn_each_for_itself() -> None:
    picture = of(graph([endpoint(f"e-{number}") for number in range(MOST)], machines=MOST_IDLE + 1))
    assert grouped(picture) == picture


def test_many_endpoints_of_a_subnet_a_service_and_a_state_become_one() -> None:
    good = [endpoint(f"e-{number}") for number in range(MOST)]
    bad = [endpoint("e-bad", tone=Tone.BAD)]
    elsewhere = [endpoint("e-x", "x"), endpoint("e-y", "x")]
    picture = grouped(of(graph([*good, *bad, *elsewhere])))
    found = {node.id: node for node in kinds(picture, "endpoint")}
    assert sorted(node.count for node in found.values()) == [1, 2, MOST]
    assert found["endpoint:e-bad"].name == "name-e-bad"
    whole = max(found.values(), key=lambda node: node.count)
    assert (whole.parent, whole.service, whole.state, whole.tone) == ("subnet:s-1", "w", "accepted", Tone.GOOD)
    lines = {(line.tail, line.head): line for line in picture.lines if line.kind == "connection"}
    assert lines[whole.id, "service:w"].count == MOST
    assert lines["endpoint:e-bad", "service:w"].tone == Tone.BAD


def test_endpoints_that_have_nothing_in_common_become_one_for_each_subnet_and_state_in_the_end() -> None:
    endpoints = [endpoint(f"e-{number}", f"s{number}") for number in range(200)]
    made = replace(graph(endpoints), services=tuple(service(f"s{number}") for number in range(200)))
    picture = grouped(of(made))
    assert [node.count for node in kinds(picture, "endpoint")] == [200]
    assert [node.count for node in kinds(picture, "foreign")] == [200]
    assert [line.count for line in picture.lines if line.kind == "connection"] == [200]


def test_machines_that_nothing_leads_to_become_one_for_each_subnet() -> None:
    picture = grouped(of(graph([], machines=MOST_IDLE + 2)))
    assert sorted(node.count for node in kinds(picture, "machine")) == [1, MOST_IDLE + 1]


def test_endpoints_of_others_become_one_for_each_account_service_and_state() -> None:
    picture = grouped(of(graph([], remote=1000)))
    (found,) = kinds(picture, "remote")
    assert (found.count, found.owner, found.service) == (1000, "bank", "own")


def test_many_networks_become_one_for_each_owner_which_holds_what_they_held() -> None:
    vpcs = tuple(
        Vpc(f"v-{number}", "net", f"shop{number % 2}", (), "", (Subnet(f"s-{number}", "main", "", "", ()),), (), ())
        for number in range(MOST + 2)
    )
    picture = grouped(of(Graph("operator", vpcs, (), (), (), ())))
    networks = kinds(picture, "vpc")
    assert [node.count for node in networks] == [MOST // 2 + 1] * 2
    assert {node.parent for node in kinds(picture, "subnet")} == {node.id for node in networks}


def test_groups_have_the_same_ids_when_one_more_comes_so_that_they_keep_their_places() -> None:
    some = [endpoint(f"e-{number}") for number in range(MOST + 1)]
    before, after = grouped(of(graph(some))), grouped(of(graph([*some, endpoint("e-new")])))
    assert [node.id for node in before.nodes] == [node.id for node in after.nodes]
    assert [line.id for line in before.lines] == [line.id for line in after.lines]


TONES = st.sampled_from([Tone.GOOD, Tone.WAITING, Tone.BAD])
ENDPOINTS = st.lists(st.tuples(st.sampled_from(["w", "x", "own"]), st.sampled_from(["s-1", "s-2"]), TONES), max_size=40)


@given(ENDPOINTS, st.integers(0, 30), st.integers(0, 30), st.integers(1, 12))
def test_nothing_is_lost_by_grouping_and_never_is_there_more_than_was_asked_for(
    endpoints: list[tuple[str, str, Tone]], machines: int, remote: int, most: int
) -> None:
    made = [endpoint(f"e-{number}", *each) for number, each in enumerate(endpoints)]
    whole = of(graph(made, machines, remote))
    picture = grouped(whole, most, most)
    here = {node.id for node in picture.nodes}
    for kind in {node.kind for node in whole.nodes}:
        assert sum(node.count for node in kinds(picture, kind)) == len(kinds(whole, kind))
        assert len(kinds(picture, kind)) <= max(most, 2)
    assert sum(line.count for line in picture.lines) == len(whole.lines)
    assert all({line.tail, line.head} <= here for line in picture.lines)
    seen: set[str] = {""}
    for node in picture.nodes:
        assert node.parent in here | {""}
        seen.add(node.id)
    assert len(seen) == len(picture.nodes) + 1


def test_a_document_says_what_things_are_in_the_readers_language() -> None:
    picture = grouped(of(graph([endpoint(f"e-{number}") for number in range(1000)])))
    english = {node["kind"]: node for node in told(document_of(picture), "nodes")}
    assert english["endpoint"]["label"] == "1000 endpoints"
    assert english["endpoint"]["href"] == "/endpoints?service=w&vpc=v-1&state=accepted"
    assert english["machine"]["said"] == "Machine machine0 · 10.0.1.0 · does not answer · it is silent"
    with speaking("zh_Hans_CN"):
        chinese = {node["kind"]: node for node in told(document_of(picture), "nodes")}
    assert chinese["endpoint"]["label"] == "1000 个终端节点"
    assert chinese["endpoint"]["id"] == english["endpoint"]["id"]


def test_traffic_of_endpoints_is_that_of_their_line() -> None:
    made = graph([endpoint("e-1"), endpoint("e-2")])
    lines = {line["id"]: line["traffic"] for line in told(document(made, {"e-1": 1500.0}), "lines")}
    assert (lines["connection:e-1"], lines["connection:e-2"]) == (1500.0, 0)


def test_traffic_of_a_group_is_that_of_all_in_it() -> None:
    made = graph([endpoint(f"e-{number}") for number in range(100)])
    found = told(document(made, {f"e-{number}": 10.0 for number in range(100)}), "lines")
    assert [line["traffic"] for line in found if line["kind"] == "connection"] == [1000.0]


def test_lines_that_lead_nowhere_are_left_out() -> None:
    lost = Connection("gone", "unknown", "bank", 1, "accepted", Tone.GOOD, "")
    assert "service:unknown" not in {line.head for line in of(replace(graph([]), connections=(lost,))).lines}
