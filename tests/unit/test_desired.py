"""What a gateway should forward, from news in any order."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from services.gateway_agent.desired import REMEMBERED, REMOVED, Content, Desired, Removed, Versioned, Withheld
from services.gateway_agent.table import Entry, ForwardingTable, Key, Resolver
from tests.support.operations import operations
from tests.support.tables import attachment, attachments, closed, endpoint, endpoints, service, services

BLUE, GREEN = attachment("vpc-1", "blue"), attachment("vpc-2", "green")
DB = service("service-1", "vpc-2")
CLIENT = endpoint(1, "vpc-1", "service-1")
SMALL = (BLUE, GREEN, DB, CLIENT)


def news(entry: Entry, version: int = 1) -> Versioned:
    return Versioned(entry.key, version, entry)


def first(entries: Iterable[Entry]) -> list[Versioned]:
    return [news(entry) for entry in entries]


def gone(entry: Entry, version: int) -> Versioned:
    return Versioned(entry.key, version, REMOVED)


def desired_of(*heard: Versioned) -> Desired:
    desired = Desired()
    for each in heard:
        desired.hear(each)
    return desired


def heard_of(entries: Sequence[Entry]) -> Desired:
    return desired_of(*first(entries))


def test_everything_heard_of_is_wanted() -> None:
    assert heard_of(SMALL).table() == ForwardingTable.of(SMALL)


def test_an_endpoint_is_held_back_until_its_service_and_its_attachments_are_heard_of() -> None:
    desired = heard_of([CLIENT, DB, BLUE])
    assert desired.table() == ForwardingTable.of([BLUE])
    assert set(desired.take_changed()) == {CLIENT.key, DB.key, BLUE.key}
    desired.hear(news(GREEN))
    assert desired.table() == ForwardingTable.of(SMALL)
    assert set(desired.take_changed()) == {GREEN.key, DB.key, CLIENT.key}


def test_an_endpoint_goes_with_its_service() -> None:
    desired = heard_of(SMALL)
    desired.hear(gone(DB, 2))
    assert desired.table() == ForwardingTable.of([BLUE, GREEN])


def test_older_news_and_news_known_already_change_nothing() -> None:
    desired = desired_of(*first(SMALL[:3]), gone(CLIENT, 5))
    desired.take_changed()
    for late in (news(CLIENT, 4), news(CLIENT, 5), gone(CLIENT, 5), gone(CLIENT, 3)):
        assert not desired.hear(late)
    assert desired.wanted(CLIENT.key) is None
    assert desired.take_changed() == ()


def test_an_endpoint_without_a_source_address_is_withheld_until_it_has_one() -> None:
    desired = desired_of(*first(SMALL[:3]), Versioned(CLIENT.key, 1, Withheld("no source address yet")))
    assert desired.wanted(CLIENT.key) is None
    assert desired.hear(news(CLIENT, 1))
    assert desired.wanted(CLIENT.key) == CLIENT


def test_a_newer_version_of_the_same_entry_is_a_change() -> None:
    desired = heard_of(SMALL)
    desired.take_changed()
    desired.hear(news(CLIENT, 2))
    assert desired.take_changed() == (CLIENT.key,)


def test_a_snapshot_replaces_all_that_was_heard() -> None:
    desired = heard_of(SMALL)
    desired.take_changed()
    desired.replace([news(BLUE), news(GREEN), news(DB)], position=7)
    assert desired.table() == ForwardingTable.of([BLUE, GREEN, DB])
    assert (desired.position, desired.synced) == (7, True)
    assert CLIENT.key in desired.take_changed()


def test_the_versions_are_of_everything_that_is_not_removed() -> None:
    withheld = Versioned(endpoint(2, "vpc-1", "service-1").key, 3, Withheld("no source address yet"))
    desired = desired_of(news(CLIENT, 4), gone(DB, 2), withheld, news(BLUE))
    versions = [("attachment", "vpc-1", 1, ""), ("endpoint", "endpoint-1", 4, ""), ("endpoint", "endpoint-2", 3, "")]
    assert sorted(desired.versions()) == versions


DRAINING = replace(CLIENT, draining_until=1_000)


def test_an_endpoint_drains_until_its_moment_and_nothing_that_is_told_again_brings_it_back() -> None:
    desired = desired_of(*first(SMALL), news(DRAINING, 2))
    desired.end_drains(999)
    assert (desired.wanted(CLIENT.key), desired.is_removed(CLIENT.key)) == (DRAINING, False)
    desired.take_changed()
    desired.end_drains(1_000)
    assert (desired.wanted(CLIENT.key), desired.is_removed(CLIENT.key)) == (None, True)
    assert desired.take_changed() == (CLIENT.key,)
    for late in (news(CLIENT, 1), news(DRAINING, 2)):
        desired.hear(late)
    desired.end_drains(0)
    desired.replace([*first(SMALL[:3]), news(DRAINING, 2)], position=7)
    assert desired.table() == ForwardingTable.of(SMALL[:3])
    desired.end_drains(2_000)
    assert desired.wanted(CLIENT.key) is None


def test_an_endpoint_that_is_accepted_again_is_wanted_whether_its_drain_has_ended_or_not() -> None:
    for now in (999, 1_000):
        desired = desired_of(*first(SMALL[:3]), news(DRAINING, 2))
        desired.end_drains(now)
        desired.hear(news(CLIENT, 3))
        desired.end_drains(2_000)
        assert desired.wanted(CLIENT.key) == CLIENT


def test_a_drain_that_is_shortened_ends_at_its_new_moment() -> None:
    desired = desired_of(*first(SMALL[:3]), news(DRAINING, 2), news(replace(DRAINING, draining_until=500), 3))
    desired.end_drains(500)
    assert desired.wanted(CLIENT.key) is None


def test_whether_a_drain_has_ended_here_does_not_make_tables_differ() -> None:
    desired = desired_of(*first(SMALL[:3]), news(DRAINING, 2))
    versions = sorted(desired.versions())
    desired.end_drains(1_000)
    assert sorted(desired.versions()) == versions
    assert (*CLIENT.key, 2, "") in versions
    desired.hear(gone(CLIENT, 3))
    assert [version for kind, _, version, _ in desired.versions() if kind is CLIENT.key.kind] == []


History = list[Versioned]


@st.composite
def histories(draw: st.DrawFn) -> History:
    """A log: each key's versions count up, and each says what the key is or that it is gone."""
    versions: dict[Key, int] = {}
    log: History = []
    for entry in draw(st.lists(attachments | services | endpoints, max_size=30)):
        versions[entry.key] = versions.get(entry.key, 0) + 1
        content: Content = draw(st.sampled_from([entry, entry, entry, REMOVED, Withheld("no source address yet")]))
        log.append(Versioned(entry.key, versions[entry.key], content))
    return log


