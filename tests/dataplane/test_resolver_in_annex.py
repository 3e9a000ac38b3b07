"""A resolver in the annex of a VPC: asked by dig from that VPC, over UDP and TCP, and by nobody from another."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from ipaddress import ip_address

import pytest

from services.gateway_agent.annexes import resolving
from services.gateway_agent.resolving.annexed import in_annexes
from services.gateway_agent.resolving.book import Book, Listing
from services.gateway_agent.resolving.resolvers import Resolvers
from services.gateway_agent.table import Remove, Resolver
from tests.support.agent import eventually
from tests.support.worlds import KernelWorld, Vpc

pytestmark = pytest.mark.root

ZONE = "region-1.sidegate.internal"
NAME = f"e1.{ZONE}"
CLIENT, AT, ANSWER = "10.0.0.10", "10.0.0.53", "10.0.0.100"
CLIENT6, AT6 = "fd00:a::10", "fd00:a::53"


async def dig(world: KernelWorld, vpc: Vpc, source: str, at: str, *more: str, name: str = NAME, wait: int = 5) -> str:
    """What dig prints; empty where nobody answers."""
    space = world.namespace(vpc, source)
    command = [
        "ip",
        "netns",
        "exec",
        space.name,
        "dig",
        f"@{at}",
        "-b",
        source,
        "+short",
        "+tries=1",
        f"+timeout={wait}",
    ]
    process = await asyncio.create_subprocess_exec(
        *command, *more, name, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    out, _ = await process.communicate()
    return out.decode().strip() if process.returncode == 0 else ""


@asynccontextmanager
async def answering(world: KernelWorld, *resolvers: Resolver) -> AsyncIterator[Resolvers]:
    """The resolvers are put with all that they take, and answered for; each knows another address of the same name."""
    book = Book()
    book.settled = True
    running = Resolvers(book, in_annexes(world.gateway_id))
    task = asyncio.create_task(running.run())
    try:
        for number, resolver in enumerate(resolvers):
            made = resolving(resolver)
            annex = made.annex()
            assert annex is not None
            await world.put(annex, *made.entries)
            book.put(f"e{number}", Listing(resolver.vpc, (NAME,), ip_address(ANSWER) + number))
            running.want(resolver.vpc, resolver)
        await eventually("resolvers to be answered for", lambda: len(running.serving()) == len(resolvers))
        yield running
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def resolver(vpc: Vpc, address: str = AT) -> Resolver:
    return Resolver(vpc.id, ip_address(address), (), ZONE)


async def test_a_resolver_is_asked_in_its_vpc_and_tells_each_vpc_its_own(world: KernelWorld) -> None:
    shop, other, third = [await world.vpc(label, CLIENT) for label in ("shop", "other", "third")]
    async with answering(world, resolver(shop), resolver(other)):
        for way in ("+notcp", "+tcp"):
            assert await dig(world, shop, CLIENT, AT, way) == ANSWER
            assert await dig(world, other, CLIENT, AT, way) == "10.0.0.101"
            assert await dig(world, third, CLIENT, AT, way, wait=1) == "", "it has none"
        assert await dig(world, shop, CLIENT, "169.254.0.53", wait=1) == "", "by its VPC's address alone"


async def test_a_vpc_of_ipv6_has_one_too(world: KernelWorld) -> None:
    world.ipv6 = True
    shop = await world.vpc("shop", CLIENT6)
    async with answering(world, resolver(shop, AT6)):
        for way in ("+notcp", "+tcp"):
            assert await dig(world, shop, CLIENT6, AT6, way) == ANSWER


async def test_a_resolver_whose_annex_is_made_anew_listens_there(world: KernelWorld) -> None:
    shop = await world.vpc("shop", CLIENT)
    wanted = resolver(shop)
    async with answering(world, wanted) as running:
        made = resolving(wanted)
        annex = made.annex()
        assert annex is not None
        for entry in (*reversed(made.entries), annex):
            await world.dataplane.apply(Remove(entry.key))
        await eventually("the resolver to be missed", lambda: bool(running.difficulties()))
        assert await dig(world, shop, CLIENT, AT, wait=1) == ""
        await world.put(annex, *made.entries)
        running.nudge()
        await eventually("the resolver to be back", lambda: bool(running.serving()))
        assert await dig(world, shop, CLIENT, AT) == ANSWER
