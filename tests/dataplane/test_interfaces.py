"""Devices that belong to somebody else: found, used, watched, and given back as they were."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from uuid import uuid4

import pytest

from services.gateway_agent.dataplane.kernel import KernelDataplane
from services.gateway_agent.dataplane.maps import Counter
from services.gateway_agent.dataplane.port import NotReady
from services.gateway_agent.table import Attachment, Kind, Put
from services.gateway_agent.targets import Interface, Selector
from tests.support import namespaces
from tests.support.namespaces import host_ip
from tests.support.sites import InterfaceSite
from tests.support.wire import Segment, arp_request
from tests.support.worlds import ENDPOINT, PATIENCE, SOURCE, KernelWorld, Vpc

pytestmark = [pytest.mark.root, pytest.mark.parametrize("world", ["interface"], indirect=True)]

CLIENT, BACKEND = "10.0.0.10", "10.0.0.20"
ADDRESS = "192.0.2.77"


@pytest.fixture
async def vpcs(world: KernelWorld) -> tuple[Vpc, Vpc]:
    """Each behind a device of its own; `shop` has an endpoint that leads to `payments`."""
    shop, payments = await world.vpc("shop", CLIENT), await world.vpc("payments", BACKEND)
    await world.serve(payments, BACKEND, 8080)
    await world.lead(shop, await world.publish(payments, BACKEND))
    return shop, payments


def name_of(world: KernelWorld, vpc: Vpc) -> str:
    return world.device(vpc).name


def filters(name: str) -> list[str]:
    return [
        each["options"]["bpf_name"]
        for each in json.loads(namespaces.host_tc("-json", "filter", "show", "dev", name, "ingress"))
        if "options" in each
    ]


def has_clsact(name: str) -> bool:
    return "clsact" in namespaces.host_tc("qdisc", "show", "dev", name)


async def difficulty(world: KernelWorld, vpc: Vpc) -> str:
    """What hinders the VPC's attachment, as soon as something does."""
    async with asyncio.timeout(PATIENCE):
        while vpc.attachment.key not in world.dataplane.difficulties():
            await world.dataplane.wait_for_news()
    return world.dataplane.difficulties()[vpc.attachment.key]


async def detach(world: KernelWorld, vpc: Vpc) -> None:
    """With all that there is of services and endpoints."""
    entries = (await world.dataplane.read()).entries.values()
    for kind in (Kind.ENDPOINT, Kind.SERVICE):
        await world.remove(*(entry for entry in entries if entry.key.kind is kind))
    await world.remove(vpc.attachment)


def by(world: KernelWorld, vpc: Vpc, selector: Selector, value: str = "") -> Attachment:
    device = world.device(vpc)
    values = {Selector.NAME: device.name, Selector.MAC: device.mac.hex(":"), Selector.ADDRESS: ADDRESS}
    return replace(vpc.attachment, target=Interface(selector, value or values[selector]))


@pytest.mark.parametrize("selector", Selector)
async def test_a_device_is_found_by_each_selector_and_again_by_the_next_agent(
    world: KernelWorld, selector: Selector
) -> None:
    shop, payments = world.unattached("shop"), await world.vpc("payments", BACKEND)
    host_ip("address", "add", f"{ADDRESS}/32", "dev", name_of(world, shop))
    attachment = by(world, shop, selector)
    await world.put(attachment)
    world.add_hosts(shop, CLIENT)
    await world.serve(payments, BACKEND, 8080)
    await world.lead(shop, await world.publish(payments, BACKEND))
    conversation = await world.reaches(shop, CLIENT, ENDPOINT, 80)
    await world.restart()
    assert await conversation.echoes()
    assert (await world.dataplane.read()).entries[attachment.key] == attachment


async def test_a_device_keeps_its_owners_alias_and_says_no_more_to_the_vpc(
    world: KernelWorld, vpcs: tuple[Vpc, Vpc]
) -> None:
    site = world.site(vpcs[0])
    assert isinstance(site, InterfaceSite)
    device = world.device(vpcs[0])
    assert device.alias == site.alias
    assert "NOARP" in device.flags
    assert filters(device.name) == [f"sidegate/{world.gateway_id}/{vpcs[0].id}+arp+clsact"]


@pytest.mark.parametrize("restarted", [False, True], ids=["", "by the next agent"])
async def test_a_device_is_given_back_as_it_was(world: KernelWorld, vpcs: tuple[Vpc, Vpc], restarted: bool) -> None:
    name, before = name_of(world, vpcs[0]), world.device(vpcs[0])
    if restarted:
        await world.restart()
    await detach(world, vpcs[0])
    after = world.device(vpcs[0])
    assert before.flags - after.flags == {"NOARP"}
    assert after.up
    assert not has_clsact(name)


