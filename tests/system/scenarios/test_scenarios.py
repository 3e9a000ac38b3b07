"""Every scenario, played as `make scenario` plays it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.program import free_port
from tests.support.standalone import Standalone, require_root
from tests.system.scenarios.catalogue import SCENARIOS
from tests.system.scenarios.record import Screen
from tests.system.scenarios.scenario import play
from tests.system.scenarios.stage import Stage, told_of_dns

DNS_PORT = free_port()

pytestmark = [pytest.mark.root, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sidegate(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Standalone]:
    require_root()
    async with Standalone(tmp_path_factory.mktemp("sidegate"), *told_of_dns(DNS_PORT), http=True) as running:
        yield running


@pytest.mark.parametrize("name", SCENARIOS)
async def test_a_scenario_goes_as_its_steps_say(sidegate: Standalone, name: str, tmp_path: Path) -> None:
    record, scenario = Screen(), SCENARIOS[name]
    record.open(name, scenario.title, scenario.drawing)
    async with Stage(sidegate, record, tmp_path, project=name, dns_port=DNS_PORT) as stage:
        await play(scenario, stage)
    assert record.observations, "it ends with a table of what was seen"
