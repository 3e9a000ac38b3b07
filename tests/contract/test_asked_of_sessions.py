"""What a service asks of its sessions, held by every data plane: limits of each endpoint, and affinity."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from services.gateway_agent.dataplane.maps import Counter
from services.gateway_agent.table import Affinity, Endpoint, Limits, Protocol, Service, Timeouts
from tests.support.tables import backends
from tests.support.worlds import DNS, ENDPOINT, WEB, Vpc, World, fake_world, kernel_world

CLIENTS = tuple(f"10.0.0.{last}" for last in range(10, 22))
CLIENT = CLIENTS[0]
BACKENDS = ("10.0.0.30", "10.0.0.31", "10.0.0.32")
OTHER_ENDPOINT = "10.0.0.101"
IMPATIENT = 0.5  # seconds
AT_ONCE = Timeouts(tcp_closed=0)


@pytest.fixture(params=["fake", pytest.param("kernel", marks=pytest.mark.root)])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    making = fake_world(AT_ONCE) if request.param == "fake" else kernel_world(tmp_path, AT_ONCE)
    async with making as made:
        yield made


@dataclass(frozen=True, slots=True)
class Story:
    world: World
    shop: Vpc
    service: Service
    endpoint: Endpoint
    other: Endpoint

    async def ask(self, limits: Limits = Limits(), affinity: Affinity = Affinity.NONE) -> None:  # noqa: B008 - it is frozen
        await self.world.put(replace(self.service, limits=limits, affinity=affinity))

    async def opens(self, address: str = ENDPOINT) -> bool:
        return await self.world.connect(self.shop, CLIENT, address, 80, patience=IMPATIENT) is not None

    async def refused(self, endpoint: Endpoint, counter: Counter) -> int:
        passed = (await self.world.dataplane.traffic())[endpoint.id]
        return passed.refused.get(counter.value.removeprefix("refused_"), 0)

    async def sessions(self, endpoint: Endpoint) -> int:
        return (await self.world.dataplane.traffic())[endpoint.id].sessions


@pytest.fixture
async def story(world: World) -> Story:
    shop, payments = await world.vpc("shop", *CLIENTS), await world.vpc("payments", *BACKENDS)
    for name, address in zip(("one", "two", "three"), BACKENDS, strict=True):
        await world.serve(payments, address, 8080, name)
        await world.serve(payments, address, 5353, name, Protocol.UDP)
    service = await world.publish(payments, BACKENDS[0], ports=(WEB, DNS))
    endpoint = await world.lead(shop, service)
    other = await world.lead(shop, service, OTHER_ENDPOINT, "198.19.128.8")
    return Story(world, shop, service, endpoint, other)


async def test_as_many_sessions_as_allowed_are_open_at_once_for_each_endpoint(story: Story) -> None:
    await story.ask(Limits(connections=2))
    conversations = [await story.world.reaches(story.shop, CLIENT, ENDPOINT, 80) for _ in range(2)]
    assert not await story.opens()
    assert await story.opens(OTHER_ENDPOINT), "it has an allowance of its own"
    assert await story.refused(story.endpoint, Counter.REFUSED_LIMIT_CONNECTIONS) > 0
    assert await story.refused(story.other, Counter.REFUSED_LIMIT_CONNECTIONS) == 0
    assert await story.sessions(story.endpoint) == 2
    assert all([await each.echoes() for each in conversations])

    await story.ask(Limits(connections=1))
    assert all([await each.echoes() for each in conversations]), "a lower limit ends none"
    assert not await story.opens()
    await story.ask()
    assert await story.opens()


async def test_a_session_that_was_cut_makes_room(story: Story) -> None:
    await story.ask(Limits(connections=1))
    conversation = await story.world.reaches(story.shop, CLIENT, ENDPOINT, 80)
    await story.world.put(replace(story.endpoint, admission=2))
    assert await conversation.is_cut()
    assert await story.opens(), "what is cut does not count, collected or not"
    assert await story.sessions(story.endpoint) == 1


async def test_as_many_sessions_as_allowed_begin_in_a_second(story: Story) -> None:
    await story.ask(Limits(new_connections_per_second=1))
    assert await story.opens()
    assert await story.opens(OTHER_ENDPOINT)
    before = await story.refused(story.endpoint, Counter.REFUSED_LIMIT_NEW)
    opened = [await story.world.connect(story.shop, CLIENT, ENDPOINT, 80, patience=0.05) for _ in range(5)]
    assert None in opened
    assert await story.refused(story.endpoint, Counter.REFUSED_LIMIT_NEW) > before
    await story.ask()
    assert await story.opens()


async def test_no_more_bits_than_allowed_pass_and_the_session_lives_on(story: Story) -> None:
    conversation = await story.world.reaches(story.shop, CLIENT, ENDPOINT, 53, Protocol.UDP)
    await story.ask(Limits(bits_per_second=1))  # 64 KB at once, for a packet of GSO may be so long
    passed = 0
    while passed < 3000 and not await story.refused(story.endpoint, Counter.REFUSED_LIMIT_RATE):
        passed += await conversation.echoes()
    assert 100 < passed < 3000
    assert await conversation.is_cut()
    await story.ask()
    assert await conversation.echoes()


async def test_a_client_keeps_its_backend_where_the_service_asks_for_that(story: Story) -> None:
    await story.world.put(replace(story.service, backends=backends(*BACKENDS), affinity=Affinity.SOURCE_ADDRESS))
    while len((await ends(story, CLIENTS * 2))[1]) < len(BACKENDS):  # until all of them are found
        pass
    by_client, _ = await ends(story, CLIENTS * 3)
    assert all(len(names) == 1 for names in by_client.values()), by_client

    await story.world.put(replace(story.service, backends=backends(*BACKENDS)))
    spread, _ = await ends(story, (CLIENT,) * 20)
    assert len(spread[CLIENT]) > 1, "one in a billion by chance"


async def ends(story: Story, clients: tuple[str, ...]) -> tuple[dict[str, set[str]], set[str]]:
    """The backends that each client came to, and all of them together."""
    found: dict[str, set[str]] = {client: set() for client in clients}
    for client in clients:
        conversation = await story.world.reaches(story.shop, client, ENDPOINT, 80)
        found[client].add(conversation.backend)
        await conversation.close()
    return found, set.union(*found.values())