async def test_what_others_had_on_the_device_stays(world: KernelWorld) -> None:
    """ARP was off, and another program's filter is at a lower priority."""
    vpc = world.unattached("shop")
    name = name_of(world, vpc)
    host_ip("link", "set", name, "arp", "off")
    namespaces.host_tc("qdisc", "add", "dev", name, "clsact")
    await world.put(vpc.attachment)
    assert filters(name) == [f"sidegate/{world.gateway_id}/{vpc.id}"]
    await world.dataplane.uninstall()
    assert "NOARP" in world.device(vpc).flags
    assert has_clsact(name)
    assert filters(name) == []


async def test_uninstalling_gives_every_device_back(world: KernelWorld, vpcs: tuple[Vpc, Vpc]) -> None:
    names = [name_of(world, vpc) for vpc in vpcs]
    await world.dataplane.close()
    await KernelDataplane(world.gateway_id, world.bpffs).uninstall()
    for vpc, name in zip(vpcs, names, strict=True):
        assert not has_clsact(name)
        assert "NOARP" not in world.device(vpc).flags


async def test_a_filter_of_another_program_in_our_place_is_respected(world: KernelWorld) -> None:
    vpc = world.unattached("shop")
    name = name_of(world, vpc)
    namespaces.host_tc("qdisc", "add", "dev", name, "clsact")
    foreign = ("filter", "add", "dev", name, "ingress", "prio", "1", "bpf", "bytecode", "1,6 0 0 0,")
    namespaces.host_tc(*foreign)
    with pytest.raises(NotReady, match=rf"device {name} has a filter of another program \(bpf\) at clsact ingress"):
        await world.put(vpc.attachment)
    assert "NOARP" not in world.device(vpc).flags
    namespaces.host_tc("filter", "delete", "dev", name, "ingress", "prio", "1")
    namespaces.host_tc(*(word if word != "1" else "2" for word in foreign))
    await world.put(vpc.attachment)
    await world.remove(vpc.attachment)
    assert "bytecode" in namespaces.host_tc("filter", "show", "dev", name, "ingress")


async def test_a_device_of_another_gateway_is_refused_with_its_name(world: KernelWorld) -> None:
    vpc = await world.vpc("shop")
    other = KernelDataplane(f"{world.gateway_id}-b", world.bpffs, 1024)
    await other.open()
    try:
        with pytest.raises(NotReady, match=f"already carries VPC {vpc.id} for gateway {world.gateway_id}$"):
            await other.apply(Put(replace(vpc.attachment, vpc=str(uuid4()))))
    finally:
        await other.uninstall()
    assert filters(name_of(world, vpc)) == [f"sidegate/{world.gateway_id}/{vpc.id}+arp+clsact"]


async def test_two_selectors_of_one_device_never_put_two_vpcs_on_it(world: KernelWorld, vpcs: tuple[Vpc, Vpc]) -> None:
    shop, payments = vpcs
    other = replace(by(world, shop, Selector.MAC), vpc=str(uuid4()))
    with pytest.raises(NotReady, match=f"^device {name_of(world, shop)} already carries VPC {shop.id}$"):
        await world.put(other)
    assert other.key not in (await world.dataplane.read()).entries
    assert (await world.reaches(shop, CLIENT, ENDPOINT, 80)).backend == "web"
    await detach(world, shop)
    await world.put(other)
    assert filters(name_of(world, shop)) == [f"sidegate/{world.gateway_id}/{other.vpc}+arp+clsact"]
    assert payments.attachment.key in (await world.dataplane.read()).entries


Damage = Callable[[str], None]