def outcome(log: History) -> ForwardingTable:
    """The law in one line: the last word on each key, closed over what it needs."""
    last = {each.key: each.content for each in log}
    return closed([content for content in last.values() if not isinstance(content, Withheld | Removed | Resolver)])


def undrained(log: History, now: int) -> ForwardingTable:
    """The same at a moment: whoever drains until then is not there any more."""
    last = {each.key: each.content for each in log}
    kept = [content for content in last.values() if not isinstance(content, Withheld | Removed | Resolver)]
    return closed([entry for entry in kept if not 0 < getattr(entry, "draining_until", 0) <= now])


def squashed(log: History) -> History:
    return list({each.key: each for each in log}.values())


@st.composite
def expansions(draw: st.DrawFn, log: History) -> History:
    """The same log as a bad network may deliver it: reordered, repeated, partly squashed, in any mixture."""
    cut = draw(st.integers(0, len(log)))
    parts = draw(
        st.sampled_from(
            [
                [log],
                [list(reversed(log))],
                [log, log],
                [squashed(log)],
                [log[cut:], log[:cut]],
                [squashed(log[:cut]), log[cut:]],
                [list(reversed(log[:cut])), squashed(log), [], log[cut:]],
            ]
        )
    )
    return [each for part in parts for each in part]


