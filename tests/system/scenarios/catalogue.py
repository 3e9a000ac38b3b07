"""All scenarios, by their names."""

from collections.abc import Mapping
from typing import Any

from tests.system.scenarios import fast_way, one_account, three_vpcs, two_accounts
from tests.system.scenarios.scenario import Scenario

PLAYED = (
    three_vpcs.SCENARIO,
    fast_way.SCENARIO,
    one_account.SCENARIO,
    two_accounts.SCENARIO,
)
SCENARIOS: Mapping[str, Scenario[Any]] = {each.name: each for each in PLAYED}
