"""Networks that are attached in different ways and alike in everything else, all in one gateway at once."""

import asyncio
from itertools import product

import pytest

from tests.support.sites import SITES
from tests.support.worlds import Conversation, KernelWorld

pytestmark = [pytest.mark.root, pytest.mark.parametrize("world", [" ".join(SITES)], indirect=True)]

CLIENT, BACKEND = "10.0.0.10", "10.0.0.20"
PORT = 40000


async def every_pair(world: KernelWorld) -> dict[tuple[str, str], Conversation]:
    """A conversation from a consumer of each kind to a provider of each kind, all 10.0.0.0/24, all at once."""
    consumers = {kind: await world.vpc(f"c-{kind}", CLIENT) for kind in SITES}
    providers = {kind: await world.vpc(f"p-{kind}", BACKEND) for kind in SITES}
    addresses = {}
    for number, (one, other) in enumerate(product(consumers, providers)):
        addresses[one, other] = address = f"10.0.0.{100 + number % len(SITES)}"
        if one == next(iter(SITES)):
            await world.serve(providers[other], BACKEND, 8080, name=other)
        service = await world.publish(providers[other], BACKEND)
        await world.lead(consumers[one], service, address, f"198.19.128.{number}")
    found = await asyncio.gather(
        *(
            world.connect(consumers[one], CLIENT, address, 80, source_port=PORT)
            for (one, _), address in addresses.items()
        )
    )
    conversations = {pair: each for pair, each in zip(addresses, found, strict=True) if each}
    assert conversations.keys() == addresses.keys()
    return conversations


async def test_a_consumer_of_each_kind_reaches_its_own_provider_of_each_kind(world: KernelWorld) -> None:
    for number, ((_, provider), conversation) in enumerate((await every_pair(world)).items()):
        assert conversation.backend == provider
        assert str(conversation.seen_as) == f"198.19.128.{number}"


async def test_sessions_of_every_kind_outlive_the_agent(world: KernelWorld) -> None:
    conversations = await every_pair(world)
    table = await world.dataplane.read()
    await world.restart()
    for pair, conversation in conversations.items():
        assert await conversation.echoes(), f"{pair} was cut"
    assert await world.dataplane.read() == table
    assert world.dataplane.difficulties() == {}
