"""How many source addresses an endpoint needs, by what has passed."""

from dataclasses import replace
from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway_agent.sources import (
    KEPT_SECONDS,
    NEAR,
    NO_SOURCE_PORT,
    SESSIONS_PER_SOURCE,
    Ground,
    Needs,
    needed,
    per_source,
)
from services.gateway_agent.table import Backend, ForwardingTable
from services.gateway_agent.traffic import Traffic
from tests.support.tables import attachment, backends, endpoint, service

HALF = SESSIONS_PER_SOURCE // 2
WEB, CLIENT = service("service-1", "vpc-2"), endpoint(1, "vpc-1", "service-1")
TABLE = Ground.of(ForwardingTable.of([attachment("vpc-1", "blue"), attachment("vpc-2", "green"), WEB, CLIENT]))


def with_sources(number: int) -> Ground:
    more = tuple(IPv4Address("198.19.200.0") + each for each in range(1, number))
    return replace(TABLE, endpoints={CLIENT.id: replace(CLIENT, more_sources=more)})


@pytest.mark.parametrize(
    ("backends", "sources"),
    [
        ((Backend(IPv4Address("10.0.0.1")),), 1),
        ((Backend(IPv4Address("10.0.0.1")), Backend(IPv4Address("10.0.0.2"))), 2),
        ((Backend(IPv4Address("10.0.0.1"), 3), Backend(IPv4Address("10.0.0.2"), 1)), 4 / 3),
        ((Backend(IPv4Address("10.0.0.1")), Backend(IPv4Address("10.0.0.2"), draining=True)), 1),
        ((), 1),
    ],
)
def test_a_source_holds_as_many_sessions_as_when_the_heaviest_backend_is_full(
    backends: tuple[Backend, ...], sources: float
) -> None:
    assert per_source(replace(WEB, backends=backends)) == int(SESSIONS_PER_SOURCE * sources)


@pytest.mark.parametrize(
    ("sessions", "sources", "starved", "number"),
    [
        (0, 1, False, 1),
        (HALF, 1, False, 1),
        (HALF + 1, 1, False, 2),
        (1_000_000, 1, False, 32),
        (1_000_000, 32, False, 32),
        (0, 1, True, 2),
        (HALF + 1, 1, True, 2),
        (0, 64, True, 128),
    ],
)
def test_more_are_needed_from_half_of_what_there_is_on(sessions: int, sources: int, starved: bool, number: int) -> None:
    assert needed(sessions, sources, SESSIONS_PER_SOURCE, starved=starved) == number


@given(st.integers(0, 10_000_000), st.integers(1, 64), st.booleans())
def test_what_is_needed_is_enough_and_no_more_than_twice_too_much(sessions: int, sources: int, starved: bool) -> None:
    number = needed(sessions, sources, SESSIONS_PER_SOURCE, starved=starved)
    assert number >= sources * (1 + starved)
    assert sessions <= number * SESSIONS_PER_SOURCE * NEAR
    if number > sources * (1 + starved):
        assert sessions > number / 2 * SESSIONS_PER_SOURCE * NEAR


def test_an_endpoint_that_has_enough_needs_nothing() -> None:
    needs = Needs()
    assert needs.look({CLIENT.id: Traffic(sessions=HALF)}, TABLE, 0.0) == frozenset()
    assert (needs.of(CLIENT.id), needs.number()) == (0, 0)


def test_a_need_is_news_once_and_over_when_there_are_as_many() -> None:
    needs, many = Needs(), {CLIENT.id: Traffic(sessions=3 * HALF)}
    assert needs.look(many, TABLE, 0.0) == {CLIENT.id}
    assert needs.of(CLIENT.id) == 4
    assert needs.look(many, TABLE, 1.0) == frozenset()
    grown = with_sources(4)
    assert needs.look(many, grown, 2.0) == frozenset(), "the report leaves out what is there by now"
    assert needs.look(many, grown, 2.0 + KEPT_SECONDS) == {CLIENT.id}
    assert needs.of(CLIENT.id) == 0


def test_a_refused_source_port_is_a_need_whatever_the_sessions_and_only_while_it_goes_on() -> None:
    needs = Needs()
    refused = {CLIENT.id: Traffic(sessions=10, refused={NO_SOURCE_PORT: 3})}
    assert needs.look(refused, TABLE, 0.0) == {CLIENT.id}
    assert needs.of(CLIENT.id) == 2
    assert needs.look(refused, TABLE, KEPT_SECONDS / 2) == frozenset()
    assert needs.look(refused, TABLE, KEPT_SECONDS) == {CLIENT.id}, "none was refused for a minute"
    refused = {CLIENT.id: Traffic(sessions=10, refused={NO_SOURCE_PORT: 4})}
    assert needs.look(refused, TABLE, KEPT_SECONDS) == {CLIENT.id}


def test_counts_that_begin_anew_are_no_need() -> None:
    needs = Needs()
    needs.look({CLIENT.id: Traffic(refused={NO_SOURCE_PORT: 9})}, TABLE, 0.0)
    assert needs.look({CLIENT.id: Traffic(refused={NO_SOURCE_PORT: 2})}, TABLE, KEPT_SECONDS) == {CLIENT.id}
    assert needs.of(CLIENT.id) == 0


def test_what_is_no_longer_in_the_table_needs_nothing() -> None:
    needs = Needs()
    needs.look({CLIENT.id: Traffic(sessions=HALF + 1)}, TABLE, 0.0)
    assert needs.look({}, Ground(), 1.0) == {CLIENT.id}
    assert needs.number() == 0


def test_backends_that_are_known_to_take_no_sessions_hold_none() -> None:
    pair = replace(WEB, backends=backends(IPv4Address("10.0.0.1"), IPv4Address("10.0.0.2")))
    some = {CLIENT.id: Traffic(sessions=HALF + 1)}
    needs = Needs()
    assert needs.look(some, replace(TABLE, holds={WEB.id: per_source(pair)}), 0.0) == frozenset()
    one = per_source(pair, {IPv4Address("10.0.0.2")})
    assert needs.look(some, replace(TABLE, holds={WEB.id: one}), 1.0) == {CLIENT.id}
    assert needs.of(CLIENT.id) == 2
