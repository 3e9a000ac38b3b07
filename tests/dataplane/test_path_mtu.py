"""A path that carries less than its ends believe: they find out through an endpoint, on either side of it."""

import asyncio
import errno
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import dataclass, replace

import pytest

from services.gateway_agent.dataplane.maps import NUMBER, Counter, VpcDevice
from tests.dataplane.test_transfer import echo_megabytes
from tests.support.hosts import TcpClient, TcpEcho
from tests.support.namespaces import Namespace
from tests.support.routed import HOST, behind, move_behind
from tests.support.worlds import DNS, ENDPOINT, PATIENCE, WEB, KernelConversation, KernelWorld, Vpc

pytestmark = pytest.mark.root

CLIENT, BACKEND = "10.0.0.10", "10.0.0.20"
MTU = 1300
IP_MTU_DISCOVER, IP_PMTUDISC_DO, IP_MTU = 10, 2, 14


@dataclass(slots=True)
class Path:
    world: KernelWorld
    client: Namespace
    backend: Namespace
    stacks: tuple[Namespace, ...]

    async def errors(self) -> int:
        return (await self.world.dataplane.counters())[Counter.ICMP_FORWARDED]

    def checksum_errors(self) -> int:
        protocols = ("Tcp", "Udp", "Icmp")
        return sum(stack.counter(protocol, "InCsumErrors") for stack in self.stacks for protocol in protocols)


@pytest.fixture
async def path(world: KernelWorld) -> AsyncIterator[Path]:
    """A client behind a router, and a backend behind another; neither router carries as much as the rest."""
    shop, payments = await world.vpc("shop", CLIENT), await world.vpc("payments", BACKEND)
    await world.lead(shop, await world.publish(payments, BACKEND, ports=(WEB, DNS)))
    spaces = world.namespace(shop), world.namespace(payments)
    with ExitStack() as stack:
        client, backend = (stack.enter_context(behind(space, MTU)) for space in spaces)
        move_behind(spaces[1], backend, BACKEND, MTU)
        yield Path(world, client, backend, (client, backend, *spaces))


@pytest.mark.parametrize("offloads", [True, False], ids=["offloads on", "offloads off"])
async def test_tcp_finds_out_both_ways(path: Path, offloads: bool) -> None:
    for each in path.stacks:
        each.offload(offloads)
    server = await TcpEcho.start("web", path.backend, BACKEND, 8080)
    try:
        client = await TcpClient.connect(path.client, ENDPOINT, 80, source=HOST)
        assert client is not None
        await echo_megabytes(client, 4)
        await client.close()
    finally:
        await server.stop()
    assert await path.errors() >= 2
    assert path.checksum_errors() == 0


async def test_udp_is_told_how_long_a_datagram_may_be(path: Path) -> None:
    with path.client.udp_socket(HOST) as sender:
        sender.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)
        sender.connect((ENDPOINT, 53))
        assert sender.getsockopt(socket.IPPROTO_IP, IP_MTU) == 1500
        sender.send(bytes(1400))
        async with asyncio.timeout(PATIENCE):
            while await path.errors() == 0:
                await asyncio.sleep(0)
        with pytest.raises(OSError, match="Message too long") as told:
            async with asyncio.timeout(PATIENCE):
                while True:
                    sender.send(bytes(1400))
                    await asyncio.sleep(0)
        assert told.value.errno == errno.EMSGSIZE
        assert sender.getsockopt(socket.IPPROTO_IP, IP_MTU) == MTU


@pytest.fixture
async def vpcs(world: KernelWorld) -> tuple[Vpc, Vpc]:
    shop, payments = await world.vpc("shop", CLIENT), await world.vpc("payments", BACKEND)
    await world.serve(payments, BACKEND, 8080)
    await world.serve(payments, BACKEND, 5353, protocol=DNS.protocol)
    await world.lead(shop, await world.publish(payments, BACKEND, ports=(WEB, DNS)))
    return shop, payments


def carries_less(world: KernelWorld, vpc: Vpc) -> None:
    """As if its device were a NIC whose MTU has just been found."""
    number = NUMBER.pack(world.device_number(vpc))
    device = VpcDevice.unpack(world.maps.vpcs.get(number) or b"")
    world.maps.vpcs.put(number, replace(device, local_peer=False, mtu=MTU).pack())


@pytest.mark.parametrize("offloads", [True, False], ids=["offloads on", "offloads off"])
async def test_an_open_connection_goes_on_when_a_device_carries_less_than_before(
    world: KernelWorld, vpcs: tuple[Vpc, Vpc], offloads: bool
) -> None:
    """The program answers segments that are long, and whose checksums are left to the device."""
    for vpc in vpcs:
        world.namespace(vpc).offload(offloads)
    conversation = await world.reaches(vpcs[0], CLIENT, ENDPOINT, 80)
    assert isinstance(conversation, KernelConversation)
    assert isinstance(conversation.client, TcpClient)
    for vpc in vpcs:
        carries_less(world, vpc)
    await echo_megabytes(conversation.client, 4)
    counters = await world.dataplane.counters()
    assert 2 <= counters[Counter.ICMP_SENT] <= counters[Counter.REFUSED_TOO_LONG]
    for vpc in vpcs:
        stack = world.namespace(vpc)
        assert [stack.counter(each, "InCsumErrors") for each in ("Tcp", "Icmp")] == [0, 0]
        assert stack.counter("Icmp", "InDestUnreachs") >= 1


@pytest.mark.parametrize("offloads", [True, False], ids=["offloads on", "offloads off"])
async def test_udp_is_told_by_the_gateway_itself(world: KernelWorld, vpcs: tuple[Vpc, Vpc], offloads: bool) -> None:
    world.namespace(vpcs[0]).offload(offloads)
    carries_less(world, vpcs[1])
    with world.namespace(vpcs[0]).udp_socket(CLIENT) as sender:
        sender.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)
        sender.connect((ENDPOINT, 53))
        await world.counts_one(Counter.ICMP_SENT, sent(sender, bytes(MTU - 27)))
        async with asyncio.timeout(PATIENCE):
            while sender.getsockopt(socket.IPPROTO_IP, IP_MTU) != MTU:
                await asyncio.sleep(0)
        with pytest.raises(OSError, match="Message too long"):
            sender.send(bytes(MTU - 27))
        assert sender.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.EMSGSIZE
        await world.counts_one(Counter.FORWARDED, sent(sender, bytes(MTU - 28)))
    passed = (await world.dataplane.traffic()).values()
    assert [each.refused.get("too_long") for each in passed] == [1]


async def sent(sender: socket.socket, data: bytes) -> None:
    sender.send(data)
