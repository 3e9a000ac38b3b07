"""Twenty at once for one thing: an address, the last place in a quota, a name."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import uuid4

import pytest
import pytest_asyncio

from sidegate import errors
from sidegate.api.registry.v1.endpoint_service_pb2 import Backend
from sidegate.client import Client
from tests.support.standalone import Standalone
from tests.support.world import tcp

pytestmark = pytest.mark.asyncio(loop_scope="module")

RACERS = 20
QUOTA = 20


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sidegate(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Standalone]:
    async with Standalone(tmp_path_factory.mktemp("sidegate"), rootless=True) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def client(sidegate: Standalone) -> AsyncIterator[Client]:
    """Of an account of its own: names and quotas are an account's."""
    async with sidegate.client(f"shop-{uuid4()}", timeout=30) as made:
        yield made


async def race(attempt: Callable[[int], Awaitable[object]]) -> Counter[str]:
    """What became of twenty attempts at once: "won", or the kind of refusal."""

    async def run(number: int) -> str:
        try:
            await attempt(number)
        except errors.SidegateError as error:
            return type(error).__name__
        return "won"

    return Counter(await asyncio.gather(*map(run, range(RACERS))))


async def test_one_address_goes_to_one_holder(client: Client) -> None:
    vpc = await client.vpcs.create("net", ["10.0.0.0/24"])
    subnet = await client.subnets.create("main", vpc.id, "10.0.0.0/24")
    outcome = await race(lambda number: client.ports.create(subnet.id, f"machine/m{number}", "10.0.0.50"))
    assert outcome == {"won": 1, "AlreadyExists": RACERS - 1}


async def test_without_a_wish_everybody_gets_an_address_of_his_own(client: Client) -> None:
    vpc = await client.vpcs.create("net", ["10.0.0.0/24"])
    subnet = await client.subnets.create("main", vpc.id, "10.0.0.0/24")
    assert await race(lambda number: client.ports.create(subnet.id, f"machine/m{number}")) == {"won": RACERS}
    addresses = [port.address async for port in client.ports.list(subnet.id)]
    assert len(set(addresses)) == RACERS


async def test_one_name_goes_to_one_vpc(client: Client) -> None:
    outcome = await race(lambda _: client.vpcs.create("net", ["10.0.0.0/24"]))
    assert outcome == {"won": 1, "AlreadyExists": RACERS - 1}


async def test_the_last_place_in_a_quota_goes_to_one(client: Client) -> None:
    vpc = await client.vpcs.create("net", ["10.0.0.0/24"])

    async def publish(name: str) -> None:
        await client.services.create(name, vpc.id, [Backend(address="10.0.0.9")], [tcp(80, 80)])

    for number in range(QUOTA - 1):
        await publish(f"service-{number}")
    outcome = await race(lambda number: publish(f"racer-{number}"))
    assert outcome == {"won": 1, "QuotaReached": RACERS - 1}


async def test_one_request_repeated_twenty_times_at_once_is_one_command(client: Client) -> None:
    assert await race(lambda _: client.vpcs.create("net", ["10.0.0.0/24"], request_id="the-same")) == {"won": RACERS}
    assert len([vpc async for vpc in client.vpcs.list()]) == 1
