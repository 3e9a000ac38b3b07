"""Devices that reach into VPCs: made, taken over, watched, shut and removed, and never another's."""

import asyncio
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from services.gateway_agent.dataplane.kernel import KernelDataplane
from services.gateway_agent.dataplane.maps import VpcDevice
from services.gateway_agent.dataplane.port import DataplaneError, NotReady
from services.gateway_agent.table import SOURCE_RANGE, Attachment, Put
from services.gateway_agent.targets import Netns
from tests.support.namespaces import DEVICE
from tests.support.worlds import ENDPOINT, PATIENCE, KernelWorld, Vpc

pytestmark = pytest.mark.root

CLIENT, BACKEND = "10.0.0.10", "10.0.0.20"


@pytest.fixture
async def vpcs(world: KernelWorld) -> tuple[Vpc, Vpc]:
    shop, payments = await world.vpc("shop", CLIENT), await world.vpc("payments", BACKEND)
    await world.serve(payments, BACKEND, 8080)
    await world.lead(shop, await world.publish(payments, BACKEND))
    return shop, payments


async def test_an_attachment_makes_a_device_with_a_way_back_to_the_source_range(world: KernelWorld) -> None:
    vpc = await world.vpc("shop")
    namespace, device = world.namespace(vpc), world.device(vpc)
    assert namespace.devices() == {"lo", DEVICE}
    assert f"{SOURCE_RANGE} dev {DEVICE} proto static scope link" in namespace.ip("route")
    assert device.alias == f"sidegate/{world.gateway_id}/{vpc.id}"
    assert device.up
    assert len(device.name) <= 15
    assert Path(f"/proc/sys/net/ipv6/conf/{device.name}/disable_ipv6").read_text().strip() == "1"


async def test_the_gateways_end_sends_nothing_of_its_own(world: KernelWorld) -> None:
    vpc = await world.vpc("shop", CLIENT)
    await world.publish(vpc, CLIENT)
    assert world.namespace(vpc).packets("rx") == 1, "one ARP probe for the backend"


async def test_removing_an_attachment_removes_the_device(world: KernelWorld) -> None:
    vpc = await world.vpc("shop")
    await world.remove(vpc.attachment)
    assert world.namespace(vpc).devices() == {"lo"}


async def test_a_device_that_is_not_ours_is_left_alone(world: KernelWorld) -> None:
    vpc = world.unattached("shop")
    world.namespace(vpc).ip("link", "add", DEVICE, "type", "veth", "peer", "name", "tenant0")
    with pytest.raises(NotReady, match=f"has a device {DEVICE} that is not ours"):
        await world.put(vpc.attachment)
    assert world.namespace(vpc).devices() == {"lo", DEVICE, "tenant0"}
    world.namespace(vpc).ip("link", "delete", DEVICE)
    await world.put(vpc.attachment)


async def test_a_route_that_is_not_ours_is_left_alone(world: KernelWorld) -> None:
    vpc = world.unattached("shop")
    world.namespace(vpc).ip("route", "add", str(SOURCE_RANGE), "dev", "lo")
    with pytest.raises(NotReady, match=f"another route to {SOURCE_RANGE}"):
        await world.put(vpc.attachment)
    assert f"{SOURCE_RANGE} dev lo" in world.namespace(vpc).ip("route")
    assert vpc.attachment.key not in (await world.dataplane.read()).entries


async def test_another_device_name_makes_another_device(world: KernelWorld) -> None:
    vpc = await world.vpc("shop")
    await world.put(replace(vpc.attachment, target=Netns(world.namespace(vpc).name, "other0")))
    assert world.namespace(vpc).devices() == {"lo", "other0"}


@pytest.mark.parametrize(
    ("namespace", "device"), [("a/b", DEVICE), ("..", DEVICE), ("", DEVICE), ("shop", "x" * 16), ("shop", "a b")]
)
async def test_a_name_that_no_device_or_namespace_has_is_refused(
    world: KernelWorld, namespace: str, device: str
) -> None:
    attachment = replace(world.unattached("shop").attachment, target=Netns(namespace, device))
    with pytest.raises(DataplaneError, match="is not a name for a"):
        await world.dataplane.apply(Put(attachment))


