"""What one packet costs a gateway, on one processor: an endpoint beside routing, conntrack and NAT by nftables."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.figures import Figure
from benchmarks.flood import FLOWS, Flood, floor, packet_cost, through
from benchmarks.paths import conntrack, endpoint, nft_nat, routing
from benchmarks.plan import Plan, Step
from benchmarks.processes import Failed
from benchmarks.rounds import ENDPOINT, PATH, Numbers, Rounds
from benchmarks.stage import Way, raised

WAYS: Mapping[str, Way] = {
    "plain routing": routing,
    ENDPOINT: endpoint,
    "routing with conntrack": conntrack,
    "nftables NAT": nft_nat,
}
UNITS = {"packet_cost": "ns"}
METHOD = (
    f"UDP in frames of 64 bytes, {FLOWS} flows, by a raw generator that is pinned to one processor, where the kernel "
    "forwards them too; the server's device drops them, and all that were sent are counted there. What a packet takes "
    "of the processor, less what it takes when the gateway's device drops it, generator and all, measured by turns. "
    "Fresh network namespaces for each case, joined by veth pairs; plain routing has no conntrack; the ways take turns "
    "in each round"
)


def steps(plan: Plan) -> int:
    return plan.rounds * len(WAYS)


async def measure(plan: Plan, step: Step) -> Sequence[Figure]:
    """Raises Failed where nftables are missing, or a way never worked."""
    if not shutil.which("nft", path=PATH):
        raise Failed("not installed: nftables (make setup-bench)")
    async with floor() as alone:

        async def case(way: Way) -> Numbers:
            return await cost(way, alone, plan.seconds)

        rounds = Rounds(WAYS, case)
        await rounds.take_all(plan.rounds, step)
    return rounds.all_figures(UNITS, lambda _: METHOD)


async def cost(way: Way, alone: Flood, seconds: float) -> Numbers:
    with TemporaryDirectory(prefix="sidegate-bench-") as directory:
        async with raised(way, Path(directory), bulk=False) as (stage, target):
            return {"packet_cost": await packet_cost(through(stage, target), alone, seconds)}
