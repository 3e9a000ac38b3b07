"""A gateway on this machine for each test, and nothing left of any of them at the end."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.worlds import KernelWorld, kernel_world


@pytest.fixture
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[KernelWorld]:
    """With VPCs attached, in turns, as a test's parameter says."""
    async with kernel_world(tmp_path, kinds=getattr(request, "param", "netns").split()) as made:
        yield made
