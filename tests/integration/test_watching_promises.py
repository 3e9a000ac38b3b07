"""The six promises of watching, held against recorded histories: on every store, whatever interrupts."""

import asyncio
import os
import random
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from services.common.errors import OutOfRange, QuotaReached, Unavailable, WrongState
from services.common.eventsourcing.store import AnyVersion, Append, NewEvent, RecordedEvent
from services.common.watching.beginning import Place
from services.common.watching.limits import WatchLimits
from services.common.watching.watcher import Told
from services.common.watching.watching import Watching
from tests.support.stores import STORES, Store
from tests.support.watching import PROJECTS, History, Traffic, fact, faults, project, sights_of

DEADLINE = 30.0
SOON = 0.02
"""Seconds between bookmarks, for tests that wait for one."""


@pytest.fixture(params=sorted(STORES))
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    async with STORES[request.param](tmp_path) as opened:
        yield opened


@pytest.fixture
def chance() -> random.Random:
    seed = int(os.environ.get("SIDEGATE_CHAOS_SEED") or secrets.randbelow(2**32))
    print(f"SIDEGATE_CHAOS_SEED={seed}")
    return random.Random(seed)


def watching_of(store: Store, **limits: Any) -> Watching[int]:
    return Watching(store, sights_of, replace(WatchLimits(bookmark_seconds=SOON), **limits))


async def some(store: Store, count: int, *, project: str = PROJECTS[0], events: int = 1) -> int:
    position = (await store.head()).position
    for _ in range(count):
        new = [NewEvent("fact", fact((project, "endpoint")))] * events
        position = (await store.append(Append("endpoint-1", AnyVersion(), new, at=position))).position
    return position


async def first(watching: Watching[int], count: int, after: int | None = 0) -> list[Told[int]]:
    """The first answers to one who watches what the first project sees."""
    found: list[Told[int]] = []
    async with asyncio.timeout(DEADLINE), aclosing(watching.watch(project(PROJECTS[0]), Place(after))) as told:
        async for answer in told:
            found.append(answer)
            if len(found) == count:
                break
    return found


class Interruptions:
    """One who watches under random interruptions: of his own, of the service, and of his patience."""

    def __init__(self, store: Store, chance: random.Random) -> None:
        self.store, self.chance = store, chance
        self.watching = watching_of(store, waiting=60)
        self.done = asyncio.Event()

    def restart(self) -> None:
        self.watching.close()
        self.watching = watching_of(self.store, waiting=60)

    async def follow(self, history: History) -> None:
        while not self.done.is_set():
            try:
                async with asyncio.timeout(self.chance.uniform(0.005, 0.2)):
                    await self._slowly(history)
            except (TimeoutError, Unavailable, QuotaReached):
                continue

    async def _slowly(self, history: History) -> None:
        history.resumed += 1
        async with aclosing(self.watching.watch(history.watch, history.place)) as answers:
            async for told in answers:
                history.answers.append(told)
                if self.chance.random() < 0.1:
                    await asyncio.sleep(self.chance.uniform(0, 0.05))


async def test_every_history_keeps_the_promises(store: Store, chance: random.Random) -> None:
    traffic, world = Traffic(store, chance), Interruptions(store, chance)
    for _ in range(200):
        await traffic.append()
    head = (await store.head()).position
    wishes = [project(name, *kinds) for name in PROJECTS for kinds in ((), ("endpoint",), ("connection",))]
    histories = [History(watch, begun=chance.choice([0, *(each[-1] for each in traffic.appends)])) for watch in wishes]
    followers = [asyncio.create_task(world.follow(history)) for history in histories]
    for number in range(600):
        await traffic.append()
        await asyncio.sleep(chance.choice((0, 0, 0, 0.002)))
        if number % 150 == 149:
            world.restart()
    world.done.set()
    await asyncio.gather(*followers)
    end = (await store.head()).position
    async with asyncio.timeout(DEADLINE):
        await asyncio.gather(*(history.follow(world.watching, end) for history in histories))
    log = await store.read(0, 1_000_000)
    assert len(log) == end > head
    for history in histories:
        assert list(faults(history, log, traffic.appends)) == []
    print(f"{end} events; resumed {[history.resumed for history in histories]}")
    assert all(history.resumed > 3 for history in histories)
    assert world.watching.watchers == 0


