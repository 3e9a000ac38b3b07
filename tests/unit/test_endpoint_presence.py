"""What gateways report of endpoints, and what may be concluded from it."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.endpoint.domain.endpoint import Accepted, Creating
from services.endpoint.domain.presence import SHOWN_REASONS, Presence, Readiness, Reports, Statement, standing
from tests.support.endpoint import ENDPOINT_ID, FACTS, STATES, known

GENERATION = 3
BOTH = frozenset({"gw-1", "gw-2"})
CREATING = Creating(replace(FACTS, generation=GENERATION, updated_at=5), since=5)
ACCEPTED = Accepted(replace(FACTS, generation=GENERATION, updated_at=5))


def said(gateway: str, presence: Presence, generation: int = GENERATION, reason: str = "") -> Statement:
    return Statement(gateway, ENDPOINT_ID, generation, presence, reason)


def reported(*statements: Statement) -> Reports:
    """Reports that came one nanosecond after another, from 100 on."""
    reports = Reports()
    for at, statement in enumerate(statements, 100):
        reports.note(statement, at)
    return reports


def test_every_joined_gateway_must_forward_the_present_generation() -> None:
    reports = reported(said("gw-1", Presence.FORWARDING))
    assert not reports.all_forward(ENDPOINT_ID, GENERATION, BOTH)
    reports.note(said("gw-2", Presence.FORWARDING, GENERATION - 1), at=200)
    assert not reports.all_forward(ENDPOINT_ID, GENERATION, BOTH)
    reports.note(said("gw-2", Presence.FORWARDING), at=201)
    assert reports.all_forward(ENDPOINT_ID, GENERATION, BOTH)
    assert not reports.all_forward(ENDPOINT_ID, GENERATION + 1, BOTH)


def test_without_a_gateway_nothing_is_forwarded_and_nothing_is_left() -> None:
    assert not Reports().all_forward(ENDPOINT_ID, GENERATION, [])
    assert Reports().none_has(ENDPOINT_ID, GENERATION, [])


def test_nothing_is_left_when_each_gateway_has_said_so_of_the_present_generation() -> None:
    reports = reported(said("gw-1", Presence.ABSENT), said("gw-2", Presence.ABSENT, GENERATION - 1))
    assert not reports.none_has(ENDPOINT_ID, GENERATION, BOTH)
    assert reports.none_has(ENDPOINT_ID, GENERATION, {"gw-1"})


def test_a_gateway_that_joins_anew_has_said_nothing() -> None:
    reports = reported(said("gw-1", Presence.FORWARDING))
    reports.forget_gateway("gw-1")
    assert not reports.all_forward(ENDPOINT_ID, GENERATION, {"gw-1"})


@given(st.permutations(range(1, 6)), st.data())
def test_the_latest_generation_counts_in_whatever_order_reports_come(order: list[int], data: st.DataObject) -> None:
    reports = Reports()
    for at, generation in enumerate(order):
        earlier = data.draw(st.sampled_from([Presence.FORWARDING, Presence.ABSENT]))
        reports.note(said("gw-1", Presence.ABSENT if generation == 5 else earlier, generation), at)
    assert reports.none_has(ENDPOINT_ID, 5, {"gw-1"})
    assert not any(reports.all_forward(ENDPOINT_ID, generation, {"gw-1"}) for generation in range(7))


def test_an_endpoint_is_ready_when_every_gateway_forwards_it_and_since_the_last_did() -> None:
    reports = reported(
        said("gw-1", Presence.FORWARDING), said("gw-2", Presence.FORWARDING), said("gw-1", Presence.FORWARDING)
    )
    for state in (CREATING, ACCEPTED):
        assert reports.readiness(standing(state), BOTH) == Readiness(True, "", since=101, applied_generation=GENERATION)


def test_a_whitelist_on_its_way_leaves_an_accepted_endpoint_ready() -> None:
    reports = reported(said("gw-1", Presence.FORWARDING, GENERATION - 1))
    readiness = reports.readiness(standing(ACCEPTED), {"gw-1"})
    assert readiness.status
    assert readiness.applied_generation == GENERATION - 1


def test_an_endpoint_accepted_anew_is_not_ready_by_a_report_from_before() -> None:
    reports = reported(said("gw-1", Presence.FORWARDING, GENERATION - 2))
    assert reports.readiness(standing(CREATING), {"gw-1"}).reason == "its gateways have yet to confirm it"


def test_a_hindered_gateway_is_named_as_the_reason_and_since_when() -> None:
    reason = "its VPC cannot be reached from a gateway"
    reports = reported(said("gw-1", Presence.FORWARDING), said("gw-2", Presence.HINDERED, reason=reason))
    readiness = reports.readiness(standing(ACCEPTED), BOTH)
    assert readiness == Readiness(False, reason, since=101, applied_generation=0)


def test_what_was_applied_before_a_hindrance_stays_applied() -> None:
    reports = reported(said("gw-1", Presence.FORWARDING, 2), said("gw-1", Presence.HINDERED, 3, "no"))
    assert reports.readiness(standing(ACCEPTED), {"gw-1"}).applied_generation == 2


@pytest.mark.parametrize("reason", ["backend 10.0.0.9 does not answer", "namespace payments is not there", "x"])
def test_a_gateways_own_words_about_the_provider_do_not_reach_the_consumer(reason: str) -> None:
    reports = reported(said("gw-1", Presence.HINDERED, reason=reason))
    shown = reports.readiness(standing(ACCEPTED), {"gw-1"}).reason
    assert shown == "a gateway is not ready to carry it"


@pytest.mark.parametrize("reason", sorted(SHOWN_REASONS))
def test_words_that_name_nothing_of_the_other_side_are_shown(reason: str) -> None:
    reports = reported(said("gw-1", Presence.HINDERED, reason=reason))
    assert reports.readiness(standing(ACCEPTED), {"gw-1"}).reason == reason


def test_without_a_gateway_the_condition_says_so() -> None:
    assert Reports().readiness(standing(ACCEPTED), []).reason == "no gateway is there to carry it"


@pytest.mark.parametrize(
    ("stage", "reason"),
    [
        ("pending", "the service's owner has yet to accept it"),
        ("rejected", "the service's owner rejected it"),
        ("failed", "service deleted"),
        ("deleting", "it is being deleted"),
    ],
)
def test_what_must_not_forward_is_not_ready_whatever_gateways_say(stage: str, reason: str) -> None:
    state = known(STATES[stage])
    facts = state.facts
    reports = reported(said("gw-1", Presence.FORWARDING, facts.generation))
    readiness = reports.readiness(standing(state), {"gw-1"})
    assert (readiness.status, readiness.reason, readiness.since) == (False, reason, facts.updated_at)
