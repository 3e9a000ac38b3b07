"""VXLAN devices: made, taken over, shared by several remote hosts, and never another's."""

import asyncio
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from uuid import uuid4

import pytest

from services.gateway_agent.dataplane.kernel import KernelDataplane
from services.gateway_agent.dataplane.maps import Counter
from services.gateway_agent.dataplane.port import NotReady
from services.gateway_agent.table import Put
from services.gateway_agent.targets import Vxlan
from tests.support.namespaces import host_bridge, host_ip
from tests.support.sites import VxlanSite
from tests.support.wire import Segment
from tests.support.worlds import ENDPOINT, KernelWorld, Vpc

pytestmark = [pytest.mark.root, pytest.mark.parametrize("world", ["vxlan"], indirect=True)]

CLIENT, OTHER_CLIENT = "10.0.0.10", "10.0.0.11"  # on the first remote host, and on the second
BACKEND, OTHER_BACKEND = "10.0.0.20", "10.0.0.21"


def target(vpc: Vpc) -> Vxlan:
    found = vpc.attachment.target
    assert isinstance(found, Vxlan)
    return found


def flooded(world: KernelWorld, vpc: Vpc) -> set[IPv4Address]:
    """Where the device sends what nobody knows the way to."""
    entries = host_bridge("fdb", "show", "dev", world.device(vpc).name).splitlines()
    return {IPv4Address(line.split()[2]) for line in entries if line.startswith("00:00:00:00:00:00")}


@pytest.fixture
async def vpcs(world: KernelWorld) -> tuple[Vpc, Vpc]:
    shop, payments = await world.vpc("shop", CLIENT, OTHER_CLIENT), await world.vpc("payments", BACKEND, OTHER_BACKEND)
    await world.serve(payments, BACKEND, 8080, "first")
    await world.serve(payments, OTHER_BACKEND, 8080, "second")
    return shop, payments


async def test_a_device_is_ours_silent_and_sends_to_every_remote_host(
    world: KernelWorld, vpcs: tuple[Vpc, Vpc]
) -> None:
    device = world.device(vpcs[0])
    assert device.alias == f"sidegate/{world.gateway_id}/{vpcs[0].id}"
    assert {"UP", "NOARP"} <= device.flags
    assert Path(f"/proc/sys/net/ipv6/conf/{device.name}/disable_ipv6").read_text().strip() == "1"
    assert flooded(world, vpcs[0]) == set(target(vpcs[0]).remotes)
    details = host_ip("-details", "link", "show", "dev", device.name)
    assert f"vxlan id {target(vpcs[0]).vni} " in details
    assert "dstport 4789" in details
    assert "mtu 1450" in details, "50 less than the underlay's"


async def test_hosts_behind_either_remote_host_are_reached_and_reach(world: KernelWorld, vpcs: tuple[Vpc, Vpc]) -> None:
    shop, payments = vpcs
    for number, (backend, name) in enumerate([(BACKEND, "first"), (OTHER_BACKEND, "second")]):
        await world.lead(shop, await world.publish(payments, backend), f"10.0.0.{100 + number}", f"198.19.128.{number}")
        for client in (CLIENT, OTHER_CLIENT):
            assert (await world.reaches(shop, client, f"10.0.0.{100 + number}", 80)).backend == name


async def test_remote_hosts_come_and_go_without_an_interruption(world: KernelWorld, vpcs: tuple[Vpc, Vpc]) -> None:
    shop, payments = vpcs
    await world.lead(shop, await world.publish(payments, BACKEND))
    conversation = await world.reaches(shop, CLIENT, ENDPOINT, 80)
    index = host_ip("-oneline", "link", "show", "dev", world.device(payments).name).split(":")[0]
    site = world.site(payments)
    assert isinstance(site, VxlanSite)
    kept = site.subnets[0] + 2
    await world.put(replace(payments.attachment, target=replace(target(payments), remotes=(kept,))))
    assert flooded(world, payments) == {kept}
    assert await conversation.echoes()
    await world.put(payments.attachment)
    assert flooded(world, payments) == set(target(payments).remotes)
    assert await conversation.echoes()
    assert host_ip("-oneline", "link", "show", "dev", world.device(payments).name).split(":")[0] == index
    assert world.dataplane.difficulties() == {}


