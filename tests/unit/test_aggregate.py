"""Aggregates: from a command to stored events and an answer, once."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.eventsourcing.aggregate import ATTEMPTS, Aggregate, Outcome
from services.common.eventsourcing.context import CommandContext
from services.common.eventsourcing.decider import Decider
from services.common.eventsourcing.memory_store import MemoryStore
from services.common.eventsourcing.rebuild import rebuild_holdings
from services.common.eventsourcing.store import (
    AlreadyClaimed,
    Append,
    Appended,
    Claim,
    Conflict,
    Constraints,
    Count,
    LimitReached,
    NewEvent,
    NotClaimed,
    RecordedEvent,
    Request,
    RequestReused,
)
from services.common.principal import Principal
from tests.support.stores import AT, an_append, whole_log

SHOP = Principal("acme", "shop")


@dataclass(frozen=True, slots=True)
class Take:
    """Gives up what is held and takes these addresses, one after the other."""

    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GiveUp:
    pass


@dataclass(frozen=True, slots=True)
class Taken:
    address: str


@dataclass(frozen=True, slots=True)
class GivenUp:
    address: str


Command = Take | GiveUp
Event = Taken | GivenUp
State = str
"""The address held, or nothing."""


class Refused(Exception):
    pass


def decide(command: Command, state: State) -> Sequence[Event]:
    match command:
        case Take(addresses):
            events: list[Event] = []
            for address in addresses:
                if address in ("none", state):
                    raise Refused
                events += [GivenUp(state)] * bool(state) + [Taken(address)]
                state = address
            return events
        case GiveUp():
            return [GivenUp(state)] * bool(state)


def evolve(_state: State, event: Event) -> State:
    return event.address if isinstance(event, Taken) else ""


def constraints(_state: State, event: Event) -> Constraints:
    claim, count = Claim("address", event.address), Count("held", "shop", 1)
    if isinstance(event, Taken):
        return Constraints(claims=(claim,), counts=(count,))
    return Constraints(releases=(claim,), counts=(replace(count, delta=-1),))


class LeaseCodec:
    def encode(self, event: Event, state: State) -> NewEvent:
        return NewEvent(f"lease.{type(event).__name__.lower()}", f"{event.address}>{state}".encode())

    def decode(self, event: RecordedEvent) -> Event:
        address = event.data.decode().partition(">")[0]
        return Taken(address) if event.type == "lease.taken" else GivenUp(address)

    def partition(self, state: State) -> str:
        return "held" if state else "free"


LEASE: Decider[Command, State, Event] = Decider("", decide, evolve, constraints)
Leases = Aggregate[Command, State, Event]


def leases(store: MemoryStore) -> Leases:
    return Aggregate(store, LEASE, LeaseCodec(), lambda context: str(context.principal).encode())


def context(request_id: str = "", command: str = "", expected_version: int | None = None) -> CommandContext:
    return CommandContext(SHOP, AT, request_id, "Lease", command.encode().ljust(32), expected_version)


def render(state: State, version: int) -> bytes:
    return f"{state}@{version}".encode()


def take(*addresses: str) -> Take:
    return Take(addresses)


@dataclass
class Contended(MemoryStore):
    """Another program does something just before each append or load, as often as there is something to do."""

    others: list[Append] = field(default_factory=list)
    before_load: list[Append] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    async def append(self, append: Append) -> Appended:
        if self.others:
            await super().append(self.others.pop())
        return await super().append(append)

    async def load(self, stream: str, after: int = 0) -> Sequence[RecordedEvent]:
        if self.before_load:
            await super().append(self.before_load.pop())
        return await super().load(stream, after)


async def test_a_command_appends_its_events_and_answers_with_the_state_after_it() -> None:
    store = MemoryStore()
    await store.append(an_append("other"))
    outcome = await leases(store).execute("lease-1", take("a", "b"), context(), render)
    assert outcome == Outcome(b"b@3", "b", position=4, version=3)
    events = await store.load("lease-1")
    assert [(event.type, event.data) for event in events] == [
        ("lease.taken", b"a>a"),
        ("lease.givenup", b"a>"),
        ("lease.taken", b"b>b"),
    ]
    assert {(event.partition, event.meta, event.recorded_at) for event in events} == {("held", b"acme/shop", AT)}


async def test_the_state_is_loaded_as_it_is_and_as_it_was() -> None:
    store = MemoryStore()
    aggregate = leases(store)
    assert await aggregate.load("lease-1") == ("", 0)
    await aggregate.execute("lease-1", take("a"), context(), render)
    await aggregate.execute("lease-2", take("x"), context(), render)
    await aggregate.execute("lease-1", take("b"), context(), render)
    assert await aggregate.load("lease-1") == ("b", 3)
    states = [await aggregate.load("lease-1", at=position) for position in range(6)]
    assert states == [("", 0), ("a", 1), ("a", 1), ("", 2), ("b", 3), ("b", 3)]


async def test_a_repeated_request_gets_the_first_answer_and_the_state_of_then() -> None:
    aggregate = leases(MemoryStore())
    first = await aggregate.execute("lease-1", take("a"), context("r-1"), render)
    await aggregate.execute("lease-1", take("b"), context("r-2"), render)
    again = await aggregate.execute("lease-1", take("a"), context("r-1"), render)
    assert again == replace(first, replayed=True)
    assert (await aggregate.load("lease-1"))[0] == "b"


async def test_a_repeated_request_is_answered_even_if_it_would_be_refused_now() -> None:
    aggregate = leases(MemoryStore())
    await aggregate.execute("lease-1", take("a"), context("r-1", expected_version=0), render, limits={"held": 1})
    again = await aggregate.execute("lease-1", take("none"), context("r-1", expected_version=0), render)
    assert again.replayed


async def test_a_command_that_changes_nothing_is_remembered() -> None:
    store = MemoryStore()
    aggregate = leases(store)
    assert await aggregate.execute("lease-1", GiveUp(), context("r-1"), render) == Outcome(b"@0", "", 0, 0)
    await aggregate.execute("lease-1", take("a"), context(), render)
    again = await aggregate.execute("lease-1", GiveUp(), context("r-1"), render)
    assert again == Outcome(b"@0", "", 0, 0, replayed=True)
    assert len(await whole_log(store)) == 1


async def test_a_refused_command_is_not_remembered() -> None:
    aggregate = leases(MemoryStore())
    with pytest.raises(Refused):
        await aggregate.execute("lease-1", take("none"), context("r-1"), render)
    assert not (await aggregate.execute("lease-1", take("a"), context("r-1"), render)).replayed


async def test_a_request_id_is_not_used_again_for_another_command() -> None:
    aggregate = leases(MemoryStore())
    await aggregate.execute("lease-1", take("a"), context("r-1", "take a"), render)
    with pytest.raises(RequestReused):
        await aggregate.execute("lease-1", take("b"), context("r-1", "take b"), render)


async def test_without_a_request_id_nothing_is_remembered() -> None:
    aggregate = leases(MemoryStore())
    outcomes = [await aggregate.execute("lease-1", take(address), context(), render) for address in "ab"]
    assert [outcome.version for outcome in outcomes] == [1, 3]


async def test_an_outdated_version_is_a_conflict_before_anything_is_decided() -> None:
    store = MemoryStore()
    aggregate = leases(store)
    await aggregate.execute("lease-1", take("a"), context(), render)
    for expected in (0, 2):
        with pytest.raises(Conflict) as conflict:
            await aggregate.execute("lease-1", take("none"), context(expected_version=expected), render)
        assert conflict.value.version == 1
    await aggregate.execute("lease-1", take("b"), context(expected_version=1), render)


async def test_a_command_is_decided_anew_when_another_program_was_faster() -> None:
    store = Contended()
    events = [NewEvent("lease.taken", b"x>x")]
    store.others = [replace(an_append("lease-1"), events=events) for _ in range(ATTEMPTS - 1)]
    outcome = await leases(store).execute("lease-1", take("a"), context(), render)
    assert outcome.version == ATTEMPTS + 1
    assert [event.type for event in (await store.load("lease-1"))[-2:]] == ["lease.givenup", "lease.taken"]


async def test_a_command_that_is_always_too_late_ends_in_a_conflict() -> None:
    store = Contended()
    store.others = [replace(an_append("lease-1"), events=[NewEvent("lease.taken", b"x>x")]) for _ in range(ATTEMPTS)]
    with pytest.raises(Conflict):
        await leases(store).execute("lease-1", take("a"), context(), render)
    assert store.others == []


async def test_a_command_that_expects_a_version_is_not_decided_anew() -> None:
    store = Contended()
    store.others = [replace(an_append("lease-1"), events=[NewEvent("lease.taken", b"x>x")]) for _ in range(2)]
    with pytest.raises(Conflict):
        await leases(store).execute("lease-1", take("a"), context(expected_version=0), render)
    assert len(store.others) == 1


@pytest.mark.parametrize("moment", ["others", "before_load"])
async def test_a_twin_that_is_answered_meanwhile_answers_for_both(moment: str) -> None:
    twin = context("r-1")
    assert twin.request_key is not None
    store = Contended()
    answered = an_append("lease-1", request=Request(twin.request_key, twin.command_hash, b"a@1"))
    getattr(store, moment).append(replace(answered, events=[NewEvent("lease.taken", b"a>a")]))
    outcome = await leases(store).execute("lease-1", take("a"), twin, render)
    assert outcome == Outcome(b"a@1", "a", position=1, version=1, replayed=True)
    assert len(await store.load("lease-1")) == 1


async def test_commands_to_one_stream_take_turns() -> None:
    store = Contended()
    aggregate = leases(store)
    outcomes = await asyncio.gather(
        *[aggregate.execute("lease-1", take(str(number)), context(), render) for number in range(3 * ATTEMPTS)]
    )
    assert [outcome.version for outcome in outcomes] == list(range(1, 6 * ATTEMPTS, 2))


async def test_what_events_mean_to_other_streams_is_checked() -> None:
    aggregate = leases(MemoryStore())
    await aggregate.execute("lease-1", take("a"), context(), render)
    with pytest.raises(AlreadyClaimed):
        await aggregate.execute("lease-2", take("b", "a"), context(), render)
    assert await aggregate.load("lease-2") == ("", 0)
    await aggregate.execute("lease-1", GiveUp(), context(), render)
    await aggregate.execute("lease-2", take("b", "a"), context(), render)


async def test_limits_bound_what_raises_a_counter_of_their_kind() -> None:
    aggregate = leases(MemoryStore())
    limits = {"held": 1, "other": 0}
    await aggregate.execute("lease-1", take("a"), context(), render, limits=limits)
    with pytest.raises(LimitReached) as refusal:
        await aggregate.execute("lease-2", take("b"), context(), render, limits=limits)
    assert refusal.value.count.limit == 1
    await aggregate.execute("lease-2", take("b"), context(), render, limits={})
    await aggregate.execute("lease-1", GiveUp(), context(), render, limits={"held": 0})


async def test_extra_conditions_are_checked_with_the_events_own() -> None:
    aggregate = leases(MemoryStore())
    extra = Constraints(requires=(Claim("address", "gateway"),))
    with pytest.raises(NotClaimed):
        await aggregate.execute("lease-1", take("a"), context(), render, extra=extra)
    await aggregate.execute("lease-2", take("gateway"), context(), render)
    await aggregate.execute("lease-1", take("a"), context(), render, extra=extra)


async def test_what_a_command_takes_and_gives_up_again_is_free() -> None:
    store = MemoryStore()
    aggregate = leases(store)
    await aggregate.execute("lease-1", take("a", "b", "a", "c"), context(), render)
    assert await store.holders("address", "") == {"c": "lease-1"}
    assert await store.count("held", "shop") == 1


@dataclass
class Counted(MemoryStore):
    """Counts the loads, and may find that the log is not as it was left."""

    loads: int = 0
    breaks: int = 0

    def __post_init__(self) -> None:
        super().__init__()

    @property
    def continuity(self) -> int:
        return self.breaks

    async def append(self, append: Append) -> Appended:
        if append.continuity not in (None, self.breaks):
            raise Conflict(append.stream, 0)
        return await super().append(append)

    async def load(self, stream: str, after: int = 0) -> Sequence[RecordedEvent]:
        self.loads += 1
        return await super().load(stream, after)


async def test_a_command_is_decided_on_what_the_one_before_it_has_left() -> None:
    store = Counted()
    aggregate = leases(store)
    outcomes = [await aggregate.execute("lease-1", take(address), context(), render) for address in "abc"]
    assert [(outcome.state, outcome.version) for outcome in outcomes] == [("a", 1), ("b", 3), ("c", 5)]
    assert store.loads == 1
    with pytest.raises(Refused):
        await aggregate.execute("lease-1", take("none"), context(), render)
    assert store.loads == 2


async def test_a_trial_leaves_nothing_to_decide_on() -> None:
    aggregate = leases(MemoryStore())
    await aggregate.execute("lease-1", take("a"), context(), render)
    await aggregate.execute("lease-1", take("b"), replace(context(), validate_only=True), render)
    assert (await aggregate.execute("lease-1", GiveUp(), context(), render)).version == 2
    assert (await aggregate.load("lease-1"))[0] == ""


async def test_what_was_known_of_a_log_that_others_have_changed_is_loaded_again() -> None:
    store = Counted()
    aggregate = leases(store)
    await aggregate.execute("lease-1", take("a"), context(), render)
    await store.append(replace(an_append("lease-1"), events=[NewEvent("lease.taken", b"x>x")]))
    for expected in (2, None):
        store.breaks += 1
        await aggregate.execute("lease-1", GiveUp(), context(expected_version=expected), render)
    assert [event.data for event in await store.load("lease-1")] == [b"a>a", b"x>x", b"x>"]


takings = st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map(tuple).map(Take)
commands: st.SearchStrategy[Command] = takings | st.builds(GiveUp)


@given(st.lists(st.tuples(st.sampled_from(["lease-1", "lease-2", "lease-3"]), commands), max_size=15))
async def test_claims_and_counters_rebuilt_from_events_equal_the_live_ones(
    history: list[tuple[str, Command]],
) -> None:
    store = MemoryStore()
    aggregate = leases(store)
    for stream, command in history:
        try:
            await aggregate.execute(stream, command, context(), render)
        except (AlreadyClaimed, Refused):
            continue
    log = await whole_log(store)
    assert rebuild_holdings(log, aggregate.meaning()) == await store.holdings()
