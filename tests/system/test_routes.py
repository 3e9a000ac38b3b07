"""Gateway-type endpoints through the whole system: a service's own addresses are reached privately, or not at all."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from functools import partial

import pytest
import pytest_asyncio

from sidegate.api.endpoint.v1.endpoint_pb2 import Endpoint
from sidegate.api.registry.v1.endpoint_service_pb2 import Backend, EndpointService
from sidegate.api.registry.v1.vpc_pb2 import NetnsTarget, RouteTable
from tests.support import namespaces
from tests.support.namespaces import Namespace
from tests.support.standalone import Standalone, require_root, until
from tests.support.world import (
    MACHINE,
    Conversation,
    Site,
    ask_over_udp,
    call,
    machine,
    repeat_over_udp,
    site,
    tcp,
    udp,
)

pytestmark = [pytest.mark.root, pytest.mark.asyncio(loop_scope="module")]

PREFIX, INSIDE, LAST, DENIED = "100.125.0.0/16", "100.125.7.9", "100.125.255.255", "100.125.200.1"
FRONT, BACK = "10.0.0.10", "10.0.0.140"


@dataclass
class Shop:
    """A consumer's VPC: one client in the subnet `front`, and one in `back`."""

    at: Site
    front: str
    back: str

    async def private(self, *subnets: str) -> RouteTable:
        return await self.at.client.route_tables.create("private", self.at.vpc_id, subnets)

    async def reaches(self, source: str, address: str = INSIDE, port: int = 443) -> bool:
        conversation = await self.talk(source, address, port)
        if conversation is not None:
            conversation.close()
        return conversation is not None

    async def talk(self, source: str, address: str = INSIDE, port: int = 443) -> Conversation | None:
        return await call(self.at.namespace, address, port, source=source)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sidegate(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Standalone]:
    require_root()
    async with Standalone(tmp_path_factory.mktemp("routes")) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def storage(sidegate: Standalone) -> AsyncIterator[EndpointService]:
    """The operator's, over TCP and UDP, with a machine that answers."""
    with namespaces.make("storage") as (namespace,):
        async with site(sidegate, "operator", namespace) as ops, machine(namespace, "storage"):
            with namespace.udp_socket(MACHINE, 5300) as ear:
                answering = asyncio.create_task(repeat_over_udp(ear, b"storage"))
                yield await ops.client.services.create(
                    "storage",
                    ops.vpc_id,
                    [Backend(address=MACHINE)],
                    [tcp(443, 8080), tcp(80, 8080), udp(53, 5300)],
                    service_type=EndpointService.SERVICE_TYPE_GATEWAY,
                    server_type=EndpointService.SERVER_TYPE_CLOUD,
                    public_prefixes=[PREFIX],
                )
                answering.cancel()


@pytest_asyncio.fixture(loop_scope="module")
async def shop(sidegate: Standalone, request: pytest.FixtureRequest) -> AsyncIterator[Shop]:
    account = request.node.name[5:40].rstrip("_")
    with namespaces.make("shop") as (namespace,):
        async with sidegate.client(account) as client, sidegate.client("operator") as operator:
            vpc = await client.vpcs.create(f"{account}-net", ["10.0.0.0/24"])
            front = await client.subnets.create("front", vpc.id, "10.0.0.0/25")
            back = await client.subnets.create("back", vpc.id, "10.0.0.128/25")
            await operator.attachments.create(vpc.id, NetnsTarget(namespace=namespace.name))
            await until("the gateway's device", partial(attached, namespace))
            for address in (FRONT, BACK):
                namespace.add_address(f"{address}/24")
            yield Shop(Site(account, namespace, vpc.id, front.id, client), front.id, back.id)
            for endpoint in [each async for each in client.endpoints.list()]:
                await client.endpoints.delete(endpoint.id)


async def attached(namespace: Namespace) -> bool:
    return "sidegate0" in namespace.devices()


async def requested(shop: Shop, service: EndpointService, tables: Sequence[str] = (), policy: str = "") -> Endpoint:
    made = await shop.at.client.endpoints.create(
        service.full_name, vpc_id=shop.at.vpc_id, route_tables=tables, policy=policy
    )
    return await shop.at.accepted(made)


async def until_reached(shop: Shop, source: str, reached: bool) -> None:
    async def ask() -> bool:
        return await shop.reaches(source) is reached

    await until(f"{source} to {'reach' if reached else 'lose'} {INSIDE}", ask)


