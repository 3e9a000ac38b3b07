"""Bytes on their way: every one arrives, with offloads and without, whatever the agent does meanwhile."""

import asyncio
import hashlib
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import pytest

from services.gateway_agent.dataplane.maps import NUMBER, VpcDevice
from tests.support import namespaces
from tests.support.hosts import TcpClient
from tests.support.sites import IN_EVERY_WAY
from tests.support.worlds import DNS, ENDPOINT, PATIENCE, WEB, KernelConversation, KernelWorld, Vpc

pytestmark = pytest.mark.root

CLIENT, BACKEND = "10.0.0.10", "10.0.0.20"
MEGABYTE = 1 << 20
SO_NO_CHECK = 11
RESTARTS = 5


@pytest.fixture
async def vpcs(world: KernelWorld) -> tuple[Vpc, Vpc]:
    """A consumer with an endpoint, and a provider with an echo behind it."""
    shop, payments = await world.vpc("shop", CLIENT), await world.vpc("payments", BACKEND)
    await world.serve(payments, BACKEND, 8080)
    await world.serve(payments, BACKEND, 5353, protocol=DNS.protocol)
    await world.lead(shop, await world.publish(payments, BACKEND, ports=(WEB, DNS)))
    return shop, payments


async def connect(world: KernelWorld, vpc: Vpc) -> TcpClient:
    conversation = await world.reaches(vpc, CLIENT, ENDPOINT, 80)
    assert isinstance(conversation, KernelConversation)
    assert isinstance(conversation.client, TcpClient)
    return conversation.client


async def echo_megabytes(client: TcpClient, megabytes: int) -> None:
    """Sends so much to the echo and compares what comes back."""
    await echo_while(client, lambda sent: sent < megabytes)


async def echo_while(client: TcpClient, more: Callable[[int], bool]) -> None:
    """Sends a megabyte after the other while `more` says so, told how many were sent; compares what comes back."""
    digests = asyncio.Queue[bytes | None]()

    async def send() -> None:
        sent = 0
        while more(sent):
            block = os.urandom(MEGABYTE)
            digests.put_nowait(hashlib.sha256(block).digest())
            client.writer.write(block)
            await client.writer.drain()
            sent += 1
        digests.put_nowait(None)

    async def receive() -> None:
        while digest := await digests.get():
            assert hashlib.sha256(await client.reader.readexactly(MEGABYTE)).digest() == digest

    async with asyncio.timeout(90), asyncio.TaskGroup() as both:
        both.create_task(send())
        both.create_task(receive())


@asynccontextmanager
async def echoing(client: TcpClient) -> AsyncIterator[None]:
    """Megabytes go to the echo and come back unchanged as long as the block takes."""
    enough = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(echo_while(client, lambda _: not enough.is_set()))
        try:
            yield
        finally:
            enough.set()


def checksum_errors(world: KernelWorld, vpcs: tuple[Vpc, Vpc]) -> int:
    stacks = [world.namespace(vpc) for vpc in vpcs]
    return sum(stack.counter(protocol, "InCsumErrors") for stack in stacks for protocol in ("Tcp", "Udp"))


@pytest.mark.parametrize("world", ["netns", "vxlan", "interface", "vxlan interface"], indirect=True)
@pytest.mark.parametrize("offloads", [True, False], ids=["offloads on", "offloads off"])
async def test_many_megabytes_pass_both_ways_unchanged(
    world: KernelWorld, vpcs: tuple[Vpc, Vpc], offloads: bool
) -> None:
    for vpc in vpcs:
        world.namespace(vpc).offload(offloads)
    await echo_megabytes(await connect(world, vpcs[0]), 24)
    assert checksum_errors(world, vpcs) == 0


@IN_EVERY_WAY
@pytest.mark.parametrize("offloads", [True, False], ids=["offloads on", "offloads off"])
async def test_many_megabytes_pass_a_hairpin(world: KernelWorld, vpcs: tuple[Vpc, Vpc], offloads: bool) -> None:
    """Both ends are other addresses of one namespace; what leaves the gateway comes in by the same device."""
    _, payments = vpcs
    world.namespace(payments).offload(offloads)
    await world.lead(payments, await world.publish(payments, BACKEND))
    client = await TcpClient.connect(world.namespace(payments), ENDPOINT, 80)
    assert client is not None
    await echo_megabytes(client, 8)
    assert checksum_errors(world, vpcs) == 0
    await client.close()


