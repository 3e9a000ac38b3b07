"""The past of a log is a function of its events: snapshots change how long an answer takes, never what it is."""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from services.common.eventsourcing.resource_table import ResourceRow
from services.common.eventsourcing.store import AnyVersion, Append, NewEvent, RecordedEvent
from services.common.history.history import History
from services.common.history.index import Index, Reducer, fold, pack, unpack
from services.common.history.keeper import SnapshotKeeper, spacing
from tests.support.stores import AT, STORES, Store, whole_log

EVENTS = 300
EVERY = 16


def rows_of(event: RecordedEvent) -> Sequence[ResourceRow]:
    told = json.loads(event.data)
    return [ResourceRow(kind, id_, event.partition, b"", live=live) for kind, id_, live in told]


REDUCER = Reducer(1, rows_of)


async def live_a_while(store: Store, chance: random.Random, events: int = EVENTS, most: int = 2) -> None:
    """Things come, change and go, some of them again; an event may be about several, or about none."""
    for _ in range(events):
        told = [("thing", f"t-{chance.randrange(20)}", chance.random() < 0.7) for _ in range(chance.randint(0, most))]
        event = NewEvent("thing.changed", json.dumps(told).encode())
        at = AT + chance.randrange(10**9)  # clocks go back: what is recorded does not
        await store.append(Append(f"stream-{chance.randrange(7)}", AnyVersion(), [event], at, f"p/{len(told)}"))


def folded(events: Sequence[RecordedEvent], position: int) -> Index:
    index: Index = {}
    fold(index, events[:position], REDUCER)
    return index


async def snapshots(store: Store) -> Mapping[int, bytes]:
    found = [await store.snapshot(each.reducer, each.position) for each in await store.snapshots()]
    return {each.position: each.data for each in found if each is not None}


@pytest.mark.parametrize("kind", STORES)
async def test_answers_are_the_same_with_without_and_with_some_snapshots(kind: str, tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    async with STORES[kind](tmp_path) as store:
        await live_a_while(store, chance)
        events, asked = await whole_log(store), History(store, REDUCER)
        for kept in ("all", "some", "none"):
            if kept == "all":
                await SnapshotKeeper(store, History(store, REDUCER), EVERY).once()
                assert list(await snapshots(store)) == list(range(EVERY, EVENTS + 1, EVERY))
            else:
                there = [each.position for each in await store.snapshots()]
                await store.drop_snapshots(there if kept == "none" else chance.sample(there, len(there) // 2))
            for position in [0, EVENTS, *(chance.randrange(EVENTS) for _ in range(12))]:
                assert await History(store, REDUCER).at(position) == folded(events, position)
                assert await asked.at(position) == folded(events, position)  # which remembers what it was last asked
        assert await snapshots(store) == {}


@pytest.mark.parametrize("kind", STORES)
async def test_what_is_no_snapshot_of_this_log_by_these_rules_is_ignored_and_made_anew(
    kind: str, tmp_path: Path
) -> None:
    async with STORES[kind](tmp_path) as store:
        await live_a_while(store, random.Random(1), 40)
        events = await whole_log(store)
        keeper = SnapshotKeeper(store, History(store, REDUCER), EVERY)
        await keeper.once()
        good = await snapshots(store)
        wrong = pack({("thing", "never"): folded(events, 40).popitem()[1]})
        for position, bad in ((16, {"hash": bytes(32)}), (32, {"reducer": 2})):
            made = await store.snapshot(1, position)
            assert made is not None
            await store.save_snapshot(replace(made, data=wrong, **bad))
        assert await History(store, REDUCER).at(40) == folded(events, 40)
        assert [each.position for each in await store.snapshots()] == [32]
        await keeper.once()
        assert await snapshots(store) == good
        made = await store.snapshot(1, 32)
        assert made is not None
        await store.save_snapshot(replace(made, data=b"a disk's idea of it"))
        assert await History(store, REDUCER).at(40) == folded(events, 40)
        assert [each.position for each in await store.snapshots()] == [16]


async def test_a_snapshot_is_the_same_whenever_it_is_made(tmp_path: Path) -> None:
    async with STORES["memory"](tmp_path) as store:
        keeper, chance = SnapshotKeeper(store, History(store, REDUCER), EVERY), random.Random(2)
        for _ in range(10):
            await live_a_while(store, chance, 11)
            await keeper.once()
        as_it_grew = await snapshots(store)
        await store.drop_snapshots(list(as_it_grew))
        await SnapshotKeeper(store, History(store, REDUCER), EVERY).once()
        assert await snapshots(store) == as_it_grew
        assert [unpack(data) for data in as_it_grew.values()] == [
            folded(await whole_log(store), position) for position in as_it_grew
        ]


async def test_what_was_last_asked_counts_only_while_the_log_is_the_one_that_it_is_of(tmp_path: Path) -> None:
    """A database was restored to an earlier state while the program ran, and grew again otherwise."""
    async with STORES["memory"](tmp_path / "one") as store, STORES["memory"](tmp_path / "other") as other:
        await live_a_while(store, random.Random(5), 30)
        await live_a_while(other, random.Random(6), 40)
        history = History(store, REDUCER)
        await history.at(30)
        vars(history)["_store"] = other
        assert await history.at(35) == folded(await whole_log(other), 35)


async def test_a_long_log_keeps_few_snapshots_further_apart(tmp_path: Path) -> None:
    assert [spacing(end, 10, 4) for end in (9, 49, 50, 99, 100, 199, 200)] == [10, 10, 20, 20, 40, 40, 80]
    async with STORES["memory"](tmp_path) as store:
        keeper, chance = SnapshotKeeper(store, History(store, REDUCER), every=10, most=4), random.Random(3)
        for _ in range(12):
            await live_a_while(store, chance, 10)
            following = await keeper.once()
            assert len(await store.snapshots()) <= 4
        assert (list(await snapshots(store)), following) == ([40, 80, 120], 160)


@pytest.mark.parametrize("kind", STORES)
async def test_a_moment_is_the_last_position_that_was_recorded_by_then(kind: str, tmp_path: Path) -> None:
    async with STORES[kind](tmp_path) as store:
        await live_a_while(store, random.Random(4), 50)
        events, history = await whole_log(store), History(store, REDUCER)
        for event in events[::7]:
            for time in (event.recorded_at - 1, event.recorded_at, event.recorded_at + 1):
                expected = sum(each.recorded_at <= time for each in events)
                assert await history.moment(time, len(events)) == expected


async def test_who_asks_of_moments_beside_each_other_has_a_page_of_events_folded_at_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.common.history.history.PAGE", 10)
    chance = random.Random(1)
    async with STORES["memory"](tmp_path) as store:
        await live_a_while(store, chance)
        events, asked, spent = await whole_log(store), History(store, REDUCER), list[int]()
        await asked.at(EVENTS, spent.append)
        assert spent == [EVENTS]
        for position in [chance.randint(1, EVENTS) for _ in range(50)]:
            assert await asked.at(position, spent.append) == folded(events, position)
        assert max(spent[1:]) <= 10
