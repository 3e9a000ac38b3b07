"""A gateway under traffic while its endpoints come and go and its agent is killed.

No byte is wrong, nothing is cut that was not told to be, and nothing is left in its maps, nor in its memory.
"""

from pathlib import Path

import pytest

from tests.support.chaos.run import SOAK, dice
from tests.support.proof import quietly
from tests.support.soak import soak
from tests.support.standalone import require_root

pytestmark = pytest.mark.root

SECONDS = 6.0
MOST_GROWTH = 8 << 20  # bytes of the agent's memory


async def stand(directory: Path, seconds: float) -> None:
    require_root()
    with quietly():
        await _stand(directory, seconds)


async def _stand(directory: Path, seconds: float) -> None:
    async with soak(directory, dice()) as gateway:
        await gateway.run(seconds)
        assert gateway.clients.connections and gateway.clients.datagrams and gateway.changes and gateway.kills
        assert gateway.grown < MOST_GROWTH
        await gateway.nothing_is_left_over()


async def test_a_gateway_loses_nothing_and_leaves_nothing(tmp_path: Path) -> None:
    await stand(tmp_path, SECONDS)


@pytest.mark.soak
@pytest.mark.timeout(0)
async def test_a_gateway_loses_nothing_and_leaves_nothing_for_long(tmp_path: Path) -> None:
    await stand(tmp_path, SOAK)
