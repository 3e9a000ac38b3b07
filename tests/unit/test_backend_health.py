"""What follows from answers to health checks, one after another."""

from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway_agent.backend_health import (
    OUTCOMES,
    Answer,
    BackendHealth,
    Condition,
    Failure,
    Health,
    ServiceHealth,
    outcome,
    preferred,
    why_none_is_well,
    words,
)
from services.gateway_agent.table import Address, HealthCheck, HealthProtocol

YES, NO = Answer(), Answer(Failure.REFUSED)
WELL, UNKNOWN, UNHEALTHY = Condition.WELL, Condition.UNKNOWN, Condition.UNHEALTHY
ONE, OTHER, THIRD = (IPv4Address(f"10.0.0.{number}") for number in (1, 2, 3))


def check(healthy_after: int = 2, unhealthy_after: int = 3) -> HealthCheck:
    return HealthCheck(HealthProtocol.HTTP, 80, timeout=2, healthy_after=healthy_after, unhealthy_after=unhealthy_after)


def conditions(answers: str, begun: Condition = UNKNOWN) -> list[Condition]:
    health, found = Health(begun), []
    for each in answers:
        health = health.after(YES if each == "+" else NO, check())
        found.append(health.condition)
    return found


@pytest.mark.parametrize(
    ("begun", "answers", "expected"),
    [
        (UNKNOWN, "+", [WELL]),
        (UNKNOWN, "---", [UNKNOWN, UNKNOWN, UNHEALTHY]),
        (WELL, "---", [WELL, WELL, UNHEALTHY]),
        (WELL, "--+--+", [WELL] * 6),
        (UNHEALTHY, "++", [UNHEALTHY, WELL]),
        (UNHEALTHY, "+-+-+", [UNHEALTHY] * 5),
    ],
)
def test_so_many_answers_in_a_row_turn_a_condition(begun: Condition, answers: str, expected: list[Condition]) -> None:
    assert conditions(answers, begun) == expected


@given(st.lists(st.booleans(), max_size=40), st.integers(1, 10), st.integers(1, 10))
def test_a_condition_turns_only_with_as_many_answers_behind_it(answers: list[bool], well: int, ill: int) -> None:
    asked, health = check(well, ill), Health()
    for place, each in enumerate(answers):
        before, health = health, health.after(YES if each else NO, asked)
        if health.condition is before.condition:
            continue
        enough = ill if health.condition is UNHEALTHY else 1 if before.condition is UNKNOWN else well
        row = answers[place + 1 - enough : place + 1]
        assert len(row) == enough
        assert set(row) == {health.condition is WELL}


@pytest.mark.parametrize(
    ("known", "chosen"),
    [
        ({ONE: WELL, OTHER: UNKNOWN, THIRD: UNHEALTHY}, {ONE}),
        ({OTHER: UNKNOWN, THIRD: UNHEALTHY}, {OTHER}),
        ({ONE: UNHEALTHY, THIRD: UNHEALTHY}, {ONE, THIRD}),
        ({ONE: UNKNOWN, OTHER: UNKNOWN}, {ONE, OTHER}),
        ({}, set()),
    ],
)
def test_the_best_that_are_there_take_new_sessions(known: dict[Address, Condition], chosen: set[IPv4Address]) -> None:
    assert preferred(known) == chosen


def test_every_outcome_has_its_name_and_its_words() -> None:
    assert [outcome(YES), *(outcome(Answer(failure)) for failure in Failure)] == list(OUTCOMES)
    said = [words(Answer(failure, 503), check()) for failure in Failure]
    assert len(set(said)) == len(said)
    assert words(Answer(Failure.STATUS, 503), check()) == "HTTP status 503 from port 80"
    assert words(Answer(Failure.SILENT), check()) == "no answer from port 80 within 2 s"
    assert words(YES, check()) == ""


def test_why_none_is_well_names_only_those_that_take_new_sessions() -> None:
    ill = BackendHealth(ONE, UNHEALTHY, takes_sessions=True, error="connection refused at port 80")
    draining = BackendHealth(OTHER, UNHEALTHY, draining=True, error="no answer")
    known = ServiceHealth("web", (ill, draining))
    assert why_none_is_well(known) == "backend 10.0.0.1: connection refused at port 80"
    well = BackendHealth(THIRD, WELL, takes_sessions=True)
    assert why_none_is_well(ServiceHealth("web", (well, draining))) is None
    assert why_none_is_well(ServiceHealth("web", (draining,))) is None, "nobody takes any: that is said already"