async def test_a_slow_reader_is_cut_off_and_loses_nothing_when_it_goes_on(store: Store) -> None:
    watching, history = watching_of(store, waiting=10), History(project(PROJECTS[0]))
    with pytest.raises(QuotaReached) as caught:
        async with asyncio.timeout(DEADLINE), aclosing(watching.watch(history.watch, Place(0))) as answers:
            history.answers.append(await anext(answers))
            history.answers.append(await anext(answers))  # a bookmark: it has caught up
            await some(store, 30)
            async for told in answers:
                history.answers.append(told)
                while watching.position < 30:  # it reads slowly: that is what this test is about
                    await asyncio.sleep(0.01)
    assert caught.value.reason == "SLOW_WATCHER"
    assert caught.value.metadata == {"position": str(history.position)}
    async with asyncio.timeout(DEADLINE):
        await history.follow(watching, 30)
    log = await store.read(0, 100)
    assert list(faults(history, log, [range(n, n + 1) for n in range(1, 31)])) == []


async def test_one_command_is_never_too_much_for_one_who_is_not_behind(store: Store) -> None:
    watching = watching_of(store, waiting=10)
    async with asyncio.timeout(DEADLINE), aclosing(watching.watch(project(PROJECTS[0]), Place(0))) as answers:
        await anext(answers)
        await anext(answers)
        await some(store, 1, events=1000)
        told = await _with_changes(answers)
    assert list(told.changes) == list(range(1, 1001))


async def _with_changes(answers: AsyncIterator[Told[int]]) -> Told[int]:
    async for told in answers:
        if told.changes:
            return told
    raise AssertionError("it ended")


async def test_what_a_command_did_long_ago_comes_in_one_answer_too(store: Store) -> None:
    await some(store, 1, events=700)
    await some(store, 1, events=1000)
    answers = await first(watching_of(store), 3)
    assert [list(told.changes) for told in answers] == [[], list(range(1, 701)), list(range(701, 1701))]


async def test_without_a_position_it_begins_now_and_the_first_answer_says_where_that_is(store: Store) -> None:
    await some(store, 5)
    head = await store.head()
    assert await first(watching_of(store), 1, None) == [Told(5, head.log_id, head.epoch)]


async def test_bookmarks_come_and_move_on_where_nothing_is_his(store: Store) -> None:
    watching = watching_of(store)
    async with asyncio.timeout(DEADLINE), aclosing(watching.watch(project(PROJECTS[0]), Place())) as answers:
        await anext(answers)
        position = await some(store, 3, project=PROJECTS[1])
        async for told in answers:
            assert not told.changes
            if told.position == position:
                break


async def test_a_position_that_is_too_old_is_refused_with_the_oldest_that_is_told(store: Store) -> None:
    await some(store, 20)
    watching = watching_of(store, history=5)
    with pytest.raises(OutOfRange) as caught:
        await first(watching, 1, 14)
    assert (caught.value.reason, caught.value.metadata) == ("COMPACTED", {"oldest": "16"})
    assert [list(told.changes) for told in await first(watching, 2, 15)] == [[], [16]]
    assert [list(told.changes) for told in await first(watching, 2, 0)] == [[], [16]]


async def test_a_position_above_the_end_of_the_log_is_refused(store: Store) -> None:
    await some(store, 3)
    with pytest.raises(OutOfRange) as caught:
        await first(watching_of(store), 1, 4)
    assert (caught.value.reason, caught.value.metadata) == ("POSITION_AHEAD", {"position": "3"})


async def test_a_position_of_another_log_or_epoch_is_refused(store: Store) -> None:
    await some(store, 3)
    head = await store.head()
    for place in (Place(1, "another"), Place(1, head.log_id, head.epoch + 1)):
        with pytest.raises(WrongState) as caught:
            await anext(watching_of(store).watch(project(PROJECTS[0]), place))
        assert caught.value.reason == "LOG_CHANGED"
        assert caught.value.metadata == {"log_id": head.log_id, "epoch": str(head.epoch)}


