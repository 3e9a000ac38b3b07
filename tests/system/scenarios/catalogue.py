"""All scenarios, by their names."""

from collections.abc import Mapping
from typing import Any

from tests.system.scenarios import fast_way, not_a_peering, one_account, three_vpcs, two_accounts
from tests.system.scenarios.scenario import Scenario

PLAYED = (
    three_vpcs.SCENARIO,
    fast_way.SCENARIO,
    one_account.SCENARIO,
    two_accounts.SCENARIO,
    not_a_peering.SCENARIO,
)
SCENARIOS: Mapping[str, Scenario[Any]] = {each.name: each for each in PLAYED}
