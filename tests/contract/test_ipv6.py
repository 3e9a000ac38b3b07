"""IPv6 through a data plane: the same rules as for IPv4, asked of the fake and of the kernel."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from pathlib import Path
from uuid import uuid4

import pytest

from services.gateway_agent.dataplane.port import DataplaneError, NotReady
from services.gateway_agent.reach import Outcome
from services.gateway_agent.table import (
    ANYWHERE,
    ANYWHERE_V6,
    SOURCE_PREFIX_V6,
    Endpoint,
    Entry,
    ForwardingTable,
    Protocol,
    Service,
)
from tests.support import tables
from tests.support.worlds import DNS, PATIENCE, SOURCE, WEB, Vpc, World, fake_world, kernel_world

CLIENT, OTHER_CLIENT, BACKEND, OTHER_BACKEND = "fd00::10", "fd00::11", "fd00::10", "fd00::20"
ADDRESS = "fd00::100"
SEEN_AS = IPv6Address("fd73:6964:6567:6174::c613:8007")  # with 198.19.128.7, which the endpoint has leased


@pytest.fixture(params=["fake", pytest.param("kernel", marks=pytest.mark.root)])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    if request.param == "fake":
        async with fake_world() as fake:
            yield fake
    else:
        async with kernel_world(tmp_path) as kernel:
            kernel.ipv6 = True
            yield kernel


@dataclass(frozen=True, slots=True)
class Story:
    """A consumer and a provider with the same addresses, and an endpoint of the one at a service of the other."""

    world: World
    shop: Vpc
    payments: Vpc
    service: Service
    endpoint: Endpoint


@pytest.fixture
async def story(world: World) -> Story:
    shop, payments = await world.vpc("shop", CLIENT, OTHER_CLIENT), await world.vpc("payments", BACKEND, OTHER_BACKEND)
    await world.serve(payments, BACKEND, 8080, "one")
    await world.serve(payments, OTHER_BACKEND, 8080, "two")
    await world.serve(payments, BACKEND, 5353, "dns", Protocol.UDP)
    service = await world.publish(payments, BACKEND, ports=(WEB, DNS))
    return Story(world, shop, payments, service, await world.lead(shop, service, ADDRESS))


async def test_what_was_put_is_read(story: Story) -> None:
    entries: list[Entry] = [story.shop.attachment, story.payments.attachment, story.service, story.endpoint]
    assert await story.world.dataplane.read() == ForwardingTable.of(entries)


@pytest.mark.parametrize(("port", "protocol"), [(80, Protocol.TCP), (53, Protocol.UDP)])
async def test_the_backend_sees_the_leased_address_in_the_prefix_of_sources(
    story: Story, port: int, protocol: Protocol
) -> None:
    conversation = await story.world.reaches(story.shop, CLIENT, ADDRESS, port, protocol)
    assert await conversation.echoes()
    assert conversation.seen_as == SEEN_AS
    assert conversation.seen_as in SOURCE_PREFIX_V6
    assert story.endpoint.source_address == IPv4Address(SOURCE), "what is leased is an IPv4 address, as ever"


async def test_only_published_ports_of_the_endpoint_pass_and_nothing_from_the_provider(story: Story) -> None:
    assert await story.world.refuses(story.shop, CLIENT, ADDRESS, 81)
    assert await story.world.refuses(story.shop, CLIENT, "fd00::101", 80)
    assert await story.world.refuses(story.payments, BACKEND, str(SEEN_AS), 80)


async def test_a_whitelist_lets_in_whom_it_names_and_cuts_whom_it_names_no_more(story: Story) -> None:
    conversation = await story.world.reaches(story.shop, CLIENT, ADDRESS, 80)
    await story.world.put(replace(story.endpoint, allowed=(IPv6Network(f"{OTHER_CLIENT}/128"),)))
    assert await conversation.is_cut()
    assert await story.world.refuses(story.shop, CLIENT, ADDRESS, 80)
    await story.world.reaches(story.shop, OTHER_CLIENT, ADDRESS, 80)
    await story.world.put(replace(story.endpoint, allowed=(IPv6Network("ff02::1/128"),)))
    assert await story.world.refuses(story.shop, OTHER_CLIENT, ADDRESS, 80)


async def test_new_sessions_go_to_a_changed_backend_and_a_removed_endpoint_cuts(story: Story) -> None:
    conversation = await story.world.reaches(story.shop, CLIENT, ADDRESS, 80)
    assert conversation.backend == "one"
    await story.world.put(replace(story.service, backends=tables.backends(OTHER_BACKEND)))
    assert await conversation.echoes(), "it stays with its backend"
    assert (await story.world.reaches(story.shop, CLIENT, ADDRESS, 80)).backend == "two"
    await story.world.remove(story.endpoint)
    assert await conversation.is_cut()
    assert await story.world.refuses(story.shop, CLIENT, ADDRESS, 80)


async def test_an_ipv6_and_an_ipv4_service_stand_side_by_side_in_the_same_vpcs(story: Story) -> None:
    story.world.add_hosts(story.payments, "10.0.0.10")
    story.world.add_hosts(story.shop, "10.0.0.9")
    await story.world.serve(story.payments, "10.0.0.10", 8080, "old")
    service = await story.world.publish(story.payments, "10.0.0.10")
    await story.world.lead(story.shop, service, "10.0.0.100", "198.19.128.8")
    assert (await story.world.reaches(story.shop, "10.0.0.9", "10.0.0.100", 80)).backend == "old"
    assert (await story.world.reaches(story.shop, CLIENT, ADDRESS, 80)).backend == "one"


async def test_nothing_leads_from_one_ip_version_to_the_other(story: Story) -> None:
    table = await story.world.dataplane.read()
    mixed: list[Entry] = [
        replace(story.service, backends=tables.backends("10.0.0.10")),
        replace(story.service, backends=tables.backends(BACKEND, "10.0.0.10")),
        replace(story.endpoint, allowed=(ANYWHERE_V6, ANYWHERE)),
        replace(story.endpoint, id=str(uuid4()), address=IPv4Address("10.0.0.100"), allowed=(ANYWHERE,)),
    ]
    for entry in mixed:
        with pytest.raises(DataplaneError, match="IP version") as refused:
            await story.world.put(entry)
        assert not isinstance(refused.value, NotReady), "trying again does not help"
    assert await story.world.dataplane.read() == table


async def test_each_port_of_each_backend_is_tried(story: Story) -> None:
    story.world.remove_host(story.payments, OTHER_BACKEND)  # before anybody has asked for it
    await story.world.put(replace(story.service, backends=tables.backends(BACKEND, OTHER_BACKEND)))
    reach = await story.world.dataplane.reach(story.endpoint.id, 0.1)
    assert reach is not None
    assert {(str(each.backend), each.port, each.outcome) for each in reach.attempts} == {
        (BACKEND, 8080, Outcome.OPEN),
        (BACKEND, 5353, Outcome.PRESENT),
        (OTHER_BACKEND, 8080, Outcome.UNRESOLVED),
        (OTHER_BACKEND, 5353, Outcome.UNRESOLVED),
    }


async def test_the_table_and_its_sessions_outlive_the_agent(story: Story) -> None:
    conversation = await story.world.reaches(story.shop, CLIENT, ADDRESS, 80)
    before = await story.world.dataplane.read()
    await story.world.restart()
    assert await story.world.dataplane.read() == before
    assert await conversation.echoes()


async def test_more_source_addresses_are_derived_as_the_first_is(story: Story) -> None:
    world, more = story.world, (IPv4Address("198.19.200.1"), IPv4Address("198.19.250.254"))
    before = await world.reaches(story.shop, CLIENT, ADDRESS, 53, Protocol.UDP)
    grown = replace(story.endpoint, more_sources=more)
    await world.put(grown)
    assert (await world.dataplane.read()).entries[grown.key] == grown
    assert await before.echoes()
    prefix = SOURCE_PREFIX_V6.network_address
    wanted = {SEEN_AS, *(prefix + int(each) for each in more)}
    found: set[object] = set()
    async with asyncio.timeout(PATIENCE):
        while not wanted <= found:
            conversation = await world.reaches(story.shop, CLIENT, ADDRESS, 53, Protocol.UDP)
            found.add(conversation.seen_as)
            await conversation.close()
    assert found == wanted
    assert (await world.dataplane.traffic())[grown.id].sessions_made > len(more)