async def test_who_watches_when_the_log_goes_on_in_another_epoch_is_told(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.common.watching.tail.LOOK_SECONDS", SOON)
    watching, head = watching_of(store), await store.head()
    with pytest.raises(WrongState, match="the log is now") as caught:
        async with asyncio.timeout(DEADLINE), aclosing(watching.watch(project(PROJECTS[0]), Place())) as answers:
            await anext(answers)
            await anext(answers)
            await store.begin_epoch(head.epoch)
            async for _ in answers:
                pass
    assert caught.value.reason == "LOG_CHANGED"


async def test_one_who_is_behind_when_another_epoch_begins_ends_and_disturbs_nobody(store: Store) -> None:
    await some(store, 3)
    watching, head = watching_of(store), await store.head()
    behind, now = watching.watch(project(PROJECTS[0]), Place(0)), watching.watch(project(PROJECTS[0]), Place())
    async with asyncio.timeout(DEADLINE), aclosing(behind), aclosing(now):
        await anext(behind)
        await store.begin_epoch(head.epoch)
        await anext(now)
        await anext(now)
        with pytest.raises(WrongState) as caught:
            async for _ in behind:
                pass
        assert caught.value.reason == "LOG_CHANGED"
        await some(store, 1)
        assert list((await _with_changes(now)).changes) == [4]


async def test_there_are_so_many_watchers_of_an_account_and_in_all(store: Store) -> None:
    watching = watching_of(store, per_account=2, in_all=3)
    names = [PROJECTS[0], PROJECTS[0], PROJECTS[1]]
    seated = [watching.watch(project(name), Place()) for name in names]
    for answers in seated[:2]:
        await anext(answers)
    with pytest.raises(QuotaReached, match="account shop has 2 watchers") as caught:
        await first(watching, 1)
    assert caught.value.reason == "TOO_MANY_WATCHERS"
    await anext(seated[2])
    with pytest.raises(QuotaReached, match="this program has 3 watchers"):
        await anext(watching.watch(project(PROJECTS[2]), Place()))
    for answers in seated:
        await answers.aclose()
    assert watching.watchers == 0
    assert len(await first(watching, 1)) == 1


async def test_closing_ends_those_who_watch_and_those_who_catch_up_and_lets_nobody_begin(store: Store) -> None:
    await some(store, 3)
    watching = watching_of(store)
    live, behind = watching.watch(project(PROJECTS[0]), Place()), watching.watch(project(PROJECTS[0]), Place(0))
    await anext(live)
    await anext(live)
    await anext(behind)
    watching.close()
    for answers in (live, behind, watching.watch(project(PROJECTS[0]), Place())):
        with pytest.raises(Unavailable) as caught:
            async for _ in answers:
                pass
        assert caught.value.reason == "SHUTTING_DOWN"
    assert watching.watchers == 0


async def test_a_log_that_is_closed_ends_those_who_watch_it(store: Store) -> None:
    watching = watching_of(store)
    async with asyncio.timeout(DEADLINE), aclosing(watching.watch(project(PROJECTS[0]), Place())) as answers:
        await anext(answers)
        await anext(answers)
        await store.close()
        with pytest.raises(Unavailable):
            async for _ in answers:
                pass


async def test_a_thousand_idle_watchers_ask_the_log_no_more_often_than_one(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[int] = []
    read = store.read

    async def counted(after: int, limit: int, partition: str | None = None) -> object:
        reads.append(after)
        return await read(after, limit, partition)

    monkeypatch.setattr(store, "read", counted)
    watching = watching_of(store, per_account=1000, bookmark_seconds=60)
    seated = [watching.watch(project(PROJECTS[0]), Place()) for _ in range(1000)]
    for answers in seated:
        await anext(answers)
    waiting = [asyncio.create_task(anext(answers)) for answers in seated]
    await asyncio.sleep(0)
    reads.clear()
    await some(store, 1)
    async with asyncio.timeout(DEADLINE):
        told = await asyncio.gather(*waiting)
    assert {tuple(each.changes) for each in told} == {(1,)}
    assert len(reads) <= 3
    for answers in seated:
        await answers.aclose()


class Counting:
    """A store that counts the events that are read of its whole log."""

    def __init__(self, store: Store) -> None:
        self._store, self.read_of_log = store, 0
        self.head, self.load, self.wait_beyond = store.head, store.load, store.wait_beyond

    async def read(self, after: int, limit: int) -> Sequence[RecordedEvent]:
        found = await self._store.read(after, limit)
        self.read_of_log += len(found)
        return found


async def test_of_one_thing_only_its_own_stream_is_read_and_then_it_is_followed_as_ever(store: Store) -> None:
    data = fact((PROJECTS[0], "endpoint"))
    for number in range(60):
        await store.append(Append(f"endpoint-{number % 20}", AnyVersion(), [NewEvent("fact", data)], at=number))
    log = Counting(store)
    watching = Watching(log, sights_of, WatchLimits(bookmark_seconds=DEADLINE))
    everything = project(PROJECTS[0])
    of_one = replace(everything, wish=replace(everything.wish, stream="endpoint-7"))
    async with asyncio.timeout(DEADLINE), aclosing(watching.watch(of_one, Place(0))) as answers:
        told = [await anext(answers) for _ in range(5)]
        assert [each.position for each in told] == [0, 8, 28, 48, 60]
        assert [len(each.changes) for each in told] == [0, 1, 1, 1, 0]
        assert log.read_of_log == 0
        await store.append(Append("endpoint-7", AnyVersion(), [NewEvent("fact", data)], at=60))
        assert (await anext(answers)).position == 61
    assert log.read_of_log == 1