async def test_another_segment_is_another_device(world: KernelWorld, vpcs: tuple[Vpc, Vpc]) -> None:
    shop, _ = vpcs
    other = replace(target(shop), vni=target(shop).vni % 0xFFFFFF + 1, mtu=1400)
    await world.put(replace(shop.attachment, target=other))
    details = host_ip("-details", "link", "show", "dev", world.device(shop).name)
    assert f"vxlan id {other.vni} " in details
    assert "mtu 1400" in details


@pytest.mark.parametrize("same_port", [True, False], ids=["on the same port", "on another port"])
async def test_a_segment_that_another_gateway_of_the_machine_has_is_refused_with_its_name(
    world: KernelWorld, vpcs: tuple[Vpc, Vpc], same_port: bool
) -> None:
    shop, _ = vpcs
    wanted = replace(shop.attachment, vpc=str(uuid4()))
    if not same_port:
        wanted = replace(wanted, target=replace(target(shop), port=4790))
    other = KernelDataplane(f"{world.gateway_id}-b", world.bpffs, 1024)
    await other.open()
    try:
        if same_port:
            device = world.device(shop)
            with pytest.raises(
                NotReady, match=f"is in use on this machine: device {device.name}, which is {device.alias}"
            ):
                await other.apply(Put(wanted))
        else:
            await other.apply(Put(wanted))
    finally:
        await other.uninstall()
    assert world.device(shop).up


async def test_an_own_address_that_the_machine_does_not_have_is_refused(world: KernelWorld) -> None:
    vpc = world.unattached("shop")
    site = world.site(vpc)
    assert isinstance(site, VxlanSite)
    foreign = replace(vpc.attachment, target=replace(target(vpc), local=IPv4Address("192.0.2.99")))
    with pytest.raises(NotReady, match=r"no device of this machine has the address 192\.0\.2\.99"):
        await world.put(foreign)
    own = site.subnets[0] + 1
    await world.put(replace(vpc.attachment, target=replace(target(vpc), local=own)))
    assert f"local {own} " in host_ip("-details", "link", "show", "dev", world.device(vpc).name)


async def test_uninstalling_removes_the_device(world: KernelWorld, vpcs: tuple[Vpc, Vpc]) -> None:
    name = world.device(vpcs[0]).name
    await world.dataplane.uninstall()
    assert f" {name}:" not in host_ip("-oneline", "link", "show")


async def test_a_device_whose_record_was_never_written_goes_with_the_next_agent(world: KernelWorld) -> None:
    vpc = world.unattached("shop")
    await asyncio.to_thread(world.attach_device_only, vpc.attachment)
    name = world.device(vpc).name
    await world.restart()
    assert f" {name}:" not in host_ip("-oneline", "link", "show")


async def test_a_packet_that_the_segment_cannot_carry_is_counted_and_tcp_never_sends_one(
    world: KernelWorld, vpcs: tuple[Vpc, Vpc]
) -> None:
    """A provider with an MTU of 1500 keeps to what the consumer, whose device has 1450, says of itself."""
    shop, _ = vpcs
    world.attach_by("netns")
    big = await world.vpc("big", BACKEND)
    await world.serve(big, BACKEND, 8080, "big")
    await world.lead(shop, await world.publish(big, BACKEND))
    conversation = await world.reaches(shop, CLIENT, ENDPOINT, 80)
    assert await conversation.echoes()
    back = await world.lead(big, await world.publish(shop, CLIENT), "10.0.0.101", "198.19.128.9")
    wire = world.wire(big)
    longest = Segment(BACKEND, str(back.address), 40000, 80, payload=bytes(1410))
    before = (await world.dataplane.counters())[Counter.FORWARDED]
    await wire.send_ipv4(longest.pack())
    await world.counts_more(Counter.FORWARDED, before)
    await world.counts_one(Counter.REFUSED_TOO_LONG, wire.send_ipv4(replace(longest, payload=bytes(1411)).pack()))
