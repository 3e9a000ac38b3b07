"""Standalone's parts: the data directory, ports that stay ours, programs that are kept running."""

import asyncio
import json
import os
import signal
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from services.standalone.data_directory import DataDirectory, Unfit
from services.standalone.ports import PortTaken, ReservedPort
from services.standalone.supervisor import DidNotStart, Program, Supervised, insist

A_PROGRAM = """
import json, os, pathlib, signal, sys, threading
ready = pathlib.Path(sys.argv[1])
part = ready.with_suffix(".part")
part.write_text(json.dumps({"pid": os.getpid(), "secret_in_arguments": "hush" in str(sys.argv)}))
part.replace(ready)
threading.Event().wait()
"""


def test_a_second_owner_of_a_data_directory_is_refused(tmp_path: Path) -> None:
    first, second = DataDirectory(tmp_path / "data"), DataDirectory(tmp_path / "data")
    first.open()
    with pytest.raises(Unfit, match="in use by another Sidegate"):
        second.open()
    first.close()
    second.open()
    assert second.gateway_id == first.gateway_id
    second.close()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"format": 99, "gateway_id": "gw-1"}', "data format 99, this Sidegate knows 1"),
        ("{", "not readable"),
        ('{"format": 1}', "not readable"),
    ],
)
def test_a_data_directory_of_another_version_is_refused_with_the_way_out(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "format.json").write_text(text)
    data = DataDirectory(tmp_path)
    with pytest.raises(Unfit, match=words) as raised:
        data.open()
    data.close()
    assert "--data-dir" in str(raised.value)


def test_a_data_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unfit, match="cannot make"):
        DataDirectory(tmp_path / "file" / "data").open()


def test_a_data_directory_is_for_its_owner_only(tmp_path: Path) -> None:
    data = DataDirectory(tmp_path / "data")
    data.open()
    data.close()
    assert (tmp_path / "data").stat().st_mode & 0o077 == 0


def test_a_reserved_port_can_be_listened_on_by_a_program_of_ours_and_stays_reserved_after_it() -> None:
    with ReservedPort("127.0.0.1", 0) as reserved:
        host, _, port = reserved.address.rpartition(":")
        for _ in range(2):
            with socket.socket() as listener:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                listener.bind((host, int(port)))
                listener.listen()
                with socket.create_connection((host, int(port)), timeout=5):
                    pass
        with pytest.raises(PortTaken, match=port):
            ReservedPort(host, int(port))


def test_a_port_of_another_program_is_named() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PortTaken, match=f"127.0.0.1:{port}"):
            ReservedPort("127.0.0.1", port)


class Restarts:
    def __init__(self) -> None:
        self.count = 0
        self.changed = asyncio.Event()

    def __call__(self) -> None:
        self.count += 1
        self.changed.set()


def program(tmp_path: Path, code: str) -> Program:
    package = tmp_path / "a_program.py"
    package.write_text(code)
    ready = tmp_path / "ready"
    environment = {"PYTHONPATH": str(tmp_path), "SECRET": "hush"}
    return Program("a program", "a_program", [str(ready)], tmp_path / "log", ready, environment)


@pytest.fixture
async def restarts() -> AsyncIterator[Restarts]:
    yield Restarts()


async def test_a_program_that_is_killed_is_started_again_and_ends_when_told(tmp_path: Path, restarts: Restarts) -> None:
    supervised = Supervised(program(tmp_path, A_PROGRAM), restarts)
    try:
        facts = await supervised.start()
        first = supervised.pid
        assert facts == {"pid": first, "secret_in_arguments": False}
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await asyncio.wait_for(restarts.changed.wait(), 20)
        second = supervised.pid
        assert second is not None
        assert second != first
        assert json.loads((tmp_path / "ready").read_text())["pid"] == second
    finally:
        await supervised.stop()
    assert supervised.pid is None
    with pytest.raises(ProcessLookupError):
        os.kill(second, 0)


async def test_a_program_comes_back_when_its_log_can_be_written_again(tmp_path: Path, restarts: Restarts) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    supervised = Supervised(replace(program(tmp_path, A_PROGRAM), log=logs / "log"), restarts)
    try:
        await supervised.start()
        first = supervised.pid
        assert first is not None
        logs.rename(tmp_path / "away")
        os.kill(first, signal.SIGKILL)
        await asyncio.wait_for(restarts.changed.wait(), 20)
        assert supervised.pid is None
        (tmp_path / "away").rename(logs)
        async with asyncio.timeout(20):
            while supervised.pid is None:
                restarts.changed.clear()
                await restarts.changed.wait()
    finally:
        await supervised.stop()


async def test_what_the_disk_has_no_room_for_is_done_when_it_has() -> None:
    outcomes: list[Exception | None] = [OSError("no space left"), OSError("no space left"), None]

    def act() -> None:
        if (outcome := outcomes.pop(0)) is not None:
            raise outcome

    await insist(act, pause=0)
    assert outcomes == []


async def test_a_program_that_does_not_start_is_named_with_its_last_words(tmp_path: Path, restarts: Restarts) -> None:
    supervised = Supervised(program(tmp_path, "raise SystemExit('the moon is in the way')"), restarts)
    with pytest.raises(DidNotStart, match="the moon is in the way"):
        await supervised.start()
    await supervised.stop()
