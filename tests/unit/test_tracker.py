"""Steps from what is forwarded to what should be."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Network

from hypothesis import event, given, settings
from hypothesis import strategies as st

from services.gateway_agent.table import Change, Entry, ForwardingTable, Key, Put, Remove
from services.gateway_agent.targets import Netns, Vxlan
from services.gateway_agent.tracker import Tracker
from tests.support.operations import operations
from tests.support.tables import attachment, endpoint, flows, service, tables

BLUE, GREEN = attachment("vpc-1", "blue"), attachment("vpc-2", "green")
DB = service("service-1", "vpc-2")
CLIENT = endpoint(1, "vpc-1", "service-1")
SMALL = (BLUE, GREEN, DB, CLIENT)
NARROW, WIDE = (IPv4Network("10.0.0.0/31"),), (IPv4Network("10.0.0.0/30"),)


@dataclass
class Switch:
    """A table that changes are made on, and every state it has been in."""

    entries: dict[Key, Entry] = field(default_factory=dict)
    states: list[Mapping[Key, Entry]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.states.append(dict(self.entries))

    def apply(self, change: Change) -> None:
        match change:
            case Put(entry):
                self.entries[entry.key] = entry
            case Remove(key):
                del self.entries[key]
        self.states.append(dict(self.entries))


def tracker_of(actual: Iterable[Entry], wanted: Iterable[Entry]) -> Tracker:
    tracker = Tracker()
    tracker.resync(ForwardingTable.of(actual))
    tracker.aim(ForwardingTable.of(wanted))
    return tracker


def run(tracker: Tracker, switch: Switch, fails: Callable[[Change], bool] = lambda _change: False) -> list[Change]:
    made: list[Change] = []
    while tracker.ready:
        for change in tracker.pending():
            if fails(change):
                tracker.failed(change, "not now")
                continue
            switch.apply(change)
            tracker.applied(change)
            made.append(change)
    return made


def steps(actual: Iterable[Entry], wanted: Iterable[Entry]) -> list[Change]:
    actual = tuple(actual)
    return run(tracker_of(actual, wanted), Switch(dict(ForwardingTable.of(actual).entries)))


def assert_every_state_is_safe(switch: Switch, old: ForwardingTable, new: ForwardingTable) -> None:
    allowed = flows(old.entries) | flows(new.entries)
    for state in switch.states:
        assert all(entry.needs <= state.keys() for entry in state.values()), "an entry lacks what it needs"
        assert flows(state) <= allowed, "it forwards what neither table forwards"


def test_what_an_endpoint_needs_is_put_before_it() -> None:
    assert steps([], reversed(SMALL)) == [Put(GREEN), Put(BLUE), Put(DB), Put(CLIENT)]


def test_what_uses_an_entry_is_removed_before_it() -> None:
    removed = [change.key for change in steps(SMALL, [])]
    assert removed[:2] == [CLIENT.key, DB.key]
    assert set(removed[2:]) == {BLUE.key, GREEN.key}


def test_an_attachment_that_moves_takes_its_users_out_first() -> None:
    moved = replace(GREEN, target=Netns("red", "sidegate0"))
    assert steps(SMALL, [BLUE, moved, DB, CLIENT]) == [
        Remove(CLIENT.key),
        Remove(DB.key),
        Remove(GREEN.key),
        Put(moved),
        Put(DB),
        Put(CLIENT),
    ]


def test_an_endpoint_that_begins_or_ceases_to_drain_is_one_change() -> None:
    draining = replace(CLIENT, draining_until=1_000)
    narrow = replace(draining, draining_until=500, allowed=NARROW)
    for old, new in ((CLIENT, draining), (draining, CLIENT), (draining, narrow)):
        assert steps([*SMALL[:3], old], [*SMALL[:3], new]) == [Put(new)]


def test_an_endpoint_that_gets_more_source_addresses_is_one_change_and_one_that_loses_some_is_cut() -> None:
    one, two = (IPv4Address(f"198.19.200.{number}") for number in (1, 2))
    few, many = replace(CLIENT, more_sources=(one,)), replace(CLIENT, more_sources=(one, two))
    for old, new in ((CLIENT, few), (few, many), (CLIENT, many)):
        assert steps([*SMALL[:3], old], [*SMALL[:3], new]) == [Put(new)]
    other = replace(CLIENT, more_sources=(two, one))
    for old, new in ((many, few), (few, CLIENT), (many, other)):
        assert steps([*SMALL[:3], old], [*SMALL[:3], new]) == [Remove(CLIENT.key), Put(new)]


def test_another_policy_is_one_change_and_another_first_address_is_not() -> None:
    whole, web, part, lower, upper = (endpoint(1, "vpc-1", "service-1", routed=number) for number in (1, 2, 3, 5, 6))
    for old, new in ((whole, web), (web, part), (part, lower), (lower, whole)):
        assert steps([*SMALL[:3], old], [*SMALL[:3], new]) == [Put(new)]
    for old, new in ((lower, upper), (CLIENT, whole), (whole, CLIENT)):
        assert steps([*SMALL[:3], old], [*SMALL[:3], new]) == [Remove(CLIENT.key), Put(new)]


def test_a_narrower_policy_comes_before_other_backends() -> None:
    old, new = (endpoint(1, "vpc-1", "service-1", routed=number) for number in (1, 3))
    other = service("service-1", "vpc-2", ["10.0.0.11"])
    assert steps([*SMALL[:3], old], [BLUE, GREEN, other, new]) == [Put(new), Put(other)]


def test_what_was_there_before_the_first_change_is_remembered() -> None:
    tracker = tracker_of(SMALL[:2], SMALL)
    before = tracker.changes
    run(tracker, Switch(dict(ForwardingTable.of(SMALL[:2]).entries)))
    assert tracker.found == {BLUE.key, GREEN.key}
    assert tracker.changes == before + 2
    tracker.resync(ForwardingTable.of(SMALL))
    assert tracker.found == {BLUE.key, GREEN.key}


def test_an_endpoint_that_is_accepted_again_opens_nothing_while_its_service_is_another() -> None:
    draining, moved = replace(CLIENT, draining_until=1_000), service("service-1", "vpc-2", port=443)
    assert steps([*SMALL[:3], draining], [BLUE, GREEN, moved, CLIENT]) == [Put(moved), Put(CLIENT)]
    narrow = replace(CLIENT, allowed=NARROW)
    both = replace(narrow, draining_until=1_000)
    assert steps([*SMALL[:3], draining], [BLUE, GREEN, moved, narrow]) == [Put(both), Put(moved), Put(narrow)]


def test_other_remote_hosts_of_a_vxlan_are_one_change_and_another_segment_is_not() -> None:
    hosts = [IPv4Address(f"192.0.2.{number}") for number in (1, 2)]
    before = replace(GREEN, target=Vxlan(100, tuple(hosts)))
    fewer = replace(GREEN, target=Vxlan(100, tuple(hosts[:1])))
    start: list[Entry] = [BLUE, before, DB, CLIENT]
    assert steps(start, [BLUE, fewer, DB, CLIENT]) == [Put(fewer)]
    other = replace(GREEN, target=Vxlan(101, tuple(hosts)))
    assert steps(start, [BLUE, other, DB, CLIENT])[:3] == [Remove(CLIENT.key), Remove(DB.key), Remove(GREEN.key)]


def test_other_backends_are_one_change() -> None:
    other = service("service-1", "vpc-2", ["10.0.0.99"])
    assert steps(SMALL, [BLUE, GREEN, other, CLIENT]) == [Put(other)]


def test_another_admission_is_one_change() -> None:
    assert steps(SMALL, [BLUE, GREEN, DB, replace(CLIENT, admission=2)]) == [Put(replace(CLIENT, admission=2))]


def test_an_endpoint_at_another_address_leaves_before_anything_is_put() -> None:
    moved, other = replace(CLIENT, address=CLIENT.address + 1), endpoint(1, "vpc-1", "service-1", id_="endpoint-9")
    assert steps(SMALL, [BLUE, GREEN, DB, moved, other])[0] == Remove(CLIENT.key)


def test_a_widened_whitelist_and_other_backends_cut_no_session() -> None:
    old, new = replace(CLIENT, allowed=NARROW), replace(CLIENT, allowed=WIDE)
    other = service("service-1", "vpc-2", ["10.0.0.99"])
    assert steps([BLUE, GREEN, DB, old], [BLUE, GREEN, other, new]) == [Put(other), Put(new)]


def test_a_narrowed_whitelist_comes_before_other_backends() -> None:
    old, new = replace(CLIENT, allowed=WIDE), replace(CLIENT, allowed=NARROW)
    other = service("service-1", "vpc-2", ["10.0.0.99"])
    assert steps([BLUE, GREEN, DB, old], [BLUE, GREEN, other, new]) == [Put(new), Put(other)]


def test_an_entry_waits_for_what_could_not_be_put() -> None:
    tracker, switch = tracker_of([], SMALL), Switch()
    assert run(tracker, switch, lambda change: change == Put(GREEN)) == [Put(BLUE)]
    assert tracker.reason(GREEN.key) == "not now"
    assert not tracker.ready
    assert not tracker.settled
    tracker.retry([GREEN.key])
    assert run(tracker, switch) == [Put(GREEN), Put(DB), Put(CLIENT)]
    assert tracker.settled


def test_a_whitelist_is_narrowed_at_once_though_the_new_backends_wait() -> None:
    old, new = replace(CLIENT, allowed=WIDE), replace(CLIENT, allowed=NARROW)
    other = service("service-1", "vpc-2", ["10.0.0.99"])
    tracker = tracker_of([BLUE, GREEN, DB, old], [BLUE, GREEN, other, new])
    made = run(tracker, Switch(dict(ForwardingTable.of([BLUE, GREEN, DB, old]).entries)), lambda c: c == Put(other))
    assert made == [Put(new)]


def test_what_cannot_be_removed_keeps_what_it_uses() -> None:
    tracker = tracker_of(SMALL, [])
    switch = Switch(dict(ForwardingTable.of(SMALL).entries))
    assert run(tracker, switch, lambda change: change == Remove(CLIENT.key)) == []
    assert tracker.holds(GREEN.key)
    tracker.retry([CLIENT.key])
    run(tracker, switch)
    assert tracker.settled
    assert not switch.entries


def test_a_change_of_mind_makes_a_failure_forgotten() -> None:
    tracker = tracker_of(SMALL, SMALL)
    tracker.want(DB.key, service("service-1", "vpc-2", ["10.0.0.99"]))
    run(tracker, Switch(), lambda _change: True)
    tracker.want(DB.key, DB)
    assert tracker.settled
    assert tracker.reason(DB.key) is None


def test_a_resync_names_what_was_changed_behind_our_back() -> None:
    tracker = tracker_of(SMALL, SMALL)
    assert tracker.resync(ForwardingTable.of([BLUE, GREEN, DB])) == {CLIENT.key}
    assert list(tracker.pending()) == [Put(CLIENT)]


def test_users_of_an_entry_that_vanished_are_put_anew() -> None:
    tracker, switch = tracker_of(SMALL, SMALL), Switch(dict(ForwardingTable.of([BLUE, GREEN, CLIENT]).entries))
    tracker.resync(ForwardingTable.of([BLUE, GREEN, CLIENT]))
    assert run(tracker, switch) == [Remove(CLIENT.key), Put(DB), Put(CLIENT)]


@settings(deadline=None)
@given(tables, tables)
def test_the_steps_lead_from_any_table_to_any_other_and_are_safe_at_every_moment(
    old: ForwardingTable, new: ForwardingTable
) -> None:
    tracker, switch = tracker_of(old.entries.values(), new.entries.values()), Switch(dict(old.entries))
    made = run(tracker, switch)
    event(f"{min(len(made), 10)} steps")
    assert switch.entries == new.entries
    assert tracker.settled
    assert list(tracker.pending()) == []
    assert_every_state_is_safe(switch, old, new)


@settings(deadline=None)
@given(tables, tables, st.data())
def test_failures_delay_the_steps_and_never_make_them_unsafe(
    old: ForwardingTable, new: ForwardingTable, data: st.DataObject
) -> None:
    tracker, switch = tracker_of(old.entries.values(), new.entries.values()), Switch(dict(old.entries))
    for _attempt in range(3):
        failing = data.draw(st.sets(st.sampled_from(sorted(old.entries.keys() | new.entries.keys()) or [BLUE.key])))
        run(tracker, switch, lambda change, failing=failing: change.key in failing)  # type: ignore[misc]  # mypy infers no default of a lambda
        tracker.retry(old.entries.keys() | new.entries.keys())
    run(tracker, switch)
    assert switch.entries == new.entries
    assert tracker.settled
    assert_every_state_is_safe(switch, old, new)


@settings(deadline=None)
@given(tables, st.lists(tables, min_size=1, max_size=4))
def test_a_resync_at_any_moment_changes_nothing_of_the_outcome(
    old: ForwardingTable, later: list[ForwardingTable]
) -> None:
    tracker, switch = tracker_of(old.entries.values(), old.entries.values()), Switch(dict(old.entries))
    for new in later:
        tracker.aim(new)
        for change, _ in zip(tracker.pending(), range(2), strict=False):
            switch.apply(change)
            tracker.applied(change)
        assert tracker.resync(ForwardingTable(dict(switch.entries))) == frozenset()
    run(tracker, switch)
    assert switch.entries == later[-1].entries


def cost_of_one_change(endpoints: int, changed: Entry) -> int:
    clients = (endpoint(number, "vpc-1", "service-1") for number in range(1, endpoints + 1))
    table: list[Entry] = [BLUE, GREEN, DB, *clients]
    tracker = tracker_of(table, table)

    def change() -> None:
        tracker.want(changed.key, changed)
        for each in tracker.pending():
            tracker.applied(each)

    cost = operations(change)
    assert tracker.settled
    return cost


def test_one_change_costs_the_same_among_ten_and_among_ten_thousand() -> None:
    for changed in (replace(CLIENT, admission=2), service("service-1", "vpc-2", ["10.0.0.99"])):
        assert cost_of_one_change(10_000, changed) == cost_of_one_change(10, changed) < 300
