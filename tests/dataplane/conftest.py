"""A gateway on this machine for each test, and nothing left of any of them at the end."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.support import namespaces
from tests.support.worlds import KernelWorld, kernel_world


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[KernelWorld]:
    async with kernel_world(tmp_path) as made:
        yield made


@pytest.fixture(scope="session", autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    yield
    assert namespaces.left_behind() == []
    assert [device for device in namespaces.host_devices() if namespaces.PREFIX in device.alias] == []
    assert [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if namespaces.PREFIX in line] == []
