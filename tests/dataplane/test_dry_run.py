"""Traces where the kernel's maps are as only a fault, or a crowd, makes them: the verdict is the program's."""

from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from pathlib import Path
from time import monotonic

import pytest

from services.gateway_agent.dataplane.maps import (
    NO_DEVICE,
    NUMBER,
    Counter,
    EndpointValue,
)
from services.gateway_agent.dataplane.memory import Pair
from services.gateway_agent.dataplane.session_maps import SESSION, Tuple
from services.gateway_agent.packet_trace import Opening, Outcome, PacketTrace, Subject
from services.gateway_agent.table import Endpoint, Limits, Protocol
from tests.support.wire import Segment, Wire
from tests.support.worlds import ENDPOINT, SOURCE, KernelWorld, Vpc, kernel_world

pytestmark = pytest.mark.root

CLIENT, BACKEND = "10.0.0.10", "10.0.0.20"
OPEN = Path("/proc/self/fd")
OPENING = Opening(IPv4Address(CLIENT), 40000, 80)


@dataclass(slots=True)
class Scene:
    world: KernelWorld
    shop: Vpc
    payments: Vpc
    endpoint: Endpoint
    wire: Wire

    async def trace(self) -> PacketTrace:
        trace = await self.world.dataplane.trace(self.endpoint.id, OPENING)
        assert trace is not None
        return trace

    async def is_foretold(self, reason: Counter, at: Subject) -> None:
        """The trace says it, at this step; and so it is."""
        trace = await self.trace()
        assert (trace.verdict, trace.foreseen) == (reason.value, reason.value)
        assert [step.subject for step in trace.steps if step.outcome is Outcome.REFUSED] == [at]
        await self.world.counts_one(reason, self.wire.send_ipv4(Segment(CLIENT, ENDPOINT, 40000, 80).pack()))


@pytest.fixture
async def scene(world: KernelWorld) -> Scene:
    return await make_scene(world)


async def make_scene(world: KernelWorld) -> Scene:
    shop, payments = await world.vpc("shop", CLIENT), await world.vpc("payments", BACKEND)
    endpoint = await world.lead(shop, await world.publish(payments, BACKEND))
    return Scene(world, shop, payments, endpoint, world.wire(shop))


async def test_an_entry_that_somebody_took_away(scene: Scene) -> None:
    ((key, _),) = scene.world.maps.endpoints.items()
    scene.world.maps.endpoints.delete(key)
    await scene.is_foretold(Counter.REFUSED_NO_ENDPOINT, Subject.ENDPOINT)


async def test_an_endpoint_that_is_half_removed(scene: Scene) -> None:
    ((_, value),) = scene.world.maps.endpoints.items()
    slots, slot = scene.world.maps.slots, EndpointValue.unpack(value).slot
    slots[slot] = Pair(slots[slot].low + 1, slots[slot].high)
    await scene.is_foretold(Counter.REFUSED_STALE_EPOCH, Subject.ENDPOINT)


async def test_a_provider_without_a_device(scene: Scene) -> None:
    scene.world.maps.vpcs.put(NUMBER.pack(scene.world.device_number(scene.payments)), NO_DEVICE.pack())
    await scene.is_foretold(Counter.REFUSED_NO_DEVICE, Subject.WAY_OUT)


async def test_the_program_that_is_run_is_the_one_that_forwards_and_is_let_go(scene: Scene) -> None:
    forwarding = scene.world.dataplane._kernel._loaded
    descriptors = len(list(OPEN.iterdir()))
    trace = await scene.trace()
    assert trace.program == forwarding.tag
    assert len(list(OPEN.iterdir())) == descriptors


async def test_ports_that_are_taken_are_passed_over_and_where_none_is_left_that_is_foretold(tmp_path: Path) -> None:
    async with kernel_world(tmp_path, max_sessions=65_536) as world:
        scene = await make_scene(world)
        take(scene, range(1024, 65536, 2))
        assert {(await scene.trace()).seen_port % 2 for _ in range(4)} == {1}
        take(scene, range(1025, 65536, 2))
        await scene.is_foretold(Counter.REFUSED_NO_SOURCE_PORT, Subject.SOURCE)


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (Limits(connections=1), Counter.REFUSED_LIMIT_CONNECTIONS),
        (Limits(new_connections_per_second=1), Counter.REFUSED_LIMIT_NEW),
    ],
    ids=["connections", "new a second"],
)
async def test_a_limit_that_is_reached_is_foretold_and_traces_take_nothing_of_it(
    scene: Scene, limits: Limits, reason: Counter
) -> None:
    service = scene.world.dataplane._kernel.table.entries.service(scene.endpoint.service)
    assert service is not None
    await scene.world.put(replace(service, limits=limits))
    for _ in range(3):
        trace = await scene.trace()
        assert (trace.verdict, trace.agrees) == ("forwarded", True)
    for port in range(40_001, 40_030):
        begun, other = monotonic(), Segment(CLIENT, ENDPOINT, port, 80).pack()
        await scene.world.counts_one(Counter.SESSION_NEW, scene.wire.send_ipv4(other))
        traffic = await scene.world.dataplane.traffic()
        trace = await scene.trace()
        if trace.verdict == reason.value or monotonic() - begun < 1:
            break  # else a second has passed, as it does on a busy machine, and another session may open
    assert (trace.verdict, trace.agrees) == (reason.value, True)
    assert await scene.world.dataplane.traffic() == traffic
    step = next(step for step in trace.steps if step.subject is Subject.LIMITS)
    assert (step.outcome, "1" in step.message) == (Outcome.REFUSED, True)


@pytest.mark.parametrize("source", ["127.0.0.1", "0.1.2.3", SOURCE, ENDPOINT])
async def test_an_address_that_no_machine_has_is_refused_at_the_whitelist(scene: Scene, source: str) -> None:
    trace = await scene.world.dataplane.trace(scene.endpoint.id, Opening(IPv4Address(source), 40000, 80))
    assert trace is not None
    assert (trace.verdict, trace.agrees) == (Counter.REFUSED_SPOOFED, True)


async def test_what_a_trace_writes_is_nowhere(scene: Scene) -> None:
    scene.world.dataplane.sample_flows(1)
    before = written(scene)
    assert (await scene.trace()).passes
    assert (await scene.world.dataplane.trace(scene.endpoint.id, replace(OPENING, port=81))) is not None
    assert written(scene) == before


def written(scene: Scene) -> dict[str, list[tuple[bytes, bytes]]]:
    maps = scene.world.dataplane._kernel._loaded.maps
    arp = {NUMBER.pack(list(Counter).index(counter)) for counter in (Counter.ARP_PASSED, Counter.ARP_ANSWERED)}
    names = ("sessions", "sessions6", "counters", "usage", "traffic", "refusals")
    return {
        name: [item for item in sorted(maps[name].items()) if any(item[1]) and item[0] not in arp] for name in names
    }


def take(scene: Scene, ports: range) -> None:
    """Somebody else's sessions have these source ports."""
    number, backend = scene.world.device_number(scene.payments), IPv4Address(BACKEND)
    for port in ports:
        key = Tuple(backend, scene.endpoint.source_address, 8080, port, number, Protocol.TCP).pack()
        scene.world.maps.sessions.put(key, bytes(SESSION.size))
