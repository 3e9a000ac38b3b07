"""What every data plane does, asked of the fake and of the kernel alike: does this packet come out, and where."""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from uuid import uuid4

import pytest

from services.gateway_agent.dataplane.port import DataplaneError, NotReady
from services.gateway_agent.table import (
    Endpoint,
    Entry,
    ForwardingTable,
    Key,
    Kind,
    PortMapping,
    Protocol,
    Put,
    Remove,
    Service,
    Timeouts,
)
from tests.support.tables import backends
from tests.support.worlds import DNS, ENDPOINT, PATIENCE, WEB, Vpc, World, fake_world, kernel_world

CLIENT, OTHER_CLIENT, BACKEND, OTHER_BACKEND = "10.0.0.10", "10.0.0.11", "10.0.0.10", "10.0.0.20"


KINDS = {"kernel": ["netns"], "kernel with others' devices": ["interface", "vxlan"]}


@pytest.fixture(params=["fake", *(pytest.param(name, marks=pytest.mark.root) for name in KINDS)])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    """The fake, and the kernel with VPCs attached in every way."""
    timeouts = Timeouts(tcp_closed=0, udp_two_way=0)
    if request.param == "fake":
        async with fake_world(timeouts) as fake:
            yield fake
    else:
        async with kernel_world(tmp_path, timeouts, kinds=KINDS[request.param]) as kernel:
            yield kernel


@dataclass(frozen=True, slots=True)
class Story:
    """A consumer `shop`, a provider `payments` with two web servers and DNS, and an endpoint that leads there."""

    world: World
    shop: Vpc
    payments: Vpc
    service: Service
    endpoint: Endpoint

    async def put(self, *entries: Entry) -> None:
        await self.world.put(*entries)

    async def remove(self, *entries: Entry) -> None:
        await self.world.remove(*entries)

    async def table(self) -> ForwardingTable:
        return await self.world.dataplane.read()

    @property
    def entries(self) -> list[Entry]:
        return [self.shop.attachment, self.payments.attachment, self.service, self.endpoint]


@pytest.fixture
async def story(world: World) -> Story:
    """Everything is there but the endpoint."""
    shop = await world.vpc("shop", CLIENT, OTHER_CLIENT)
    payments = await world.vpc("payments", BACKEND, OTHER_BACKEND)
    await world.serve(payments, BACKEND, 8080, "one")
    await world.serve(payments, OTHER_BACKEND, 8080, "two")
    await world.serve(payments, BACKEND, 5353, "dns", Protocol.UDP)
    service = await world.publish(payments, BACKEND, ports=(WEB, DNS))
    endpoint = await world.lead(shop, service)
    await world.remove(endpoint)
    return Story(world, shop, payments, service, endpoint)


@pytest.fixture
async def open_story(story: Story) -> Story:
    await story.put(story.endpoint)
    return story


# ---- the table


async def test_what_was_put_is_read(open_story: Story) -> None:
    assert await open_story.table() == ForwardingTable.of(open_story.entries)


async def test_the_order_of_lists_is_kept(open_story: Story) -> None:
    service = replace(open_story.service, ports=(DNS, WEB), backends=backends("10.0.0.9", BACKEND))
    allowed = tuple(map(IPv4Network, ("10.0.0.128/25", "10.0.0.0/25", "0.0.0.0/0")))
    await open_story.put(service, replace(open_story.endpoint, allowed=allowed))
    table = await open_story.table()
    assert table.entries[service.key] == service
    assert table.entries[open_story.endpoint.key] == replace(open_story.endpoint, allowed=allowed)


async def test_what_was_removed_is_not_read(open_story: Story) -> None:
    await open_story.remove(*reversed(open_story.entries))
    assert await open_story.table() == ForwardingTable()


async def test_removing_what_is_not_there_is_no_error(world: World) -> None:
    for kind in Kind:
        await world.dataplane.apply(Remove(Key(kind, str(uuid4()))))


async def test_an_entry_without_what_it_needs_is_refused(story: Story) -> None:
    with pytest.raises(DataplaneError, match="needs service"):
        await story.put(replace(story.endpoint, service=str(uuid4())))
    assert story.endpoint.key not in (await story.table()).entries


async def test_an_entry_that_others_need_is_not_removed(open_story: Story) -> None:
    for needed in (open_story.service, open_story.shop.attachment):
        with pytest.raises(DataplaneError, match="is needed by"):
            await open_story.remove(needed)
    await open_story.world.reaches(open_story.shop, CLIENT, ENDPOINT, 80)


