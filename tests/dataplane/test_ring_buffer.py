"""A ring buffer read by the event loop, filled by a program of the test's own."""

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from services.gateway_agent.dataplane.build import BPF, FLAGS
from services.gateway_agent.dataplane.libbpf import LoadedObject
from services.gateway_agent.dataplane.ring_buffer import AT_ONCE, RingBuffer

pytestmark = pytest.mark.root

SOURCE = Path(__file__).with_name("ring.bpf.c")
DEADLINE = 10.0
ROOM = 4096 // 16  # a record of four bytes takes 16: eight of a header, and both rounded up
TAKEN, LOST = 0, 2


@pytest.fixture(scope="module")
def object_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("ring") / "ring.bpf.o"
    subprocess.run(
        [sys.executable, "-m", "ziglang", "cc", *FLAGS, "-c", SOURCE, "-o", made],
        cwd=BPF, check=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return made


@pytest.fixture
def loaded(object_file: Path, tmp_path: Path) -> Any:
    program = LoadedObject.load(object_file, "copy", tmp_path, {}, own={"ring"})
    yield program
    program.close()


def write(program: LoadedObject, number: int) -> int:
    return program.try_frame(bytes(14) + number.to_bytes(4, "little") + bytes(46), 0)[0]


async def heard_all(heard: list[int], numbers: list[int]) -> None:
    async with asyncio.timeout(DEADLINE):
        while heard != numbers:
            assert heard == numbers[: len(heard)]
            await asyncio.sleep(0)


async def test_what_is_written_is_heard_in_order_whether_before_or_while_it_is_read(loaded: LoadedObject) -> None:
    heard: list[int] = []
    assert [write(loaded, number) for number in range(5)] == [TAKEN] * 5
    with RingBuffer(loaded.maps["ring"], lambda data: heard.append(int.from_bytes(data, "little"))):
        await heard_all(heard, list(range(5)))
        for number in range(5, 3 * AT_ONCE):
            while write(loaded, number) == LOST:
                await asyncio.sleep(0)
        await heard_all(heard, list(range(3 * AT_ONCE)))
    assert write(loaded, 1) == TAKEN
    await asyncio.sleep(0)
    assert len(heard) == 3 * AT_ONCE  # nothing after it was closed


async def test_a_buffer_that_nobody_reads_loses_what_is_new_and_the_writer_goes_on(loaded: LoadedObject) -> None:
    outcomes = [write(loaded, number) for number in range(2 * ROOM)]
    assert outcomes == sorted(outcomes)
    kept = outcomes.count(TAKEN)
    assert ROOM - 1 <= kept <= ROOM
    heard: list[int] = []
    with RingBuffer(loaded.maps["ring"], lambda data: heard.append(int.from_bytes(data, "little"))):
        await heard_all(heard, list(range(kept)))
        assert write(loaded, 7) == TAKEN
        await heard_all(heard, [*range(kept), 7])


async def test_a_record_that_cannot_be_taken_is_told_of_and_the_next_is_heard(loaded: LoadedObject) -> None:
    heard: list[int] = []
    told: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: told.append(context["exception"]))

    def take(data: bytes) -> None:
        heard.append(int.from_bytes(data, "little"))
        if heard == [0]:
            raise ValueError("not this one")

    with RingBuffer(loaded.maps["ring"], take):
        for number in range(3):
            write(loaded, number)
        await heard_all(heard, [0, 1, 2])
    assert [str(error) for error in told] == ["not this one"]
