"""The network namespaces that a gateway makes of its own: made, found again, taken away, and no way out of them."""

import asyncio
import socket
from pathlib import Path

import pytest

from services.gateway_agent.dataplane.annex import in_annex
from services.gateway_agent.dataplane.naming import Naming
from services.gateway_agent.table import Address, Attachment
from services.gateway_agent.targets import RESOLVER, RESOLVER_V6, Annex, annex_id
from tests.support import namespaces
from tests.support.namespaces import RUN, Namespace
from tests.support.worlds import PATIENCE, KernelWorld, Vpc

pytestmark = pytest.mark.root

CLIENT = "10.0.0.10"


def annex_of(vpc: Vpc) -> Attachment:
    return Attachment(annex_id(vpc.id), Annex(vpc.id))


def inside(world: KernelWorld, vpc: Vpc) -> Namespace:
    return Namespace(Naming(world.gateway_id).annex(vpc.id))


async def attached(world: KernelWorld, label: str = "shop") -> tuple[Vpc, Attachment]:
    vpc = await world.vpc(label, CLIENT)
    annex = annex_of(vpc)
    await world.put(annex)
    return vpc, annex


async def test_an_annex_has_its_addresses_and_one_way_out_to_the_gateway(world: KernelWorld) -> None:
    vpc, annex = await attached(world)
    space = inside(world, vpc)
    assert space.devices() == {"lo", "sidegate0"}
    for family in ("-4", "-6"):
        routes = space.ip(family, "route", "get", "10.0.0.10" if family == "-4" else "2001:db8::10")
        assert "dev sidegate0" in routes, routes
    gateway = next(each for each in namespaces.host_devices() if each.alias.endswith(annex.vpc))
    known = space.ip("neigh", "show", "nud", "permanent")
    assert known.count(gateway.mac.hex(":")) == 2, known
    assert space.run(Path("/proc/sys/net/ipv4/ip_forward").read_text).strip() == "0"
    assert (await world.dataplane.read()).entries[annex.key] == annex


async def test_who_listens_in_an_annex_may_do_so_at_the_resolvers_addresses(world: KernelWorld) -> None:
    vpc, _ = await attached(world)
    for address in (RESOLVER, RESOLVER_V6):

        def listen(address: Address = address) -> socket.socket:
            made = socket.socket(socket.AF_INET6 if address.version == 6 else socket.AF_INET, socket.SOCK_DGRAM)
            made.bind((str(address), 53))
            return made

        in_annex(world.gateway_id, vpc.id, listen).close()


async def test_an_annex_outlives_the_agent_and_goes_when_it_is_not_needed(world: KernelWorld) -> None:
    vpc, annex = await attached(world)
    before = (RUN / inside(world, vpc).name).stat().st_ino
    await world.restart()
    await world.put(annex)
    assert (RUN / inside(world, vpc).name).stat().st_ino == before
    await world.remove(annex)
    assert not inside(world, vpc).exists()


async def test_an_annex_that_somebody_deletes_is_missed_and_made_anew(world: KernelWorld) -> None:
    vpc, annex = await attached(world)
    inside(world, vpc).delete()
    async with asyncio.timeout(PATIENCE):
        while annex.key not in world.dataplane.difficulties():
            await world.dataplane.wait_for_news()
    await world.put(annex)
    assert annex.key not in world.dataplane.difficulties()
    assert "sidegate0" in inside(world, vpc).devices()


async def test_what_a_kill_left_of_an_annex_is_taken_away_or_made_whole(world: KernelWorld) -> None:
    shop, payments = await world.vpc("shop"), await world.vpc("payments")
    for vpc in (shop, payments):
        (RUN / inside(world, vpc).name).touch()  # the kill came before a namespace was bound to it
    await world.put(annex_of(shop))
    assert "sidegate0" in inside(world, shop).devices()
    await world.restart()
    assert inside(world, shop).exists()
    assert not inside(world, payments).exists()


async def test_uninstalling_takes_annexes_away(world: KernelWorld) -> None:
    vpc, _ = await attached(world)
    await world.dataplane.uninstall()
    assert not inside(world, vpc).exists()
    assert inside(world, vpc).name not in "".join(path.name for path in RUN.iterdir())
