"""Errors of ICMPv6 reach who sent what they are about; the stacks at both ends look at their checksums."""

import asyncio
import errno
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import IPv6Address
from struct import pack

import pytest

from services.gateway_agent.dataplane.maps import Counter
from tests.dataplane.test_path_mtu import MTU, carries_less, sent
from tests.dataplane.test_transfer import echo_megabytes
from tests.support.hosts import TcpClient
from tests.support.namespaces import Namespace
from tests.support.worlds import DNS, PATIENCE, WEB, KernelConversation, KernelWorld, Vpc

pytestmark = pytest.mark.root

CLIENT, BACKEND, ENDPOINT = "fd00::10", "fd00::20", "fd00::100"
SOURCE = "fd73:6964:6567:6174::c613:8007"
IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DO, IPV6_MTU = 23, 2, 24
UNREACHABLE, TOO_BIG, TIME_EXCEEDED = 1, 2, 3
HEADERS = 48  # bytes of IPv6 and UDP


async def make_vpcs(world: KernelWorld, offloads: bool = True) -> tuple[Vpc, Vpc]:
    world.ipv6 = True
    shop, payments = await world.vpc("shop", CLIENT), await world.vpc("payments", BACKEND)
    for vpc in (shop, payments):
        world.namespace(vpc).offload(offloads)
    await world.lead(shop, await world.publish(payments, BACKEND, ports=(WEB, DNS)), ENDPOINT)
    return shop, payments


def discovers(sock: socket.socket) -> None:
    sock.setsockopt(socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DO)


def mtu_of(sock: socket.socket) -> int:
    return sock.getsockopt(socket.IPPROTO_IPV6, IPV6_MTU)


async def learns(sock: socket.socket) -> None:
    async with asyncio.timeout(PATIENCE):
        while mtu_of(sock) != MTU:
            await asyncio.sleep(0)


@dataclass(slots=True)
class Talk:
    """A client's socket and a backend's, each connected with what it sees of the other."""

    world: KernelWorld
    spaces: tuple[Namespace, Namespace]
    client: socket.socket
    backend: socket.socket
    client_port: int
    seen_port: int

    def tell_client(self, port: int = 0, kind: int = TOO_BIG) -> None:
        """As a router of the provider's, about what the client sent; with what such routers add (RFC 4884)."""
        self._tell(self.spaces[1], kind, (SOURCE, port or self.seen_port), (BACKEND, 5353))

    def tell_backend(self) -> None:
        self._tell(self.spaces[0], TOO_BIG, (ENDPOINT, 53), (CLIENT, self.client_port))

    def _tell(self, space: Namespace, kind: int, sender: tuple[str, int], receiver: tuple[str, int]) -> None:
        ends = IPv6Address(sender[0]).packed + IPv6Address(receiver[0]).packed
        quoted = pack(">IHBB", 6 << 28, 1400, socket.IPPROTO_UDP, 63) + ends
        quoted += pack(">HHHH", sender[1], receiver[1], 1400, 0x1234) + b"a router's name"
        with space.open_socket(socket.SOCK_RAW, socket.AF_INET6, socket.IPPROTO_ICMPV6) as raw:
            raw.sendto(pack(">BBHI", kind, 0, 0, MTU) + quoted, (sender[0], 0))


@pytest.fixture
async def talk(world: KernelWorld) -> AsyncIterator[Talk]:
    shop, payments = await make_vpcs(world)
    spaces, loop = (world.namespace(shop), world.namespace(payments)), asyncio.get_running_loop()
    with ExitStack() as stack:
        client = stack.enter_context(spaces[0].udp_socket(CLIENT))
        backend = stack.enter_context(spaces[1].udp_socket(BACKEND, 5353))
        client.connect((ENDPOINT, 53))
        client.send(b"question")
        async with asyncio.timeout(PATIENCE):
            _, seen = await loop.sock_recvfrom(backend, 64)
        assert seen[0] == SOURCE
        backend.connect(seen[:2])
        for each in (client, backend):
            discovers(each)
        yield Talk(world, spaces, client, backend, client.getsockname()[1], seen[1])


async def test_both_ends_learn_of_a_router_what_passes_it(talk: Talk) -> None:
    assert [mtu_of(talk.client), mtu_of(talk.backend)] == [1500, 1500]
    talk.tell_client()
    await learns(talk.client)
    assert talk.client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.EMSGSIZE
    assert mtu_of(talk.backend) == 1500
    talk.tell_backend()
    await learns(talk.backend)
    assert (await talk.world.dataplane.counters())[Counter.ICMP_FORWARDED] == 2


async def test_an_error_about_nobody_s_session_reaches_nobody(talk: Talk) -> None:
    async def guess(port: int, kind: int) -> None:
        talk.tell_client(port, kind)

    for port, kind in ((talk.seen_port ^ 1, TOO_BIG), (0, 0), (0, 5), (0, 128)):
        await talk.world.counts_one(Counter.REFUSED_ICMP, guess(port, kind))
    assert (await talk.world.dataplane.counters())[Counter.ICMP_FORWARDED] == 0
    talk.tell_client()
    await learns(talk.client)


@pytest.mark.parametrize("offloads", [True, False], ids=["offloads on", "offloads off"])
async def test_a_client_learns_that_nobody_listens(world: KernelWorld, offloads: bool) -> None:
    shop, _ = await make_vpcs(world, offloads)
    with world.namespace(shop).udp_socket(CLIENT) as client:
        client.connect((ENDPOINT, 53))
        client.send(b"is anybody there?")
        with pytest.raises(ConnectionRefusedError):
            async with asyncio.timeout(PATIENCE):
                await asyncio.get_running_loop().sock_recv(client, 1)


@pytest.mark.parametrize("offloads", [True, False], ids=["offloads on", "offloads off"])
async def test_a_sender_of_what_is_too_long_for_a_device_is_told(world: KernelWorld, offloads: bool) -> None:
    vpcs = await make_vpcs(world, offloads)
    await world.serve(vpcs[1], BACKEND, 8080)
    conversation = await world.reaches(vpcs[0], CLIENT, ENDPOINT, 80)
    assert isinstance(conversation, KernelConversation)
    assert isinstance(conversation.client, TcpClient)
    for vpc in vpcs:
        carries_less(world, vpc)
    with world.namespace(vpcs[0]).udp_socket(CLIENT) as sender:
        discovers(sender)
        sender.connect((ENDPOINT, 53))
        await world.counts_one(Counter.ICMP_SENT, sent(sender, bytes(MTU - HEADERS + 1)))
        await learns(sender)
    await echo_megabytes(conversation.client, 2)
    assert (await world.dataplane.counters())[Counter.ICMP_SENT] >= 2
    for vpc in vpcs:
        assert world.namespace(vpc).counter("Tcp", "InCsumErrors") == 0
