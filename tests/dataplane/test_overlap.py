"""Networks that are alike in everything: the same ranges, clients, ports and endpoint addresses at once."""

import asyncio
from ipaddress import IPv4Network

import pytest

from tests.support.worlds import ENDPOINT, KernelWorld

pytestmark = pytest.mark.root

CLIENT, BACKEND = "10.0.0.10", "10.0.0.20"
SOURCE_RANGE = IPv4Network("198.19.128.0/17")


async def test_each_of_two_like_consumers_reaches_its_own_of_two_like_providers(world: KernelWorld) -> None:
    consumers = [await world.vpc(label, CLIENT) for label in ("shop", "store")]
    for number, consumer in enumerate(consumers):
        provider = await world.vpc(f"pay{number}", BACKEND)
        await world.serve(provider, BACKEND, 8080, name=f"backend of {consumer.id}")
        service = await world.publish(provider, BACKEND)
        await world.lead(consumer, service, source=f"198.19.128.{number + 1}")

    conversations = await asyncio.gather(
        *(world.connect(consumer, CLIENT, ENDPOINT, 80, source_port=40000) for consumer in consumers)
    )

    for number, (consumer, conversation) in enumerate(zip(consumers, conversations, strict=True)):
        assert conversation is not None
        assert conversation.backend == f"backend of {consumer.id}"
        assert str(conversation.seen_as) == f"198.19.128.{number + 1}"
        assert conversation.seen_as in SOURCE_RANGE
        assert await conversation.echoes()


async def test_two_endpoints_of_one_consumer_lead_to_two_providers(world: KernelWorld) -> None:
    consumer = await world.vpc("shop", CLIENT)
    for number in (1, 2):
        provider = await world.vpc(f"pay{number}", BACKEND)
        await world.serve(provider, BACKEND, 8080, name=f"provider {number}")
        service = await world.publish(provider, BACKEND)
        await world.lead(consumer, service, f"10.0.0.{100 + number}", f"198.19.128.{number}")
    for number in (1, 2):
        conversation = await world.connect(consumer, CLIENT, f"10.0.0.{100 + number}", 80, source_port=40000)
        assert conversation is not None
        assert conversation.backend == f"provider {number}"


async def test_like_consumers_of_one_service_are_told_apart_by_their_source_address(world: KernelWorld) -> None:
    provider = await world.vpc("payments", BACKEND)
    await world.serve(provider, BACKEND, 8080)
    service = await world.publish(provider, BACKEND)
    for number in (1, 2):
        consumer = await world.vpc(f"shop{number}", CLIENT)
        await world.lead(consumer, service, source=f"198.19.128.{number}")
        conversation = await world.connect(consumer, CLIENT, ENDPOINT, 80, source_port=40000)
        assert conversation is not None
        assert str(conversation.seen_as) == f"198.19.128.{number}"
