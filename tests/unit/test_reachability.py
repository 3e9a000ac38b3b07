"""What a reachability test says, from what gateways found, and to whom."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest

from services.common.principal import Principal
from services.endpoint.domain.endpoint import Accepted, Creating, Deleting, Failed, Known, PendingAcceptance, Rejected
from services.endpoint.domain.facts import Facts, Placement
from services.endpoint.domain.reachability import (
    Finding,
    Outcome,
    Port,
    PortOutcome,
    Step,
    Subject,
    for_consumer,
    for_provider,
    passed,
    worst,
)
from services.endpoint.domain.routes import Route, Routing

FACTS = Facts(
    id="e1",
    owner=Principal("shop", "default"),
    name="",
    service="s1",
    service_full_name="local.web.s1",
    subnet="n1",
    vpc="v1",
    address=IPv4Address("10.0.0.2"),
    port="p1",
    marker=7,
    placement=Placement("c1", Principal("payments", "default"), "v2"),
    created_at=1,
    updated_at=1,
    generation=3,
)
WEB, ADMIN, OTHER_WEB = Port("10.9.9.1", 8080, "tcp"), Port("10.9.9.1", 8443, "tcp"), Port("10.9.9.2", 8080, "tcp")
DNS = Port("10.9.9.1", 5353, "udp")
GOOD = Finding(40, 3, has_it=True, answers_arp=True, mac="02:00:00:00:00:01", ports={WEB: PortOutcome.OPEN})


def step(steps: tuple[Step, ...], subject: Subject) -> Step:
    return next(each for each in steps if each.subject is subject)


def backends(*findings: Finding) -> Step:
    found = {f"g{number}": each for number, each in enumerate(findings)}
    return step(for_consumer(Accepted(FACTS), found, found), Subject.BACKENDS)


def test_of_an_endpoint_with_routes_it_tells_its_prefixes() -> None:
    prefixes = IPv4Network("100.125.0.0/16"), IPv4Network("100.126.0.0/24")
    routed = replace(FACTS, routing=Routing(("t1",), prefixes, (), tuple(map(Route, prefixes))))
    steps = for_consumer(Accepted(routed), {"g1"}, {"g1": GOOD})
    both = "100.125.0.0/16, 100.126.0.0/24"
    assert step(steps, Subject.ADDRESS).message == f"its route tables lead {both} to it"
    assert step(steps, Subject.ARP).message == f"{both} is answered for in its VPC"


def test_all_is_well() -> None:
    steps = for_consumer(Accepted(FACTS), {"g1"}, {"g1": GOOD})
    assert passed(steps)
    assert [each.message for each in steps] == [
        "the connection is accepted",
        "10.0.0.2 is reserved for it in its subnet",
        "the one gateway of its cell carries it as of generation 3, position 40",
        "10.0.0.2 is answered for in its VPC",
        "the service's backend takes connections",
    ]


@pytest.mark.parametrize(
    "state",
    [PendingAcceptance(FACTS), Rejected(FACTS), Failed(FACTS, "the service is gone"), Deleting(FACTS)],
    ids=lambda state: type(state).__name__,
)
def test_a_state_in_which_nothing_is_forwarded_fails_and_nothing_is_tried(state: Known) -> None:
    steps = for_consumer(state, {"g1"}, {})
    assert [each.outcome for each in steps] == [Outcome.FAILED, Outcome.PASSED, *[Outcome.NOT_TRIED] * 3]
    assert [each.outcome for each in for_provider(state, {"g1"}, {})] == [Outcome.FAILED, *[Outcome.NOT_TRIED] * 2]


@pytest.mark.parametrize(
    ("joined", "found", "message"),
    [
        (set(), {}, "no gateway is there to carry it"),
        ({"g1"}, {}, "the one gateway of its cell did not answer"),
        ({"g1", "g2"}, {"g1": GOOD}, "1 of 2 gateways of its cell did not answer"),
        ({"g1"}, {"g1": replace(GOOD, generation=2)}, "a gateway has yet to take in its last change"),
        (
            {"g1"},
            {"g1": Finding(40, 3, has_it=False, hindrance="a gateway cannot set it up yet")},
            "a gateway cannot set it up yet",
        ),
    ],
)
def test_a_gateway_that_is_behind_or_away_is_named_as_what_is_in_the_way(
    joined: set[str], found: dict[str, Finding], message: str
) -> None:
    gateways = step(for_consumer(Creating(FACTS, 1), joined, found), Subject.GATEWAYS)
    assert gateways == Step(Subject.GATEWAYS, Outcome.FAILED, message)


def test_words_of_a_gateway_that_are_not_known_to_be_harmless_stay_here() -> None:
    found = {"g1": Finding(40, 3, has_it=False, hindrance="backend 10.9.9.1 is on fire")}
    for steps in (for_consumer(Accepted(FACTS), found, found), for_provider(Accepted(FACTS), found, found)):
        assert step(steps, Subject.GATEWAYS).message == "a gateway is not ready to carry it"


def test_another_machine_with_the_address_is_told_of_but_another_gateway_is_none() -> None:
    other = "02:00:00:00:00:02"
    claimed = replace(GOOD, claimants=(other,))
    alone = step(for_consumer(Accepted(FACTS), {"g1"}, {"g1": claimed}), Subject.ARP)
    assert alone.outcome is Outcome.FAILED
    assert other in alone.message
    both = {"g1": claimed, "g2": replace(GOOD, mac=other)}
    assert step(for_consumer(Accepted(FACTS), both, both), Subject.ARP).outcome is Outcome.PASSED
    unheard = step(for_consumer(Accepted(FACTS), {"g1", "g2"}, {"g1": claimed}), Subject.ARP)
    assert unheard.outcome is Outcome.PASSED  # it may be g2


@pytest.mark.parametrize(
    ("ports", "message"),
    [
        ({WEB: PortOutcome.REFUSED}, "the service's backend refused"),
        ({WEB: PortOutcome.SILENT}, "no backend of the service answers"),
        ({WEB: PortOutcome.UNRESOLVED}, "no backend of the service answers"),
        ({WEB: PortOutcome.SILENT, OTHER_WEB: PortOutcome.REFUSED}, "the service's backend refused"),
        ({WEB: PortOutcome.OPEN, ADMIN: PortOutcome.REFUSED}, "the service's backend refused on some of its ports"),
        (
            {WEB: PortOutcome.OPEN, ADMIN: PortOutcome.NO_PROXY},
            "the service's backend ended the connection when it was told of the client: its owner must put that right",
        ),
        ({}, "the service has no backend"),
    ],
)
def test_what_is_wrong_with_backends_is_said_without_naming_or_counting_them(
    ports: dict[Port, PortOutcome], message: str
) -> None:
    assert backends(replace(GOOD, ports=ports)) == Step(Subject.BACKENDS, Outcome.FAILED, message)


def test_one_backend_that_takes_connections_is_enough_for_a_port_but_for_every_gateway() -> None:
    some = replace(GOOD, ports={WEB: PortOutcome.OPEN, OTHER_WEB: PortOutcome.UNRESOLVED})
    assert backends(some).outcome is Outcome.PASSED
    none = replace(GOOD, ports={WEB: PortOutcome.SILENT, OTHER_WEB: PortOutcome.UNRESOLVED})
    assert backends(some, none).outcome is Outcome.FAILED
    assert backends(replace(GOOD, ports={DNS: PortOutcome.PRESENT})).outcome is Outcome.PASSED


def test_the_services_owner_is_told_what_a_backend_without_proxy_protocol_lacks() -> None:
    finding = replace(GOOD, ports={WEB: PortOutcome.NO_PROXY})
    told = step(for_provider(Accepted(FACTS), {"g1"}, {"g1": finding}), Subject.BACKENDS)
    assert told.outcome is Outcome.FAILED
    assert "does not speak the PROXY protocol" in told.message
    assert "publish the port with another client identity" in told.message


def test_the_services_owner_reads_nothing_of_the_consumers_network_and_the_consumer_nothing_of_his() -> None:
    ports = {WEB: PortOutcome.REFUSED, OTHER_WEB: PortOutcome.SILENT, ADMIN: PortOutcome.OPEN}
    for finding in (GOOD, replace(GOOD, ports=ports), replace(GOOD, has_it=False), replace(GOOD, answers_arp=False)):
        told = for_provider(Accepted(FACTS), {"g1"}, {"g1": finding})
        assert not any("10.0.0" in each.message or "02:00" in each.message for each in told)
        assert {each.subject for each in told} == {Subject.STATE, Subject.GATEWAYS, Subject.BACKENDS}
        heard = for_consumer(Accepted(FACTS), {"g1"}, {"g1": finding})
        assert not any("10.9.9" in each.message or "8080" in each.message for each in heard)


def test_of_several_gateways_the_one_that_fared_worst_counts() -> None:
    found = [replace(GOOD, ports={WEB: outcome}) for outcome in (PortOutcome.OPEN, PortOutcome.SILENT)]
    assert worst(found) == {WEB: PortOutcome.SILENT}