@settings(deadline=None)
@given(histories(), st.data())
def test_any_order_repetition_or_squashing_of_the_news_gives_the_same_table(log: History, data: st.DataObject) -> None:
    delivered = data.draw(expansions(log))
    shuffled = data.draw(st.permutations(delivered))
    assert desired_of(*log).table() == outcome(log)
    assert desired_of(*delivered).table() == outcome(log)
    assert desired_of(*shuffled).table() == outcome(log)


@settings(deadline=None)
@given(histories(), st.integers(0, 2_500), st.data())
def test_a_drain_ends_the_same_whenever_the_clock_is_looked_at(log: History, now: int, data: st.DataObject) -> None:
    desired = Desired()
    for each in data.draw(expansions(log)):
        desired.hear(each)
        if data.draw(st.booleans()):
            desired.end_drains(now)
    desired.end_drains(now)
    assert desired.table() == undrained(log, now)


@settings(deadline=None)
@given(histories(), st.integers(0, 30), st.data())
def test_a_snapshot_and_what_came_after_it_give_the_same_table(log: History, at: int, data: st.DataObject) -> None:
    desired = desired_of(*data.draw(histories()))
    desired.replace(squashed(log[:at]), position=at)
    for each in data.draw(expansions(log[at:])):
        desired.hear(each)
    assert desired.table() == outcome(log)


@settings(deadline=None)
@given(histories(), st.integers(1, 7))
def test_following_the_changed_keys_gives_the_whole_table(log: History, step: int) -> None:
    desired, followed = Desired(), dict[Key, Entry]()
    for start in range(0, len(log), step):
        for each in log[start : start + step]:
            desired.hear(each)
        for key in desired.take_changed():
            followed.pop(key, None)
            if (entry := desired.wanted(key)) is not None:
                followed[key] = entry
        assert ForwardingTable(followed) == desired.table()


def test_only_so_many_tombstones_are_kept_beside_those_of_the_snapshot() -> None:
    old, first = endpoint(1, "vpc-1", "service-1"), endpoint(2, "vpc-1", "service-1")
    desired = Desired()
    desired.replace([gone(old, 5)], position=1)
    for number in range(2, REMEMBERED + 3):
        desired.hear(gone(endpoint(number, "vpc-1", "service-1"), 2))
    assert desired.known(old.key) == gone(old, 5)
    assert desired.known(first.key) is None
    assert len(list(desired.endpoints())) == REMEMBERED + 1


def test_an_endpoint_that_comes_back_is_no_tombstone() -> None:
    desired = heard_of(SMALL)
    desired.hear(gone(CLIENT, 2))
    desired.hear(news(CLIENT, 3))
    assert desired.wanted(CLIENT.key) == CLIENT
    assert list(desired.users(DB.key)) == [CLIENT.key]
    desired.hear(gone(CLIENT, 4))
    assert list(desired.users(DB.key)) == []


def cost_of_one_event(number_of_endpoints: int, heard: Versioned) -> int:
    clients = (endpoint(number, "vpc-1", "service-1") for number in range(1, number_of_endpoints + 1))
    desired = heard_of([BLUE, GREEN, DB, *clients])
    desired.take_changed()
    cost = operations(lambda: desired.hear(heard))
    assert desired.take_changed() == (heard.key,)
    return cost


def test_one_event_costs_the_same_among_ten_and_among_ten_thousand_endpoints() -> None:
    for heard in (news(replace(CLIENT, admission=2), 2), news(service("service-1", "vpc-2", ["10.0.0.99"]), 2)):
        assert cost_of_one_event(10_000, heard) == cost_of_one_event(10, heard) < 150