async def test_an_address_has_one_endpoint(open_story: Story) -> None:
    other = replace(open_story.endpoint, id=str(uuid4()), marker=8)
    with pytest.raises(NotReady, match="still the address of endpoint"):
        await open_story.put(other)
    await open_story.remove(open_story.endpoint)
    await open_story.put(other)
    assert (await open_story.table()).entries[other.key] == other


async def test_the_table_outlives_the_agent(open_story: Story) -> None:
    await open_story.world.restart()
    assert await open_story.table() == ForwardingTable.of(open_story.entries)


async def test_after_uninstalling_nothing_is_left_in_the_table(open_story: Story) -> None:
    await open_story.world.dataplane.uninstall()
    await open_story.world.dataplane.open()
    assert await open_story.table() == ForwardingTable()


# ---- packets


async def test_a_client_reaches_the_backend_and_the_backend_sees_the_source_address(open_story: Story) -> None:
    conversation = await open_story.world.reaches(open_story.shop, CLIENT, ENDPOINT, 80)
    assert conversation.backend == "one"
    assert conversation.seen_as == open_story.endpoint.source_address


async def test_udp_reaches_the_backend(open_story: Story) -> None:
    conversation = await open_story.world.reaches(open_story.shop, CLIENT, ENDPOINT, 53, Protocol.UDP)
    assert conversation.backend == "dns"
    assert conversation.seen_as == open_story.endpoint.source_address


async def test_no_packet_passes_without_an_endpoint(story: Story) -> None:
    assert await story.world.refuses(story.shop, CLIENT, ENDPOINT, 80)


async def test_a_port_that_is_not_published_does_not_pass(open_story: Story) -> None:
    assert await open_story.world.refuses(open_story.shop, CLIENT, ENDPOINT, 8080)
    assert await open_story.world.refuses(open_story.shop, CLIENT, ENDPOINT, 80, Protocol.UDP)


async def test_an_address_of_the_other_network_is_not_reached(open_story: Story) -> None:
    assert await open_story.world.refuses(open_story.shop, CLIENT, OTHER_BACKEND, 8080)


async def test_the_provider_opens_no_connection_to_the_consumer(open_story: Story) -> None:
    await open_story.world.serve(open_story.shop, CLIENT, 80, "private")
    assert await open_story.world.refuses(open_story.payments, BACKEND, ENDPOINT, 80)
    assert await open_story.world.refuses(open_story.payments, BACKEND, "198.19.128.7", 80)


async def test_consumer_and_provider_may_be_one_vpc(open_story: Story) -> None:
    hairpin = replace(open_story.endpoint, id=str(uuid4()), vpc=open_story.payments.id)
    await open_story.put(hairpin)
    conversation = await open_story.world.reaches(open_story.payments, OTHER_BACKEND, ENDPOINT, 80)
    assert conversation.backend == "one"
    assert conversation.seen_as == hairpin.source_address


async def test_every_backend_gets_connections(open_story: Story) -> None:
    await open_story.put(replace(open_story.service, backends=backends(BACKEND, OTHER_BACKEND)))
    conversations = [await open_story.world.reaches(open_story.shop, CLIENT, ENDPOINT, 80) for _ in range(40)]
    assert {conversation.backend for conversation in conversations} == {"one", "two"}


async def test_a_backend_that_does_not_answer_gets_no_connections(open_story: Story) -> None:
    world, silent = open_story.world, "10.0.0.30"
    world.add_hosts(open_story.payments, silent)
    world.remove_host(open_story.payments, silent)
    await open_story.put(replace(open_story.service, backends=backends(silent, BACKEND)))
    conversations = [await world.reaches(open_story.shop, CLIENT, ENDPOINT, 80) for _ in range(10)]
    assert {conversation.backend for conversation in conversations} == {"one"}
    assert world.dataplane.difficulties() == {}


# ---- what a change cuts, and what it leaves


async def test_removing_an_endpoint_cuts_its_sessions(open_story: Story) -> None:
    conversation = await open_story.world.reaches(open_story.shop, CLIENT, ENDPOINT, 80)
    await open_story.remove(open_story.endpoint)
    assert await conversation.is_cut()
    assert await open_story.world.refuses(open_story.shop, CLIENT, ENDPOINT, 80)


async def test_putting_an_endpoint_back_does_not_bring_its_old_sessions_back(open_story: Story) -> None:
    conversation = await open_story.world.reaches(open_story.shop, CLIENT, ENDPOINT, 53, Protocol.UDP)
    seen_before = conversation.seen_as
    tcp = await open_story.world.reaches(open_story.shop, CLIENT, ENDPOINT, 80)
    await open_story.remove(open_story.endpoint)
    await open_story.put(replace(open_story.endpoint, source_address=IPv4Address("198.19.200.1")))
    assert await tcp.is_cut()
    assert await conversation.echoes(), "UDP knows no handshake: its next packet opens a session"
    assert (str(seen_before), str(conversation.seen_as)) == ("198.19.128.7", "198.19.200.1")


