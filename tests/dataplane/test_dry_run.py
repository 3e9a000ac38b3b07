"""Traces where the kernel's maps are as only a fault, or a crowd, makes them: the verdict is the program's."""

from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from services.gateway_agent.dataplane.libbpf import Pair
from services.gateway_agent.dataplane.maps import (
    NO_DEVICE,
    NUMBER,
    Counter,
    EndpointValue,
)
from services.gateway_agent.dataplane.session_maps import SESSION, Tuple
from services.gateway_agent.packet_trace import Opening, Outcome, PacketTrace, Subject
from services.gateway_agent.table import Endpoint, Protocol
from tests.support.wire import Segment, Wire
from tests.support.worlds import ENDPOINT, KernelWorld, Vpc

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


def take(scene: Scene, trace: PacketTrace) -> None:
    """Somebody else's session has the source port."""
    assert trace.backend is not None
    assert trace.seen_as is not None
    number = scene.world.device_number(scene.payments)
    ports = trace.server_port, trace.seen_port
    key = Tuple(trace.backend, trace.seen_as, *ports, number, Protocol.TCP).pack()
    scene.world.maps.sessions.put(key, bytes(SESSION.size))