@pytest.mark.parametrize(
    ("damage", "repair", "words"),
    [
        pytest.param(
            lambda name: host_ip("link", "set", name, "down"),
            lambda name: host_ip("link", "set", name, "up"),
            "is down: ip link set",
            id="shut",
        ),
        pytest.param(
            lambda name: (
                host_ip("link", "set", name, "down"),
                host_ip("link", "set", name, "name", "sgrenamed", "up"),
            ),
            lambda name: (
                host_ip("link", "set", "sgrenamed", "down"),
                host_ip("link", "set", "sgrenamed", "name", name, "up"),
            ),
            "is not there",
            id="renamed",
        ),
        pytest.param(
            lambda name: host_ip("link", "set", name, "mtu", "1400"),
            lambda name: host_ip("link", "set", name, "mtu", "1500"),
            "is another one now, or was altered",
            id="of another length of packets",
        ),
        pytest.param(
            lambda name: host_ip("link", "set", name, "arp", "on"),
            lambda _: None,
            "is another one now, or was altered",
            id="that speaks for itself",
        ),
    ],
)
async def test_a_device_that_changes_is_out_of_use_until_it_is_put_again(
    world: KernelWorld, vpcs: tuple[Vpc, Vpc], damage: Damage, repair: Damage, words: str
) -> None:
    shop, _ = vpcs
    name = name_of(world, shop)
    damage(name)
    assert words in await difficulty(world, shop)
    repair(name)
    await world.put(shop.attachment)
    assert world.dataplane.difficulties() == {}
    await world.reaches(shop, CLIENT, ENDPOINT, 80)


async def test_a_device_that_is_only_shut_stays_ours_and_one_that_is_no_longer_meant_does_not(
    world: KernelWorld, vpcs: tuple[Vpc, Vpc]
) -> None:
    """Between a device's coming up and our hearing of it, nothing may pass by the host's own routes."""
    shop, _ = vpcs
    name = name_of(world, shop)
    host_ip("link", "set", name, "down")
    await difficulty(world, shop)
    with pytest.raises(NotReady, match="is down"):
        await world.put(shop.attachment)
    assert filters(name)
    host_ip("link", "set", name, "name", "sgmoved")
    with pytest.raises(NotReady, match="is not there"):
        await world.put(shop.attachment)
    assert filters("sgmoved") == []
    host_ip("link", "set", "sgmoved", "name", name)


async def test_a_device_that_leaves_for_another_namespace_is_missed_and_used_again_when_it_is_back(
    world: KernelWorld, vpcs: tuple[Vpc, Vpc]
) -> None:
    shop, _ = vpcs
    name, away = name_of(world, shop), world.namespace(vpcs[1])
    host_ip("link", "set", name, "netns", away.name)
    assert "is not there" in await difficulty(world, shop)
    away.ip("link", "set", name, "netns", "1")
    host_ip("link", "set", name, "up")
    await world.put(shop.attachment)
    await world.reaches(shop, CLIENT, ENDPOINT, 80)


async def test_an_address_that_moves_takes_the_attachment_along(world: KernelWorld) -> None:
    first, second = world.unattached("first"), world.unattached("second")
    one, other = name_of(world, first), name_of(world, second)
    host_ip("address", "add", f"{ADDRESS}/32", "dev", one)
    attachment = by(world, first, Selector.ADDRESS)
    await world.put(attachment)
    host_ip("address", "delete", f"{ADDRESS}/32", "dev", one)
    assert "is not there" in await difficulty(world, first)
    host_ip("address", "add", f"{ADDRESS}/32", "dev", other)
    await world.put(attachment)
    assert (filters(one), has_clsact(one)) == ([], False)
    assert filters(other) == [f"sidegate/{world.gateway_id}/{first.id}+arp+clsact"]


@pytest.mark.parametrize("told", [ENDPOINT, SOURCE], ids=["of an endpoint", "of what backends see"])
async def test_hosts_are_told_of_the_mac_address_of_another_device(world: KernelWorld, told: str) -> None:
    before, after, staying = world.unattached("before"), world.unattached("after"), await world.vpc("staying", CLIENT)
    host_ip("address", "add", f"{ADDRESS}/32", "dev", name_of(world, before))
    moving = by(world, before, Selector.ADDRESS)
    await world.put(moving)
    world.add_hosts(before, CLIENT)
    consumer, provider = (before, staying) if told == ENDPOINT else (staying, before)
    await world.lead(consumer, await world.publish(provider, CLIENT))

    wire = world.wire(after)
    host_ip("address", "delete", f"{ADDRESS}/32", "dev", name_of(world, before))
    host_ip("address", "add", f"{ADDRESS}/32", "dev", name_of(world, after))
    await world.put(moving)
    async with asyncio.timeout(PATIENCE):
        while await wire.receive() != arp_request(wire.gateway, told, told):
            pass


async def test_an_interrupted_attachment_is_undone_by_the_next_agent(world: KernelWorld) -> None:
    """The filter was put on, and the record of it was not written."""
    vpc = world.unattached("shop")
    await asyncio.to_thread(world.attach_device_only, vpc.attachment)
    name = name_of(world, vpc)
    assert filters(name)
    await world.restart()
    assert (filters(name), has_clsact(name), "NOARP" in world.device(vpc).flags) == ([], False, False)