async def test_another_admission_cuts_sessions_and_lets_new_ones_in(open_story: Story) -> None:
    conversation = await open_story.world.reaches(open_story.shop, CLIENT, ENDPOINT, 80)
    await open_story.put(replace(open_story.endpoint, admission=2))
    assert await conversation.is_cut()
    await open_story.world.reaches(open_story.shop, CLIENT, ENDPOINT, 80)


async def test_putting_the_same_again_cuts_nothing(open_story: Story) -> None:
    conversation = await open_story.world.reaches(open_story.shop, CLIENT, ENDPOINT, 80)
    await open_story.put(*open_story.entries)
    assert await conversation.echoes()


async def test_an_endpoint_that_moves_leaves_its_old_address(open_story: Story) -> None:
    conversation = await open_story.world.reaches(open_story.shop, CLIENT, ENDPOINT, 80)
    await open_story.put(replace(open_story.endpoint, address=IPv4Address("10.0.0.101")))
    assert await conversation.is_cut()
    assert await open_story.world.refuses(open_story.shop, CLIENT, ENDPOINT, 80)
    await open_story.world.reaches(open_story.shop, CLIENT, "10.0.0.101", 80)


async def test_narrowing_the_whitelist_cuts_only_those_it_no_longer_allows(open_story: Story) -> None:
    stays = await open_story.world.reaches(open_story.shop, CLIENT, ENDPOINT, 80)
    goes = await open_story.world.reaches(open_story.shop, OTHER_CLIENT, ENDPOINT, 80)
    await open_story.put(replace(open_story.endpoint, allowed=(IPv4Network(f"{CLIENT}/32"),)))
    assert await stays.echoes()
    assert await goes.is_cut()
    assert await open_story.world.refuses(open_story.shop, OTHER_CLIENT, ENDPOINT, 80)


async def test_widening_the_whitelist_cuts_nothing(open_story: Story) -> None:
    narrow = replace(open_story.endpoint, allowed=(IPv4Network(f"{CLIENT}/32"),))
    await open_story.put(narrow)
    conversation = await open_story.world.reaches(open_story.shop, CLIENT, ENDPOINT, 80)
    assert await open_story.world.refuses(open_story.shop, OTHER_CLIENT, ENDPOINT, 80)
    await open_story.put(open_story.endpoint)
    assert await conversation.echoes()
    await open_story.world.reaches(open_story.shop, OTHER_CLIENT, ENDPOINT, 80)


async def test_an_empty_whitelist_lets_nobody_in(open_story: Story) -> None:
    conversation = await open_story.world.reaches(open_story.shop, CLIENT, ENDPOINT, 80)
    await open_story.put(replace(open_story.endpoint, allowed=()))
    assert await conversation.is_cut()
    assert await open_story.world.refuses(open_story.shop, CLIENT, ENDPOINT, 80)


async def test_other_backends_take_new_connections_and_leave_established_ones(open_story: Story) -> None:
    conversation = await open_story.world.reaches(open_story.shop, CLIENT, ENDPOINT, 80)
    await open_story.put(replace(open_story.service, backends=backends(OTHER_BACKEND)))
    assert (await open_story.world.reaches(open_story.shop, CLIENT, ENDPOINT, 80)).backend == "two"
    assert await conversation.echoes()
    assert conversation.backend == "one"


async def test_a_service_in_another_vpc_cuts_what_led_to_the_old_one(open_story: Story) -> None:
    world = open_story.world
    other = await world.vpc("other", BACKEND)
    await world.serve(other, BACKEND, 8080, "elsewhere")
    conversation = await world.reaches(open_story.shop, CLIENT, ENDPOINT, 80)
    await open_story.put(replace(open_story.service, vpc=other.id))
    assert await conversation.is_cut()
    assert (await world.reaches(open_story.shop, CLIENT, ENDPOINT, 80)).backend == "elsewhere"
    assert (await open_story.table()).entries[open_story.endpoint.key] == open_story.endpoint


async def test_a_port_that_is_no_longer_published_is_cut_and_others_are_not(open_story: Story) -> None:
    web = await open_story.world.reaches(open_story.shop, CLIENT, ENDPOINT, 80)
    dns = await open_story.world.reaches(open_story.shop, CLIENT, ENDPOINT, 53, Protocol.UDP)
    await open_story.put(replace(open_story.service, ports=(DNS,)))
    assert await web.is_cut()
    assert await dns.echoes()