async def over(conversation: Conversation) -> bool:
    return not await conversation.goes_on(0.2)


async def test_subnets_of_a_route_table_reach_every_address_of_the_prefix_and_others_none(
    shop: Shop, storage: EndpointService
) -> None:
    assert not await shop.reaches(FRONT)
    private = await shop.private(shop.back)
    endpoint = await requested(shop, storage, [private.id])
    assert (endpoint.address, list(endpoint.public_prefixes)) == ("", [PREFIX])
    for address in (INSIDE, LAST, "100.125.0.1"):
        assert await shop.reaches(BACK, address)
    assert not await shop.reaches(FRONT)
    assert not await shop.reaches(BACK, INSIDE, 22)
    assert not await shop.reaches(BACK, "100.126.0.1")


async def test_clients_are_cut_when_their_subnet_leaves_the_table_and_reach_it_again_when_it_comes_back(
    shop: Shop, storage: EndpointService
) -> None:
    private = await shop.private(shop.back)
    await requested(shop, storage, [private.id])
    conversation = await shop.talk(BACK)
    assert conversation is not None
    assert await conversation.goes_on()
    await shop.at.client.route_tables.update(private.id, subnet_ids=[shop.front])
    await until_reached(shop, FRONT, reached=True)
    await until_reached(shop, BACK, reached=False)
    await until("the conversation to end", partial(over, conversation))
    conversation.close()
    await shop.at.client.route_tables.update(private.id, subnet_ids=[shop.back, shop.front])
    await until_reached(shop, BACK, reached=True)


async def test_an_endpoint_that_leaves_a_table_or_is_deleted_is_reached_no_more(
    shop: Shop, storage: EndpointService
) -> None:
    private = await shop.private(shop.back)
    endpoint = await requested(shop, storage, [private.id])
    conversation = await shop.talk(BACK)
    assert conversation is not None
    known = shop.at.client.route_tables.list(shop.at.vpc_id)
    (default,) = [table.id async for table in known if table.by_default]
    await shop.at.client.endpoints.update(endpoint.id, route_tables=[default])
    await until_reached(shop, FRONT, reached=True)
    await until_reached(shop, BACK, reached=False)
    await until("the conversation to end", partial(over, conversation))
    conversation.close()
    await shop.at.client.route_tables.delete(private.id)
    await until_reached(shop, BACK, reached=True)
    await shop.at.client.endpoints.delete(endpoint.id)
    await until_reached(shop, BACK, reached=False)


async def test_a_policy_holds_addresses_and_ports_back_and_cuts_what_it_narrows(
    shop: Shop, storage: EndpointService
) -> None:
    document = [allow("*"), deny("tcp/80"), deny("100.125.200.0/24")]
    endpoint = await requested(shop, storage, policy=json.dumps({"Statement": document}))
    assert await shop.reaches(FRONT)
    assert await ask_over_udp(shop.at.namespace, INSIDE, 53) == b"storage hello"
    tested = await shop.at.client.endpoints.test(endpoint.id)
    assert tested.reachable, tested
    assert not await shop.reaches(FRONT, INSIDE, 80)
    assert not await shop.reaches(FRONT, DENIED)
    conversations = [await shop.talk(FRONT), await shop.talk(FRONT, "100.125.9.9")]
    kept, cut = conversations
    assert kept is not None
    assert cut is not None
    narrower = json.dumps({"Statement": [*document, deny("100.125.9.0/24 tcp/443")]})
    await shop.at.client.endpoints.update(endpoint.id, policy=narrower)

    async def denied() -> bool:
        return not await shop.reaches(FRONT, "100.125.9.9")

    await until("the narrower policy", denied)
    await until("the conversation that is denied to end", partial(over, cut))
    assert await kept.goes_on()
    for each in (kept, cut):
        each.close()
    await shop.at.client.endpoints.update(endpoint.id, policy="")

    async def open_again() -> bool:
        return await shop.reaches(FRONT, DENIED, 80)

    await until("no policy", open_again)


def allow(resource: str) -> dict[str, str]:
    return {"Effect": "Allow", "Action": "*", "Resource": resource}


def deny(resource: str) -> dict[str, str]:
    return {"Effect": "Deny", "Action": "*", "Resource": resource}