@pytest.mark.parametrize("world", ["netns", "vxlan interface"], indirect=True)
@pytest.mark.parametrize("offloads", [True, False], ids=["offloads on", "offloads off"])
@pytest.mark.parametrize("no_checksum", [False, True], ids=["with checksum", "without"])
async def test_datagrams_of_every_size_pass(
    world: KernelWorld, vpcs: tuple[Vpc, Vpc], offloads: bool, no_checksum: bool
) -> None:
    for vpc in vpcs:
        world.namespace(vpc).offload(offloads)
    conversation = await world.reaches(vpcs[0], CLIENT, ENDPOINT, 53, DNS.protocol)
    assert isinstance(conversation, KernelConversation)
    assert not isinstance(conversation.client, TcpClient)
    conversation.client.sock.setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, no_checksum)
    for size in [0, 1, 2, 3, 17, 64, 511, 512, 1000, 1350]:
        assert await conversation.client.echoes(os.urandom(size)), f"{size} bytes were lost"
    assert checksum_errors(world, vpcs) == 0


async def test_checksums_that_were_left_to_the_device_are_right_when_the_gateway_has_to_complete_them(
    world: KernelWorld, vpcs: tuple[Vpc, Vpc]
) -> None:
    """Between veths nobody ever looks: here packets leave by ordinary egress of a device that can do nothing."""
    for vpc in vpcs:
        namespaces.offload_host_device(world.device(vpc).name, False)
        number = NUMBER.pack(world.device_number(vpc))
        device = VpcDevice.unpack(world.maps.vpcs.get(number) or b"")
        world.maps.vpcs.put(number, replace(device, local_peer=False).pack())
    await echo_megabytes(await connect(world, vpcs[0]), 8)
    for size in (0, 1, 64, 1399):
        conversation = await world.reaches(vpcs[0], CLIENT, ENDPOINT, 53, DNS.protocol)
        assert isinstance(conversation, KernelConversation)
        assert await conversation.client.echoes(os.urandom(size))
    assert checksum_errors(world, vpcs) == 0


@IN_EVERY_WAY
async def test_an_agent_that_comes_and_goes_loses_no_byte(world: KernelWorld, vpcs: tuple[Vpc, Vpc]) -> None:
    async with echoing(await connect(world, vpcs[0])):
        for _ in range(RESTARTS):
            await world.restart()


async def test_replacing_the_program_loses_no_byte_and_no_new_connection(
    world: KernelWorld, vpcs: tuple[Vpc, Vpc]
) -> None:
    shop, payments = vpcs
    before = await packets(world, vpcs)
    async with echoing(await connect(world, shop)):
        for _ in range(RESTARTS):
            await world.put(shop.attachment, payments.attachment)
            await world.reaches(shop, CLIENT, ENDPOINT, 80)
    async with asyncio.timeout(PATIENCE):
        while len(set((await packets(world, vpcs)) - before)) > 1:
            await asyncio.sleep(0)


@dataclass(frozen=True, slots=True)
class Packets:
    """TCP would hide a loss, so packets are counted: those sent, those that the program saw, those received."""

    sent: int
    seen: int
    received: int

    def __sub__(self, other: "Packets") -> tuple[int, int, int]:
        return self.sent - other.sent, self.seen - other.seen, self.received - other.received


async def packets(world: KernelWorld, vpcs: tuple[Vpc, Vpc]) -> Packets:
    stacks = [world.namespace(vpc) for vpc in vpcs]
    counts = await world.dataplane.counters()
    seen = counts["forwarded"] + counts["arp_answered"] + counts["arp_passed"]
    return Packets(sum(each.packets("tx") for each in stacks), seen, sum(each.packets("rx") for each in stacks))
