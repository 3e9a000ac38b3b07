"""What every event store promises: one log, in order, and streams with versions."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from services.common.eventsourcing import tail_watch
from services.common.eventsourcing.store import (
    GENESIS,
    MAX_EVENT_BYTES,
    MAX_EVENTS,
    AnyVersion,
    Append,
    Appended,
    Conflict,
    Exact,
    Expected,
    NewEvent,
    NoStream,
    RecordedEvent,
    StreamExists,
    Unavailable,
)
from sidegate.evidence import Link, verify
from tests.support.stores import AT, STORES, Store, a_request, an_append, whole_log

PATIENCE = 20


@pytest.fixture(params=STORES)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    async with STORES[request.param](tmp_path) as opened:
        yield opened


async def outcomes(store: Store, appends: Sequence[Append]) -> list[Appended | BaseException]:
    """What became of appends that were all under way at once."""
    return await asyncio.gather(*map(store.append, appends), return_exceptions=True)


async def test_a_new_log_is_empty(store: Store) -> None:
    head = await store.head()
    assert (head.position, head.hash, head.epoch) == (0, GENESIS, 1)
    assert len(head.log_id) == 36
    assert await whole_log(store) == []
    assert await store.load("endpoint-1") == []


async def test_an_event_is_kept_as_it_was_given(store: Store) -> None:
    data, meta = bytes(range(256)), b"\x00\xff"
    new = NewEvent("endpoint.approved", data, schema_version=3)
    appended = await store.append(Append("endpoint-é", AnyVersion(), [new], AT, "cell-1", meta))
    assert (appended.position, appended.version, appended.replayed) == (1, 1, False)
    (event,) = await store.load("endpoint-é")
    assert event == RecordedEvent(
        1, "endpoint-é", 1, event.event_id, "endpoint.approved", 3, AT, "cell-1", 0, data, meta, event.hash
    )
    assert (len(event.event_id), len(event.hash)) == (16, 32)


async def test_an_empty_event_is_an_event(store: Store) -> None:
    await store.append(Append("endpoint-1", AnyVersion(), [NewEvent("endpoint.touched", b"")], AT))
    (event,) = await whole_log(store)
    assert (event.data, event.meta, event.partition) == (b"", b"", "")


async def test_positions_are_contiguous_and_versions_count_within_a_stream(store: Store) -> None:
    for stream in ("endpoint-1", "endpoint-2", "endpoint-1"):
        await store.append(an_append(stream, events=2))
    log = await whole_log(store)
    assert [event.position for event in log] == [1, 2, 3, 4, 5, 6]
    assert [event.version for event in log] == [1, 2, 1, 2, 3, 4]
    assert len({event.event_id for event in log}) == 6


async def test_an_append_tells_where_its_last_event_is(store: Store) -> None:
    assert await store.append(an_append("endpoint-1", events=3)) == Appended(3, 3, b"")
    assert await store.append(an_append("endpoint-2", events=2)) == Appended(5, 2, b"")
    assert await store.append(an_append("endpoint-1", events=0)) == Appended(5, 3, b"")


async def test_a_reader_that_remembers_its_position_misses_nothing_of_concurrent_writers(store: Store) -> None:
    writers, each = 16, 25

    async def write(number: int) -> list[int]:
        return [
            (await store.append(an_append(f"endpoint-{number}", events=1 + step % 3))).position for step in range(each)
        ]

    async def follow(total: int) -> list[int]:
        seen: list[int] = []
        while len(seen) < total:
            after = seen[-1] if seen else 0
            await store.wait_beyond(after)
            seen += [event.position for event in await store.read(after, 7)]
        return seen

    total = writers * sum(1 + step % 3 for step in range(each))
    async with asyncio.timeout(PATIENCE):
        seen, *acknowledged = await asyncio.gather(follow(total), *map(write, range(writers)))
    assert seen == list(range(1, total + 1))
    assert len({position for positions in acknowledged for position in positions}) == writers * each


async def test_what_is_acknowledged_is_visible(store: Store) -> None:
    async def write_and_read(number: int) -> None:
        for _ in range(10):
            appended = await store.append(an_append(f"endpoint-{number}"))
            assert (await store.head()).position >= appended.position
            assert (await store.read(appended.position - 1, 1))[0].stream == f"endpoint-{number}"
            assert (await store.load(f"endpoint-{number}"))[-1].version == appended.version

    await asyncio.gather(*map(write_and_read, range(8)))


@pytest.mark.parametrize(
    ("expected", "version", "fits"),
    [
        (AnyVersion(), 0, True),
        (AnyVersion(), 2, True),
        (NoStream(), 0, True),
        (NoStream(), 2, False),
        (StreamExists(), 0, False),
        (StreamExists(), 2, True),
        (Exact(0), 0, True),
        (Exact(2), 2, True),
        (Exact(1), 2, False),
        (Exact(3), 2, False),
        (Exact(1), 0, False),
    ],
)
async def test_an_append_is_taken_only_at_the_version_that_it_expects(
    store: Store, expected: Expected, version: int, fits: bool
) -> None:
    await store.append(an_append("endpoint-2", events=3))
    await store.append(an_append("endpoint-1", events=version))
    append = an_append("endpoint-1", expected=expected)
    if fits:
        assert (await store.append(append)).version == version + 1
        return
    with pytest.raises(Conflict) as conflict:
        await store.append(append)
    assert (conflict.value.stream, conflict.value.version) == ("endpoint-1", version)
    assert (await store.head()).position == 3 + version


async def test_an_append_without_events_expects_a_version_too(store: Store) -> None:
    with pytest.raises(Conflict):
        await store.append(an_append(expected=Exact(1), events=0))
    await store.append(an_append(expected=Exact(0), events=0))
    assert await whole_log(store) == []


async def test_of_commands_that_expect_the_same_version_exactly_one_is_taken(store: Store) -> None:
    found = await outcomes(store, [an_append(expected=Exact(0), events=2) for _ in range(20)])
    assert sum(isinstance(outcome, Appended) for outcome in found) == 1
    assert sum(isinstance(outcome, Conflict) and outcome.version == 2 for outcome in found) == 19
    assert len(await whole_log(store)) == 2


async def test_an_append_sees_what_those_before_it_did_at_the_same_moment(store: Store) -> None:
    appends = [an_append(expected=Exact(version)) for version in range(40)]
    found = await outcomes(store, appends)
    assert found == [Appended(version, version, b"") for version in range(1, 41)]


async def test_a_refused_append_fails_alone_and_leaves_no_hole(store: Store) -> None:
    appends = [an_append(f"endpoint-{number}", expected=Exact(number % 2)) for number in range(50)]
    found = await outcomes(store, appends)
    assert [isinstance(outcome, Conflict) for outcome in found] == [bool(number % 2) for number in range(50)]
    log = await whole_log(store)
    assert [event.position for event in log] == list(range(1, 26))
    assert verify((await store.head()).log_id, log).ok


@pytest.mark.parametrize(
    "unfit",
    [
        an_append(""),
        an_append("endpoint-1\n"),
        an_append("endpoint-\ud800"),
        an_append(partition="\0"),
        an_append(at=-1),
        an_append(at=2**63),
        an_append(events=MAX_EVENTS + 1),
        Append("endpoint-1", AnyVersion(), [NewEvent("", b"")], AT),
        Append("endpoint-1", AnyVersion(), [NewEvent("endpoint.changed", bytes(MAX_EVENT_BYTES + 1))], AT),
        Append("endpoint-1", AnyVersion(), [NewEvent("endpoint.changed", bytes(MAX_EVENT_BYTES))], AT, meta=b"1"),
    ],
    ids=lambda append: f"{append.stream[:12]!r}-{append.partition!r}-{append.at}-{len(append.events)}",
)
async def test_what_would_stop_readers_of_the_log_is_refused_alone(store: Store, unfit: Append) -> None:
    before, found, after = await outcomes(store, [an_append("endpoint-7"), unfit, an_append("endpoint-7")])
    assert isinstance(found, ValueError)
    assert (before, after) == (Appended(1, 1, b""), Appended(2, 2, b""))


async def test_the_largest_append_is_taken(store: Store) -> None:
    await store.append(an_append(events=MAX_EVENTS))
    await store.append(Append("endpoint-1", AnyVersion(), [NewEvent("endpoint.changed", bytes(MAX_EVENT_BYTES))], AT))
    assert (await store.head()).position == MAX_EVENTS + 1


async def test_a_stream_is_loaded_from_any_version_on(store: Store) -> None:
    await store.append(an_append("endpoint-1", events=2))
    await store.append(an_append("endpoint-12", events=2))
    await store.append(an_append("endpoint-1", events=2))
    assert [event.version for event in await store.load("endpoint-1")] == [1, 2, 3, 4]
    assert [event.version for event in await store.load("endpoint-1", after=2)] == [3, 4]
    assert await store.load("endpoint-1", after=4) == []
    assert await store.load("endpoint-1", after=9) == []


async def test_the_log_is_read_in_pages_of_one_partition_or_all(store: Store) -> None:
    for number in range(6):
        await store.append(an_append(f"endpoint-{number}", partition=f"cell-{number % 2}"))

    async def positions(after: int, limit: int, partition: str | None = None) -> list[int]:
        return [event.position for event in await store.read(after, limit, partition)]

    assert await positions(0, 4) == [1, 2, 3, 4]
    assert await positions(4, 4) == [5, 6]
    assert await positions(6, 4) == []
    assert await positions(0, 2, "cell-1") == [2, 4]
    assert await positions(4, 9, "cell-1") == [6]
    assert await positions(0, 9, "cell-9") == []


async def test_each_event_names_the_one_before_it_in_its_partition(store: Store) -> None:
    for partition in ("cell-1", "cell-2", "", "cell-1", "", "cell-2"):
        await store.append(an_append(partition=partition, events=2))
    last: dict[str, int] = {}
    for event in await whole_log(store):
        assert event.prev == last.get(event.partition, 0)
        last[event.partition] = event.position


async def test_time_never_runs_backwards(store: Store) -> None:
    found = await outcomes(store, [an_append(at=at) for at in (AT, AT - 500, AT + 1, AT, AT + 7)])
    assert len(found) == 5
    await store.append(an_append(at=AT + 3))
    recorded = [event.recorded_at for event in await whole_log(store)]
    assert recorded == [AT, AT, AT + 1, AT + 1, AT + 7, AT + 7]


async def test_the_chain_verifies_and_ends_in_the_head(store: Store) -> None:
    for number in range(30):
        await store.append(an_append(f"endpoint-{number % 4}", partition=f"cell-{number % 3}", events=number % 4))
    head = await store.head()
    verdict = verify(head.log_id, await whole_log(store))
    assert verdict.ok, verdict.fault
    assert verdict.head == Link(head.position, head.hash)


async def test_waiting_for_a_position_that_is_there_returns_at_once(store: Store) -> None:
    await store.append(an_append(events=3))
    await asyncio.wait_for(store.wait_beyond(2), PATIENCE)


async def test_everybody_who_waits_for_a_position_is_woken_by_it(store: Store) -> None:
    waiting = [asyncio.create_task(store.wait_beyond(number)) for number in (0, 0, 1, 2)]
    await store.append(an_append(events=2))
    done, pending = await asyncio.wait(waiting[:3], timeout=PATIENCE)
    assert (len(done), len(pending)) == (3, 0)
    assert not waiting[3].done()
    await store.append(an_append())
    await asyncio.wait_for(waiting[3], PATIENCE)


async def test_a_commit_wakes_those_who_wait_without_a_look_at_the_log(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail_watch, "POLL_SECONDS", 10 * PATIENCE)
    async with asyncio.timeout(PATIENCE):
        for position in range(20):
            await asyncio.gather(store.wait_beyond(position), store.append(an_append()))


async def test_a_checkpoint_is_kept_by_its_name(store: Store) -> None:
    assert await store.checkpoint("policies") == 0
    await store.save_checkpoint("policies", 7)
    await store.save_checkpoint("other", 1)
    await store.save_checkpoint("policies", 12)
    assert await store.checkpoint("policies") == 12


async def test_an_epoch_begins_once_however_many_saw_the_fork(store: Store) -> None:
    await store.append(an_append())
    before = await store.head()
    heads = await asyncio.gather(*[store.begin_epoch(before.epoch) for _ in range(20)])
    assert {head.epoch for head in heads} == {before.epoch + 1}
    assert {(head.log_id, head.position, head.hash) for head in heads} == {
        (before.log_id, before.position, before.hash)
    }
    assert (await store.begin_epoch(before.epoch)).epoch == before.epoch + 1
    assert (await store.begin_epoch(before.epoch + 1)).epoch == before.epoch + 2


async def test_a_closed_store_has_written_what_it_took_and_takes_nothing_more(store: Store) -> None:
    under_way = [asyncio.create_task(store.append(an_append())) for _ in range(10)]
    waiting = asyncio.create_task(store.wait_beyond(99))
    await asyncio.wait(under_way[:1])
    await store.close()
    taken = await asyncio.gather(*under_way, return_exceptions=True)
    assert all(isinstance(outcome, Appended) for outcome in taken)
    for late in (store.append(an_append()), store.head(), store.load("endpoint-1"), store.save_checkpoint("p", 1)):
        with pytest.raises(Unavailable):
            await late
    with pytest.raises(Unavailable):
        await waiting
    await store.close()


@pytest.mark.parametrize("name", ["a\0b", "a\ud800", "a\nb"])
async def test_names_that_no_log_can_keep_are_refused_and_found_nowhere(store: Store, name: str) -> None:
    await store.append(an_append())
    with pytest.raises(ValueError, match="no name that a log can keep"):
        await store.append(an_append(name))
    assert await store.load(name) == []
    assert await store.read(0, 10, name) == []
    assert await store.holders("address", name) == {}
    assert await store.count("endpoints", name) == 0
    assert await store.recall(a_request(name).key, b"") is None
