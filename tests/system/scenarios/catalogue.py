"""All scenarios, by their names."""

from collections.abc import Mapping
from typing import Any

from tests.system.scenarios import fast_way, three_vpcs
from tests.system.scenarios.scenario import Scenario

SCENARIOS: Mapping[str, Scenario[Any]] = {each.name: each for each in (three_vpcs.SCENARIO, fast_way.SCENARIO)}
