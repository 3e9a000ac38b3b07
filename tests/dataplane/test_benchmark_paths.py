"""The benchmark's ways to a server carry its load, and its latencies can be taken, whatever the figures are."""

from pathlib import Path

import pytest

from benchmarks import latency, packets
from benchmarks.changes import PATIENCE, cut, restart, stamping
from benchmarks.dataplane import Case
from benchmarks.flood import floor, through
from benchmarks.full import raised_full
from benchmarks.paths import endpoint, routing
from benchmarks.plan import Plan
from benchmarks.stage import Way, kinds_of_devices, raised
from tests.support import namespaces

pytestmark = pytest.mark.root


@pytest.fixture(autouse=True)
def _root() -> None:
    namespaces.require_root()


async def test_an_endpoint_carries_the_load_on_devices_like_those_of_plain_routing(tmp_path: Path) -> None:
    kinds = [await carried(way, tmp_path / way.__name__) for way in (routing, endpoint)]
    assert kinds[0] == kinds[1]
    assert len(kinds[0]) == 1


async def carried(way: Way, directory: Path) -> set[str]:
    """What the devices were like; every answer came, or Failed is raised."""
    directory.mkdir()
    async with raised(way, directory, bulk=False) as (stage, target):
        for verb in ("round_trips", "connections"):
            said = await Case(stage, target, seconds=0.4).load(verb)
            assert said["samples"] > 0
        return kinds_of_devices(stage)


@pytest.mark.parametrize("way", packets.WAYS.values(), ids=lambda way: way.__name__)
async def test_every_way_carries_the_flood_and_loses_nothing(way: Way, tmp_path: Path) -> None:
    async with floor() as alone, raised(way, tmp_path, bulk=False) as (stage, target):
        assert await alone.nanoseconds(0.02) > 0
        assert await through(stage, target).nanoseconds(0.02) > 0


async def test_a_gateway_is_filled_by_handshakes_and_forwards_all_of_them(tmp_path: Path) -> None:
    async with raised_full(tmp_path, sessions=10_000, providers=1) as full:
        await full.add_endpoints(16)
        for count in (500, 700):
            await full.add_sessions(count)
        assert full.sessions == 1_200
        assert await full.handshakes.touch(0, 1_200) > 0
        assert await full.gateway.memory() > 0


async def test_packets_end_with_an_endpoint_and_outlive_an_agent(tmp_path: Path) -> None:
    async with (
        raised_full(tmp_path, sessions=10_000, providers=1, refuses=True) as full,
        stamping(full.stage) as server,
    ):
        assert await cut(full, server) < PATIENCE * 1000
        took, lost = await restart(full, server)
        assert (took > 0, lost) == (True, 0)


async def test_latencies_are_taken_beside_their_floors() -> None:
    found = await latency.measure(Plan(rounds=1, seconds=0.1, samples=2), lambda _: None)
    assert {figure.name for figure in found} == {f"{name}_{end}" for name in latency.METHODS for end in ("p50", "p99")}
    assert all(figure.value > 0 and figure.ratio for figure in found)