@pytest.mark.parametrize(
    ("interface", "words"),
    [
        (Interface(Selector.NAME, "lo"), "device lo is the loopback device"),
        (Interface(Selector.ADDRESS, "127.0.0.1"), "device lo is the loopback device"),
        (Interface(Selector.NAME, "sgnothing"), "device sgnothing is not there"),
        (Interface(Selector.MAC, "02:00:00:00:00:99"), "the device with MAC address 02:00:00:00:00:99 is not there"),
        (Interface(Selector.ADDRESS, "192.0.2.99"), "the device with address 192.0.2.99 is not there"),
    ],
    ids=str,
)
async def test_what_is_no_device_for_a_vpc_is_refused(world: KernelWorld, interface: Interface, words: str) -> None:
    attachment = Attachment(str(uuid4()), interface)
    with pytest.raises(NotReady, match=words):
        await world.put(attachment)
    assert attachment.key not in (await world.dataplane.read()).entries


async def test_a_device_that_we_made_or_that_is_a_part_of_a_bridge_is_refused(world: KernelWorld) -> None:
    world.attach_by("netns")
    made = name_of(world, await world.vpc("made"))
    with pytest.raises(NotReady, match=f"device {made} is one that a gateway has made"):
        await world.put(Attachment(str(uuid4()), Interface(Selector.NAME, made)))
    world.attach_by("interface")
    vpc = world.unattached("port")
    name = name_of(world, vpc)
    host_ip("link", "add", "sgbridge", "type", "bridge")
    try:
        host_ip("link", "set", name, "master", "sgbridge")
        with pytest.raises(NotReady, match=f"device {name} is a part of sgbridge: take it out, or select sgbridge"):
            await world.put(vpc.attachment)
    finally:
        host_ip("link", "delete", "sgbridge")
    await world.put(vpc.attachment)


async def test_two_devices_that_fit_are_named(world: KernelWorld) -> None:
    first, second = world.unattached("first"), world.unattached("second")
    mac = world.device(first).mac.hex(":")
    host_ip("link", "set", name_of(world, second), "address", mac)
    with pytest.raises(NotReady, match=r"may be any of sgi\w+, sgi\w+: select it by its name"):
        await world.put(by(world, first, Selector.MAC))


async def test_a_mac_address_selects_the_nic_and_not_what_is_stacked_on_it(world: KernelWorld) -> None:
    """A VLAN device has its NIC's MAC address; here it is a macvlan that hands everything through."""
    vpc = world.unattached("shop")
    name, stacked = name_of(world, vpc), f"{name_of(world, vpc)}.7"
    host_ip("link", "add", "link", name, "name", stacked, "up", "type", "macvlan", "mode", "passthru")
    await world.put(by(world, vpc, Selector.MAC))
    assert filters(name) == [f"sidegate/{world.gateway_id}/{vpc.id}+arp+clsact"]
    assert filters(stacked) == []


async def test_a_device_on_top_of_a_nic_carries_a_vpc(world: KernelWorld) -> None:
    vpc = world.unattached("shop")
    stacked = f"{name_of(world, vpc)}.8"
    host_ip("link", "add", "link", name_of(world, vpc), "name", stacked, "up", "type", "macvlan", "mode", "bridge")
    await world.put(replace(vpc.attachment, target=Interface(Selector.NAME, stacked)))
    payments = await world.vpc("payments", BACKEND)
    await world.serve(payments, BACKEND, 8080)
    await world.lead(vpc, await world.publish(payments, BACKEND))
    world.add_hosts(vpc, CLIENT)
    assert (await world.reaches(vpc, CLIENT, ENDPOINT, 80)).backend == "web"


async def test_a_packet_that_the_next_device_cannot_carry_is_counted(world: KernelWorld, vpcs: tuple[Vpc, Vpc]) -> None:
    shop, payments = vpcs
    host_ip("link", "set", name_of(world, payments), "mtu", "1400")
    await difficulty(world, payments)
    await world.put(payments.attachment)
    async with asyncio.timeout(PATIENCE):
        while world.dataplane.difficulties():
            await world.dataplane.wait_for_news()
    wire = world.wire(shop)
    fits = Segment(CLIENT, ENDPOINT, 40000, 80, payload=bytes(1360))
    before = (await world.dataplane.counters())[Counter.FORWARDED]
    await wire.send_ipv4(fits.pack())
    await world.counts_more(Counter.FORWARDED, before)
    longer = replace(fits, payload=bytes(1361))
    await world.counts_one(Counter.REFUSED_TOO_LONG, wire.send_ipv4(longer.pack()))
