"""What an agent can truthfully say of an endpoint."""

from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.endpoint.domain.presence import SHOWN_REASONS
from services.gateway_agent import facts
from services.gateway_agent.desired import REMOVED, Content, Desired, Versioned, Withheld
from services.gateway_agent.facts import Fact, Facts, Presence
from services.gateway_agent.proxies import PROXY_AWAY, PROXY_MISSING
from services.gateway_agent.table import Entry, ForwardingTable, Key, Put
from services.gateway_agent.tracker import Tracker
from tests.support.tables import attachment, endpoint, flows, service, tables

SHOP, PAYMENTS = attachment("vpc-1", "blue"), attachment("vpc-2", "green")
WEB = service("service-1", "vpc-2")
CLIENT = endpoint(1, "vpc-1", "service-1")
ALL = (SHOP, PAYMENTS, WEB, CLIENT)


def fact(
    desired: Iterable[Entry],
    actual: Iterable[Entry],
    difficulties: dict[Key, str] | None = None,
    client: Content | None = None,
) -> Fact | None:
    """The fact about the client, at version 7 where it is something else than desired."""
    heard, tracker = Desired(), Tracker()
    for entry in desired:
        heard.hear(Versioned(entry.key, 1, entry))
    if client is not None:
        heard.hear(Versioned(CLIENT.key, 7, client))
    tracker.resync(ForwardingTable.of(actual))
    tracker.aim(heard.table())
    told = Facts(heard, tracker)
    told.face(difficulties or {})
    return told.of(CLIENT.key)


def test_an_endpoint_with_all_that_it_needs_is_forwarded() -> None:
    assert fact(ALL, ALL) == Fact(CLIENT.id, 1, Presence.FORWARDING)


@pytest.mark.parametrize("missing", ALL)
def test_nothing_is_said_of_an_endpoint_while_a_change_is_being_made(missing: Entry) -> None:
    assert fact(ALL, [entry for entry in ALL if entry != missing]) is None


def test_an_endpoint_is_absent_once_nothing_of_it_is_left() -> None:
    assert fact(ALL, ALL, client=REMOVED) is None
    assert fact(ALL, ALL[:3], client=REMOVED) == Fact(CLIENT.id, 7, Presence.ABSENT)


def test_nothing_is_said_of_what_was_never_heard_of() -> None:
    assert fact(ALL[:3], ALL) is None


def test_an_endpoint_that_is_withheld_is_hindered() -> None:
    expected = Fact(CLIENT.id, 7, Presence.HINDERED, "no lease")
    assert fact(ALL, ALL[:3], client=Withheld("no lease")) == expected


@pytest.mark.parametrize(
    ("unheard", "reason"),
    [(SHOP, facts.VPC_NOT_REACHED), (PAYMENTS, facts.SERVICE_NOT_REACHED), (WEB, facts.SERVICE_NOT_KNOWN)],
)
def test_an_endpoint_that_is_held_back_says_what_it_waits_for(unheard: Entry, reason: str) -> None:
    desired = [entry for entry in ALL if entry != unheard]
    assert fact(desired, []) == Fact(CLIENT.id, 1, Presence.HINDERED, reason)


@pytest.mark.parametrize(
    ("hindered", "reason"),
    [
        (SHOP, facts.VPC_NOT_REACHED),
        (PAYMENTS, facts.SERVICE_NOT_REACHED),
        (WEB, facts.SERVICE_NOT_ANSWERING),
        (CLIENT, facts.ENDPOINT_NOT_MADE),
    ],
)
def test_what_hinders_is_told_in_words_that_name_nothing(hindered: Entry, reason: str) -> None:
    words = "backend 10.0.0.9 in namespace payments"
    assert fact(ALL, ALL, {hindered.key: words}) == Fact(CLIENT.id, 1, Presence.HINDERED, reason)


def test_a_service_all_of_whose_backends_are_draining_is_said_to_take_no_new_connections() -> None:
    (backend,) = WEB.backends
    drained = replace(WEB, backends=(replace(backend, draining=True),))
    entries = (SHOP, PAYMENTS, drained, CLIENT)
    said = fact(entries, entries, {WEB.key: "all of its backends are draining"})
    assert said == Fact(CLIENT.id, 1, Presence.HINDERED, facts.SERVICE_DRAINING)
    assert facts.SERVICE_DRAINING in SHOWN_REASONS


def test_an_owner_may_read_why_backends_are_not_told_of_his_clients() -> None:
    assert {PROXY_AWAY, PROXY_MISSING} <= SHOWN_REASONS


def test_a_change_that_fails_is_a_hindrance() -> None:
    desired, tracker = Desired(), Tracker()
    for entry in ALL:
        desired.hear(Versioned(entry.key, 1, entry))
    tracker.aim(desired.table())
    tracker.failed(Put(SHOP), "no namespace blue")
    told = Facts(desired, tracker)
    assert told.of(CLIENT.key) == Fact(CLIENT.id, 1, Presence.HINDERED, facts.VPC_NOT_REACHED)
    assert told.difficulty(SHOP.key) == "no namespace blue"


def test_only_what_is_news_about_difficulties_is_given_back() -> None:
    told = Facts(Desired(), Tracker())
    assert told.face({SHOP.key: "a", WEB.key: "b"}) == {SHOP.key, WEB.key}
    assert told.face({SHOP.key: "a", WEB.key: "c"}) == {WEB.key}
    assert told.face({WEB.key: "c"}) == {SHOP.key}


@settings(deadline=None)
@given(tables, tables, st.booleans())
def test_what_is_said_to_be_forwarded_passes_packets_as_desired(
    wanted: ForwardingTable, actual: ForwardingTable, same: bool
) -> None:
    desired, tracker = Desired(), Tracker()
    for entry in wanted.entries.values():
        desired.hear(Versioned(entry.key, 1, entry))
    tracker.resync(wanted if same else actual)
    told = Facts(desired, tracker)
    for key in desired.endpoints():
        said = told.of(key)
        if said is not None and said.presence is Presence.FORWARDING:
            passing = {flow for flow in flows((wanted if same else actual).entries) if flow.endpoint.id == key.id}
            assert passing >= {flow for flow in flows(wanted.entries) if flow.endpoint.id == key.id}
        elif same:
            raise AssertionError(f"{key} is forwarded, and not said to be")