async def test_uninstalling_shuts_devices_and_keeps_the_tenants_addresses(
    world: KernelWorld, vpcs: tuple[Vpc, Vpc]
) -> None:
    shop, _ = vpcs
    await world.dataplane.uninstall()
    assert not world.device(shop).up
    assert CLIENT in world.namespace(shop).ip("address", "show", "dev", DEVICE)
    assert world.pins() == []


async def test_a_gateway_that_was_uninstalled_can_be_installed_again(world: KernelWorld, vpcs: tuple[Vpc, Vpc]) -> None:
    shop, payments = vpcs
    mac = world.device(shop).mac
    await world.dataplane.uninstall()
    await world.restart()
    await world.put(shop.attachment, payments.attachment)
    await world.lead(shop, await world.publish(payments, BACKEND))
    assert world.device(shop).mac == mac
    assert (await world.reaches(shop, CLIENT, ENDPOINT, 80)).backend == "web"


async def test_removing_devices_removes_both_ends(world: KernelWorld, vpcs: tuple[Vpc, Vpc]) -> None:
    await world.dataplane.uninstall()
    await world.dataplane.remove_devices()
    for vpc in vpcs:
        assert world.namespace(vpc).devices() == {"lo"}


async def test_a_device_that_someone_shuts_is_a_difficulty_until_the_attachment_is_put_again(
    world: KernelWorld, vpcs: tuple[Vpc, Vpc]
) -> None:
    shop, _ = vpcs
    world.shut(shop)
    async with asyncio.timeout(PATIENCE):
        while shop.attachment.key not in world.dataplane.difficulties():
            await world.dataplane.wait_for_news()
    await world.put(shop.attachment)
    assert world.dataplane.difficulties() == {}
    await world.reaches(shop, CLIENT, ENDPOINT, 80)


async def test_a_namespace_that_went_while_the_agent_was_away_is_a_difficulty_when_it_is_back(
    world: KernelWorld, vpcs: tuple[Vpc, Vpc]
) -> None:
    shop, _ = vpcs
    await world.dataplane.close()
    world.lose(shop)
    await world.restart()
    name = world.namespace(shop).name
    assert world.dataplane.difficulties()[shop.attachment.key] == (
        f"network namespace {name} is not there: ip netns add {name}"
    )
    world.restore(shop)
    await world.put(shop.attachment)
    assert world.dataplane.difficulties() == {}
    world.add_hosts(shop, CLIENT)
    await world.reaches(shop, CLIENT, ENDPOINT, 80)


async def test_a_device_that_went_while_the_agent_was_away_is_made_again(
    world: KernelWorld, vpcs: tuple[Vpc, Vpc]
) -> None:
    shop, _ = vpcs
    await world.dataplane.close()
    world.namespace(shop).ip("link", "delete", DEVICE)
    await world.restart()
    world.add_hosts(shop, CLIENT)
    await world.reaches(shop, CLIENT, ENDPOINT, 80)


async def test_two_gateways_on_one_machine_do_not_meddle(world: KernelWorld, vpcs: tuple[Vpc, Vpc]) -> None:
    other = KernelDataplane(f"{world.gateway_id}-b", world.bpffs, 1024)
    await other.open()
    assert (await other.read()).entries == {}
    await other.uninstall()
    await world.reaches(vpcs[0], CLIENT, ENDPOINT, 80)


async def test_a_device_with_too_high_a_number_is_not_ready_and_takes_none_of_ours(world: KernelWorld) -> None:
    table, taken = world.dataplane._kernel.table, Attachment(str(uuid4()), Netns("nowhere", DEVICE))
    for _ in range(3):  # an agent tries again and again
        with pytest.raises(NotReady, match="has a number above 1048575: make it anew"):
            table.put_attachment(taken, VpcDevice(1 << 20, local_peer=True, mac=bytes(6)))
    vpc = await world.vpc("shop")
    assert world.device_number(vpc) == 1
