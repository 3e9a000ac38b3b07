"""The flow log: what it keeps, what it drops, and what its file looks like."""

import asyncio
import json
import os
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from services.gateway_agent import flow_file, flow_log
from services.gateway_agent.flow_file import FlowFile
from services.gateway_agent.flow_log import FlowLog, NotWritten
from services.gateway_agent.flows import FULL, OFF, FlowRecord
from services.gateway_agent.table import Protocol

DEADLINE = 10.0
RECORD = FlowRecord(
    endpoint="6f1c2a3b-5d0e-4f6a-9b1c-2d3e4f5a6b7c",
    marker=7,
    service="s",
    vpc="v",
    protocol=Protocol.TCP,
    client=IPv4Address("10.0.0.5"),
    client_port=40000,
    address=IPv4Address("10.0.0.100"),
    port=80,
    verdict="closed",
    began=1_795_669_983_685_098_965,
    ended=1_795_669_984_000_000_000,
    packets_in=5,
    bytes_in=300,
    packets_out=4,
    bytes_out=9000,
)


def record(number: int) -> FlowRecord:
    return replace(RECORD, client_port=number)


class Source:
    """Tells what is put in it."""

    def __init__(self) -> None:
        self.one_of = -1
        self.lost = 0
        self._told: deque[FlowRecord] = deque()
        self._news = asyncio.Event()

    def tell(self, *records: FlowRecord) -> None:
        self._told.extend(records)
        self._news.set()

    def sample_flows(self, one_of: int) -> None:
        self.one_of = one_of

    async def flows(self) -> AsyncGenerator[FlowRecord, None]:
        while True:
            while self._told:
                yield self._told.popleft()
            self._news.clear()
            await self._news.wait()

    def lost_flows(self) -> int:
        return self.lost


class Shelf:
    """A sink that may be full."""

    def __init__(self) -> None:
        self.written: list[FlowRecord] = []
        self.full = False

    async def write(self, records: Sequence[FlowRecord]) -> None:
        if self.full:
            raise NotWritten("no room")
        self.written += records


@asynccontextmanager
async def running(log: FlowLog) -> AsyncIterator[None]:
    task = asyncio.create_task(log.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not is_so():
            await asyncio.sleep(0.001)


@pytest.fixture(autouse=True)
def _in_haste(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow_log, "GATHER_SECONDS", 0.0)
    monkeypatch.setattr(flow_log, "RETRY_SECONDS", 0.001)


async def test_what_is_told_is_written_once_and_in_order() -> None:
    source, shelf = Source(), Shelf()
    log = FlowLog(source, shelf, FULL)
    async with running(log):
        source.tell(*map(record, range(3000)))
        await until(lambda: log.counts().written == 3000)
        assert shelf.written == list(map(record, range(3000)))
        assert source.one_of == FULL


async def test_off_is_told_to_the_data_plane_and_nothing_is_read() -> None:
    source, shelf = Source(), Shelf()
    source.tell(RECORD)
    await FlowLog(source, shelf, OFF).run()
    assert source.one_of == OFF
    assert shelf.written == []


async def test_a_sink_without_room_costs_what_is_new_and_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow_log, "MOST_WAITING", 10)
    source, shelf = Source(), Shelf()
    log = FlowLog(source, shelf, FULL)
    shelf.full = True
    async with running(log):
        source.tell(*map(record, range(25)))
        await until(lambda: log.counts().dropped == 15)
        shelf.full = False
        await until(lambda: log.counts().written == 10)
        assert shelf.written == list(map(record, range(10)))
        source.tell(record(99))
        await until(lambda: shelf.written[-1] == record(99))
    assert (log.counts().written, log.counts().dropped) == (11, 15)


async def test_what_waits_is_written_when_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow_log, "GATHER_SECONDS", 3600.0)
    source, shelf = Source(), Shelf()
    log = FlowLog(source, shelf, FULL)
    async with running(log):
        source.tell(record(1), record(2))
        await until(lambda: len(log.newest(10)) == 2)
    assert shelf.written == [record(1), record(2)]


async def test_who_follows_hears_all_from_then_on_and_how_much_he_was_too_slow_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(flow_log, "MOST_BEHIND", 3)
    source = Source()
    log = FlowLog(source, Shelf(), FULL)
    async with running(log):
        source.tell(record(0))
        await until(lambda: list(log.newest(5)) == [record(0)])
        with log.following() as follower:
            source.tell(*map(record, range(1, 6)))
            await until(lambda: len(log.newest(10)) == 6)
            assert await follower.batch() == ([record(1), record(2), record(3)], 2)
        assert list(log.newest(2)) == [record(4), record(5)]
        assert list(log.newest(0)) == []


async def test_what_the_kernel_lost_is_counted_too() -> None:
    source = Source()
    source.lost = 12
    assert FlowLog(source, Shelf(), FULL).counts().lost == 12


# ---- the file


def lines(path: Path) -> list[dict[str, str | int]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


async def test_a_line_has_all_of_a_record_and_the_file_is_private(tmp_path: Path) -> None:
    path = tmp_path / "flows.jsonl"
    await FlowFile(path, "gw-1", 100).write([RECORD])
    assert lines(path) == [
        {
            "begin": "2026-11-26T05:13:03.685098Z",
            "end": "2026-11-26T05:13:04.000000Z",
            "gateway": "gw-1",
            "endpoint": RECORD.endpoint,
            "marker": 7,
            "service": "s",
            "vpc": "v",
            "protocol": "tcp",
            "client": "10.0.0.5",
            "client_port": 40000,
            "address": "10.0.0.100",
            "port": 80,
            "packets_in": 5,
            "bytes_in": 300,
            "packets_out": 4,
            "bytes_out": 9000,
            "verdict": "closed",
            "one_of": 100,
        }
    ]
    assert path.stat().st_mode & 0o777 == 0o600


async def test_files_are_rotated_by_size_and_only_so_many_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "flows.jsonl"
    file = FlowFile(path, "gw-1", FULL, largest=1)
    for number in range(8):
        await file.write([record(number)])
    kept = [path, *(path.with_name(f"flows.jsonl.{number}") for number in range(1, flow_file.KEPT + 1))]
    assert sorted(tmp_path.iterdir()) == sorted(kept)
    assert [lines(each)[0]["client_port"] for each in kept] == [7, 6, 5, 4, 3]


async def test_a_file_that_was_moved_away_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "flows.jsonl"
    file = FlowFile(path, "gw-1", FULL)
    await file.write([record(1)])
    path.rename(tmp_path / "taken")
    await file.write([record(2)])
    assert [each["client_port"] for each in lines(path)] == [2]


async def test_a_disk_that_is_full_in_the_middle_of_a_line_leaves_none_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "flows.jsonl"
    file = FlowFile(path, "gw-1", FULL)
    await file.write([record(1)])
    write, calls = os.write, []

    def partly(descriptor: int, data: bytes) -> int:
        calls.append(len(data))
        if len(calls) > 1:
            raise OSError(28, "No space left on device")
        return write(descriptor, data[:20])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", partly)
        with pytest.raises(NotWritten, match="No space left"):
            await file.write([record(2)])
    await file.write([record(2)])
    assert [each["client_port"] for each in lines(path)] == [1, 2]


async def test_a_directory_that_is_not_there_is_said_to_be_the_reason(tmp_path: Path) -> None:
    with pytest.raises(NotWritten, match="No such file"):
        await FlowFile(tmp_path / "missing" / "flows.jsonl", "gw-1", FULL).write([RECORD])
