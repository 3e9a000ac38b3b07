"""The story of docker-compose.yml: makes what it is about, as its three parties would; what is there stays as it is."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TypeVar

from sidegate import waiting
from sidegate.api.endpoint.v1.endpoint_pb2 import (
    CONNECTION_STATE_ACCEPTED,
    CONNECTION_STATE_CREATING,
    CONNECTION_STATE_PENDING_ACCEPTANCE,
    ConnectionState,
    Endpoint,
)
from sidegate.api.registry.v1.endpoint_service_pb2 import Backend, EndpointService, PortMapping
from sidegate.api.registry.v1.vpc_pb2 import InterfaceTarget, Subnet, Vpc
from sidegate.client import Client
from sidegate.credentials import Credential

# By account, as docker-compose.yml has them: the network, the half of it that Sidegate gives out, and its machines.
NETWORKS = {"shop": "10.61.0.0/24", "payments": "10.62.0.0/24"}
SUBNETS = {"shop": "10.61.0.0/25", "payments": "10.62.0.0/25"}
MACHINES = {
    "shop": {"gateway": "10.61.0.2", "client": "10.61.0.10"},
    "payments": {"gateway": "10.62.0.2", "server": "10.62.0.10"},
}
ENDPOINT_ADDRESS = "10.61.0.100"
SERVED_PORT, PUBLISHED_PORT = 8080, 80
PATIENCE_SECONDS = 60
OPERATOR = Path("/operator")

R = TypeVar("R")


async def ensure(
    what: str, those: AsyncIterator[R], wanted: Callable[[R], bool], make: Callable[[], Awaitable[R]]
) -> R:
    """The one that is wanted among those that are there, else a new one."""
    async for each in those:
        if wanted(each):
            print(f"there    {what}")
            return each
    made = await make()
    print(f"made     {what}")
    return made


async def network(account: str, tenant: Client, operator: Client) -> tuple[Vpc, Subnet]:
    """A VPC, its subnet, the addresses of its machines, and the way in which the gateway reaches it."""
    cidr, machines = NETWORKS[account], MACHINES[account]
    vpc = await ensure(
        f"VPC {account} {cidr}",
        tenant.vpcs.list(),
        lambda each: each.name == account,
        lambda: tenant.vpcs.create(account, [cidr]),
    )
    subnet = await ensure(
        f"subnet main {SUBNETS[account]} of {account}",
        tenant.subnets.list(vpc.id),
        lambda each: each.name == "main",
        lambda: tenant.subnets.create("main", vpc.id, SUBNETS[account]),
    )
    for machine, address in machines.items():
        await machine_port(tenant, subnet, machine, address)
    await attachment(operator, vpc, machines["gateway"])
    return vpc, subnet


async def machine_port(tenant: Client, subnet: Subnet, machine: str, address: str) -> None:
    """Docker gave the address to a container: from here on Sidegate gives it to no endpoint."""
    await ensure(
        f"port {address} of machine/{machine}",
        tenant.ports.list(subnet.id),
        lambda each: each.address == address,
        lambda: tenant.ports.create(subnet.id, f"machine/{machine}", address),
    )


async def attachment(operator: Client, vpc: Vpc, address: str) -> None:
    """By address: which of the gateway's devices is in which network is for Docker to choose, at every start anew."""
    await ensure(
        f"attachment of {vpc.name} by the gateway's device with {address}",
        operator.attachments.list(vpc.id),
        lambda each: each.interface.address == address,
        lambda: operator.attachments.create(vpc.id, InterfaceTarget(address=address)),
    )


async def service(payments: Client, vpc: Vpc) -> EndpointService:
    backend = Backend(address=MACHINES["payments"]["server"])
    ports = [PortMapping(client_port=PUBLISHED_PORT, server_port=SERVED_PORT)]
    web = await ensure(
        f"endpoint service web of payments: {PUBLISHED_PORT} leads to {backend.address}:{SERVED_PORT}",
        payments.services.list(),
        lambda each: each.name == "web",
        lambda: payments.services.create("web", vpc.id, [backend], ports, approval_required=True),
    )
    permission = "iam:domain::shop"
    if permission not in web.permissions:
        web = await payments.services.permit(web.id, [permission])
        print("permitted to shop")
    return web


async def endpoint(shop: Client, web: EndpointService, subnet: Subnet) -> Endpoint:
    return await ensure(
        f"endpoint {ENDPOINT_ADDRESS} of shop",
        shop.endpoints.list(),
        lambda each: each.address == ENDPOINT_ADDRESS,
        lambda: shop.endpoints.create(web.full_name, subnet.id, address=ENDPOINT_ADDRESS, name="to-web"),
    )


async def accept(payments: Client, web: EndpointService, asked: Endpoint) -> None:
    """Only what waits for it: a connection that was rejected since stays rejected."""
    if asked.state == CONNECTION_STATE_PENDING_ACCEPTANCE:
        await payments.connections.accept(web.id, asked.id)
        print("accepted by payments")


async def tell() -> None:
    async with AsyncExitStack() as stack:
        shop, payments, operator = [
            await stack.enter_async_context(client(who)) for who in ("shop", "payments", "operator")
        ]
        _, front = await network("shop", shop, operator)
        back, _ = await network("payments", payments, operator)
        web = await service(payments, back)
        asked = await endpoint(shop, web, front)
        await accept(payments, web, asked)
        await forwarding(shop, asked)


async def forwarding(shop: Client, asked: Endpoint) -> None:
    """Waits until packets pass, or will not: then somebody decided so since the first time. Raises TimedOut."""
    on_the_way = (CONNECTION_STATE_PENDING_ACCEPTANCE, CONNECTION_STATE_CREATING)
    seen = await waiting.until(
        lambda: shop.endpoints.get(asked.id), lambda each: each.state not in on_the_way, PATIENCE_SECONDS
    )
    if seen.state == CONNECTION_STATE_ACCEPTED:
        print(f"\ntry it: docker compose exec client curl http://{ENDPOINT_ADDRESS}/")
    else:
        print(f"\nno packet passes: the connection is {ConnectionState.Name(seen.state)}")


def client(account: str) -> Client:
    """The operator, who plays all three parties."""
    return Client(
        os.environ["SIDEGATE_REGISTRY"],
        os.environ["SIDEGATE_ENDPOINT"],
        credential=Credential.read(OPERATOR / "operator.json"),
        ca=(OPERATOR / "ca.pem").read_bytes(),
        account=account,
        project="default",
    )


if __name__ == "__main__":
    asyncio.run(tell())
