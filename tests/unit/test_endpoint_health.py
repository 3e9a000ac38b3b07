"""What gateways report of backends, and what may be told of it."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.endpoint.domain.backend_health import BackendHealth, Condition, Counts, HealthReports
from services.endpoint.domain.endpoint import Accepted, Creating
from services.endpoint.domain.presence import NOT_WELL, Presence, Readiness, Reports, Statement, behind, standing
from services.gateway_agent import facts
from services.gateway_agent.backend_health import BackendHealth as AgentBackend
from services.gateway_agent.backend_health import Condition as AgentCondition
from services.gateway_agent.backend_health import ServiceHealth
from services.gateway_agent.desired import Desired, Versioned
from services.gateway_agent.facts import Fact, Facts
from services.gateway_agent.facts import Presence as AgentPresence
from services.gateway_agent.table import ForwardingTable
from services.gateway_agent.tracker import Tracker
from tests.support.endpoint import ENDPOINT_ID, FACTS, known
from tests.support.tables import attachment, endpoint, service

WELL = BackendHealth("10.0.0.1", Condition.WELL, 5, takes_sessions=True)
DRAINING = replace(WELL, address="10.0.0.2", takes_sessions=False, draining=True)
UNHEALTHY = BackendHealth("10.0.0.3", Condition.UNHEALTHY, 7, error="connection refused at port 80", error_at=8)
BOTH = ("gw-1", "gw-2")


def reported(**said: tuple[BackendHealth, ...]) -> HealthReports:
    reports = HealthReports()
    for gateway, backends in said.items():
        reports.note(gateway.replace("_", "-"), "web", backends)
    return reports


def test_the_gateway_that_fares_worst_is_counted() -> None:
    reports = reported(gw_1=(WELL, WELL), gw_2=(WELL, UNHEALTHY))
    assert reports.counts("web", BOTH) == Counts(total=2, well=1, taking=1)
    assert reports.counts("web", ["gw-1"]) == Counts(total=2, well=2, taking=2)
    assert reports.counts("web", ["gw-3"]) is None
    assert reports.counts("other", BOTH) is None


def test_all_that_there_are_are_counted_and_only_those_that_take_new_sessions_as_taking() -> None:
    assert Counts.of((WELL, DRAINING, UNHEALTHY)) == Counts(total=3, well=2, taking=1)


def test_what_a_gateway_said_is_void_when_it_begins_anew_or_says_that_it_knows_nothing() -> None:
    reports = reported(gw_2=(WELL,), gw_1=(UNHEALTHY,))
    assert list(reports.of("web", BOTH)) == ["gw-1", "gw-2"]
    reports.note("gw-2", "web", ())
    assert reports.of("web", BOTH) == {"gw-1": (UNHEALTHY,)}
    reports.forget_gateway("gw-1")
    assert reports.of("web", BOTH) == {}
    assert reports._by_service == {}, "nothing is kept of what nobody speaks of"


NAMES = st.sampled_from(["a", "b", "c"])


@given(st.lists(st.tuples(NAMES, NAMES, st.sampled_from([(), (WELL,), (WELL, UNHEALTHY)]))))
def test_the_last_word_of_each_gateway_on_each_service_counts(
    said: list[tuple[str, str, tuple[BackendHealth, ...]]],
) -> None:
    reports, last = HealthReports(), {}
    for gateway, name, backends in said:
        reports.note(gateway, name, backends)
        last[name, gateway] = backends
    for name in "abc":
        expected = {gateway: last[name, gateway] for gateway in "abc" if last.get((name, gateway))}
        assert reports.of(name, "abc") == expected


CREATING = Creating(replace(FACTS, generation=3, updated_at=5), since=5)
ACCEPTED = Accepted(CREATING.facts)
FAILING = replace(UNHEALTHY, takes_sessions=True)


def test_backends_fail_since_the_last_of_them_does_and_only_where_new_sessions_go_to_none_but_failing_ones() -> None:
    later = replace(FAILING, since=9)
    assert Counts.of((FAILING, later, DRAINING)).failing_since == 9
    assert Counts.of((UNHEALTHY, WELL)).failing_since == 0
    assert Counts.of((UNHEALTHY, replace(FAILING, condition=Condition.UNKNOWN))).failing_since == 0
    assert Counts.of((UNHEALTHY,)).failing_since == 0, "it takes none: that is a hindrance"
    assert Counts.of(()).failing_since == 0


@pytest.mark.parametrize("state", [CREATING, ACCEPTED], ids=["creating", "accepted"])
def test_an_endpoint_is_not_ready_while_the_backends_behind_it_fail(state: Creating | Accepted) -> None:
    reports = Reports()
    reports.note(Statement("gw-1", ENDPOINT_ID, 3, Presence.FORWARDING), 100)
    readiness = reports.readiness(standing(known(state)), ["gw-1"])
    assert behind(readiness, 0) == Readiness(True, "", 100, 3)
    assert behind(readiness, 101) == Readiness(False, NOT_WELL, 101, 3)
    assert behind(readiness, 99) == Readiness(False, NOT_WELL, 100, 3), "it was not forwarded before"
    assert reports.all_forward(ENDPOINT_ID, 3, ["gw-1"]), "packets pass: it is accepted all the same"


def test_what_keeps_packets_from_passing_is_told_first() -> None:
    reports = Reports()
    reports.note(Statement("gw-1", ENDPOINT_ID, 3, Presence.HINDERED, "its VPC cannot be reached from a gateway"), 100)
    readiness = reports.readiness(standing(known(ACCEPTED)), ["gw-1"])
    assert behind(readiness, 101) == readiness


ALL = (attachment("vpc-1", "blue"), attachment("vpc-2", "green"), service("web", "vpc-2"), endpoint(1, "vpc-1", "web"))


def fact(health: ServiceHealth | None, difficulty: str = "") -> Fact | None:
    """What an agent says of an endpoint that is in its table."""
    desired, tracker = Desired(), Tracker()
    for entry in ALL:
        desired.hear(Versioned(entry.key, 1, entry))
    tracker.resync(ForwardingTable.of(ALL))
    tracker.aim(desired.table())
    told = Facts(desired, tracker)
    told.learn("web", health)
    told.face({ALL[2].key: difficulty} if difficulty else {})
    return told.of(ALL[3].key)


def service_health(*conditions: AgentCondition, taking: bool = True) -> ServiceHealth:
    address = service("web", "vpc-2").backends[0].address
    found = (AgentBackend(address, condition, takes_sessions=taking) for condition in conditions)
    return ServiceHealth("web", tuple(found))


def test_backends_none_of_which_is_well_hinder_no_endpoint() -> None:
    ill = service_health(AgentCondition.UNHEALTHY)
    reason = "backend 10.0.0.3: connection refused at port 80"
    assert fact(ill, reason) == Fact(ALL[3].key.id, 1, AgentPresence.FORWARDING)


def test_only_difficulties_that_hinder_are_news_for_endpoints() -> None:
    told, web = Facts(Desired(), Tracker()), ALL[2].key
    told.learn("web", service_health(AgentCondition.UNHEALTHY))
    assert told.face({web: "none of the backends is well"}) == frozenset()
    assert told.difficulty(web) == "none of the backends is well", "the operator reads it"
    told.learn("web", service_health(AgentCondition.UNHEALTHY, taking=False))
    assert told.face({web: "none of the backends answers"}) == {web}
    told.learn("web", service_health(AgentCondition.UNHEALTHY))
    assert told.face({web: "none of the backends is well"}) == {web}


def test_backends_that_are_unhealthy_and_cannot_be_found_either_are_a_hindrance() -> None:
    gone = service_health(AgentCondition.UNHEALTHY, taking=False)
    expected = Fact(ALL[3].key.id, 1, AgentPresence.HINDERED, facts.SERVICE_NOT_ANSWERING)
    assert fact(gone, "backend 10.0.0.3 does not answer") == expected