async def test_a_port_that_leads_elsewhere_is_cut(open_story: Story) -> None:
    world = open_story.world
    await world.serve(open_story.payments, BACKEND, 8088, "elsewhere")
    conversation = await world.reaches(open_story.shop, CLIENT, ENDPOINT, 80)
    await open_story.put(replace(open_story.service, ports=(PortMapping(80, 8088, Protocol.TCP),)))
    assert await conversation.is_cut()
    assert (await world.reaches(open_story.shop, CLIENT, ENDPOINT, 80)).backend == "elsewhere"


async def test_sessions_outlive_the_agent(open_story: Story) -> None:
    conversation = await open_story.world.reaches(open_story.shop, CLIENT, ENDPOINT, 80)
    await open_story.world.dataplane.close()
    assert await conversation.echoes()
    await open_story.world.restart()
    assert await conversation.echoes()


async def test_uninstalling_cuts_everything(open_story: Story) -> None:
    conversation = await open_story.world.reaches(open_story.shop, CLIENT, ENDPOINT, 80)
    await open_story.world.dataplane.uninstall()
    assert await conversation.is_cut()
    assert await open_story.world.refuses(open_story.shop, CLIENT, ENDPOINT, 80)


# ---- what hinders


async def test_what_is_not_there_to_attach_is_not_ready(world: World) -> None:
    vpc = world.unattached("absent")
    world.lose(vpc)
    with pytest.raises(NotReady, match=r"is not there|is in use"):
        await world.dataplane.apply(Put(vpc.attachment))
    world.restore(vpc)
    await world.dataplane.apply(Put(vpc.attachment))
    assert vpc.attachment.key in (await world.dataplane.read()).entries


async def test_a_backend_that_does_not_answer_is_a_difficulty_until_it_does(open_story: Story) -> None:
    world, service = open_story.world, replace(open_story.service, backends=backends("10.0.0.30"))
    world.remove_host(open_story.payments, OTHER_BACKEND)
    await open_story.put(replace(service, backends=backends(OTHER_BACKEND)))
    assert world.dataplane.difficulties() == {service.key: f"backend {OTHER_BACKEND} does not answer"}
    assert await world.refuses(open_story.shop, CLIENT, ENDPOINT, 80)
    await world.dataplane.wait_for_news()
    world.add_hosts(open_story.payments, OTHER_BACKEND)
    async with asyncio.timeout(PATIENCE):
        await world.dataplane.wait_for_news()
    assert world.dataplane.difficulties() == {}


async def test_a_lost_attachment_is_a_difficulty_until_it_is_put_again(open_story: Story) -> None:
    world, attachment = open_story.world, open_story.payments.attachment
    world.lose(open_story.payments)
    async with asyncio.timeout(PATIENCE):
        while attachment.key not in world.dataplane.difficulties():
            await world.dataplane.wait_for_news()
    assert re.search("went away|is not there", world.dataplane.difficulties()[attachment.key])
    assert await world.refuses(open_story.shop, CLIENT, ENDPOINT, 80)
    world.restore(open_story.payments)
    await open_story.put(attachment)
    world.add_hosts(open_story.payments, BACKEND)
    async with asyncio.timeout(PATIENCE):
        while world.dataplane.difficulties():
            await world.dataplane.wait_for_news()
    await world.serve(open_story.payments, BACKEND, 8080, "anew")
    assert (await world.reaches(open_story.shop, CLIENT, ENDPOINT, 80)).backend == "anew"


# ---- sessions and counters


async def test_collecting_removes_what_is_over_and_leaves_the_rest(open_story: Story) -> None:
    world = open_story.world
    stays = await world.reaches(open_story.shop, CLIENT, ENDPOINT, 80)
    assert await world.dataplane.collect() == 0
    await world.reaches(open_story.shop, CLIENT, ENDPOINT, 53, Protocol.UDP)
    assert await world.dataplane.collect() == 1, "UDP is over at once by the timeouts of this test"
    assert await world.dataplane.collect() == 0
    assert await stays.echoes()


async def test_packets_are_counted_by_what_became_of_them(open_story: Story) -> None:
    world = open_story.world
    before = await world.dataplane.counters()
    await world.reaches(open_story.shop, CLIENT, ENDPOINT, 80)
    assert await world.refuses(open_story.shop, CLIENT, ENDPOINT, 81)
    after = await world.dataplane.counters()
    assert after["session_new"] == before["session_new"] + 1
    assert after["forwarded"] > before["forwarded"]
    assert after["refused_no_port"] > before["refused_no_port"]


async def test_what_is_not_open_says_so(world: World) -> None:
    await world.dataplane.close()
    with pytest.raises(DataplaneError, match="not open"):
        await world.dataplane.read()
