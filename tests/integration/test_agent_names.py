"""A whole agent over the fake data plane, and its resolver on real sockets: names as the cell's log goes on."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import dns.asyncquery
import dns.exception
import dns.message
import dns.rcode

from services.gateway_agent.dataplane.fake_kernel import FakeKernel
from services.gateway_agent.dataplane.port import NotReady
from services.gateway_agent.resolving.server import Sockets
from services.gateway_agent.table import Resolver
from sidegate.api.gateway.v1.gateway_service_pb2 import GetTableRequest, GetTableResponse
from tests.support.agent import BASE, SHOP, ZONE, Harness, address, agent, endpoint, eventually, id_of, resolver
from tests.support.control_plane import ABSENT, FORWARDING, control_plane

HERE = "127.0.0.1"
NAME = f"{id_of('1')}.{ZONE}"
PRIVATE = "api.example.com"
KERNEL, DESIRED, REPLAY = GetTableRequest.SOURCE_KERNEL, GetTableRequest.SOURCE_DESIRED, GetTableRequest.SOURCE_REPLAY


@dataclass
class Place:
    """Where the resolver listens, as soon as it may."""

    port: int
    allowed: bool = True

    def open(self, resolver: Resolver) -> Sockets:
        assert resolver.vpc == SHOP
        if not self.allowed:
            raise NotReady("its annex is not there")
        udp, tcp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.socket()
        for each in (udp, tcp):
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            each.setblocking(False)
            each.bind((HERE, self.port))
        tcp.listen()
        return Sockets(udp, tcp, stale=lambda: False)

    async def ask(self, name: str = NAME, patience: float = 10.0) -> list[str] | dns.rcode.Rcode | None:
        """The addresses, or why there are none; None where nobody answers."""
        with suppress(OSError, dns.exception.Timeout):
            found = await dns.asyncquery.tcp(dns.message.make_query(name, "A"), HERE, patience, self.port)
            return [record.to_text() for rrset in found.answer for record in rrset] or found.rcode()
        return None

    async def until(self, expected: list[str] | dns.rcode.Rcode | None, name: str = NAME) -> None:
        async with asyncio.timeout(10):
            while await self.ask(name) != expected:
                await asyncio.sleep(0.005)


def place() -> Place:
    with socket.socket() as probe:
        probe.bind((HERE, 0))
        return Place(probe.getsockname()[1])


@asynccontextmanager
async def served(gateway: Harness) -> AsyncIterator[None]:
    await eventually("the resolver to be served", lambda: bool(gateway.agent.resolvers.serving()))
    yield


async def test_a_name_comes_with_its_endpoint_and_goes_with_it(tmp_path: Path) -> None:
    where = place()
    async with control_plane() as control:
        await control.tell(*BASE, resolver(), endpoint("1", names=[NAME, PRIVATE]))
        async with agent(control, FakeKernel(), tmp_path, open_sockets=where.open):
            await control.reported(id_of("1"), FORWARDING)
            await where.until([str(address())])
            assert await where.ask(PRIVATE) == [str(address())]
            await control.tell(endpoint("1", 2, removed=True))
            await control.reported(id_of("1"), ABSENT)
            assert await where.ask() == dns.rcode.NXDOMAIN
            assert await where.ask(PRIVATE) == dns.rcode.REFUSED
            await control.tell(resolver(2, removed=True))
            await where.until(None)


async def test_whenever_a_name_is_answered_its_endpoint_passes_packets(tmp_path: Path) -> None:
    """Asked all the time, while the endpoint comes and goes."""
    where, heard, stop = place(), 0, asyncio.Event()
    async with control_plane() as control:
        await control.tell(*BASE, resolver())
        async with agent(control, FakeKernel(), tmp_path, open_sockets=where.open) as gateway, served(gateway):

            async def watch() -> None:
                nonlocal heard
                port = 10_000
                while not stop.is_set():  # cancelled, dnspython would leave its connection open
                    before = len(gateway.dataplane.changes)
                    answered = await where.ask()
                    if answered == [str(address())]:
                        port += 1
                        passes = await gateway.dataplane.forwards(port=port)
                        assert passes or len(gateway.dataplane.changes) > before, "answered, and nothing passes"
                        heard += passes
                    else:
                        assert answered == dns.rcode.NXDOMAIN
                    await asyncio.sleep(0)

            watching = asyncio.create_task(watch())
            for generation in range(1, 20, 2):
                seen = heard
                await control.tell(endpoint("1", generation, admission=generation, names=[NAME]))
                await eventually("the name", lambda seen=seen: heard > seen or watching.done())  # type: ignore[misc]
                await control.tell(endpoint("1", generation + 1, removed=True))
                await control.reported(id_of("1"), ABSENT, generation + 1)
                assert not await gateway.dataplane.forwards()
                assert await where.ask() == dns.rcode.NXDOMAIN, "never while the forwarding is gone"
            stop.set()
            await watching
    assert heard >= 10


async def test_after_a_restart_no_name_is_said_not_to_be_there(tmp_path: Path) -> None:
    where, kernel = place(), FakeKernel()
    async with control_plane() as control:
        await control.tell(*BASE, resolver(), endpoint("1", names=[NAME]))
        async with agent(control, kernel, tmp_path, open_sockets=where.open):
            await where.until([str(address())])
        assert await where.ask(patience=0.1) is None, "nobody is there"
        control.may_send.clear()
        async with agent(control, kernel, tmp_path, open_sockets=where.open) as gateway:
            asked = asyncio.create_task(where.until([str(address())]))
            heard = list[object]()

            async def listen() -> None:
                while not asked.done():
                    heard.append(await where.ask())
                    await asyncio.sleep(0.005)

            listening = asyncio.create_task(listen())
            await gateway.agent.serving.wait()
            control.may_send.set()
            await asked
            await listening
            assert dns.rcode.NXDOMAIN not in heard


async def test_what_is_shown_of_resolvers_and_names(tmp_path: Path) -> None:
    where = place()
    where.allowed = False
    async with control_plane() as control:
        await control.tell(*BASE, resolver(1, "192.0.2.1:53", "[2001:db8::1]:5353"), endpoint("1", names=[NAME]))
        async with agent(control, FakeKernel(), tmp_path, open_sockets=where.open) as gateway:
            await control.reported(id_of("1"), FORWARDING)
            async with gateway.table_service() as asked:

                def resolvers(table: GetTableResponse) -> list[tuple[str, ...]]:
                    return [
                        tuple(each.entry.resolver.forwarders)
                        for each in table.entries
                        if each.entry.HasField("resolver")
                    ]

                def names(table: GetTableResponse) -> list[str]:
                    return [name for each in table.entries for name in each.entry.endpoint.dns_names]

                kernel = await asked.table(KERNEL)
                async with asyncio.timeout(10):
                    while not kernel.withheld or kernel.withheld[0].difficulty != "its annex is not there":
                        kernel = await asked.table(KERNEL)
                assert resolvers(kernel) == []
                where.allowed = True
                async with asyncio.timeout(10):
                    while not resolvers(kernel):
                        kernel = await asked.table(KERNEL)
                for table in (kernel, await asked.table(DESIRED), await asked.table(REPLAY)):
                    assert resolvers(table) == [("192.0.2.1:53", "[2001:db8::1]:5353")]
                    assert names(table) == [NAME]
                assert list(kernel.withheld) == []
                figures = (await gateway.agent.figures()).resolvers
                assert (figures.serving, figures.waiting, figures.names) == (1, 0, 1)
