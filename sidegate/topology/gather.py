"""Asks a running Sidegate for all that the caller may see."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TypeVar

from google.protobuf.message import Message

from sidegate import errors
from sidegate.api.endpoint.v1.backend_health_pb2 import GetServiceHealthResponse
from sidegate.api.endpoint.v1.endpoint_pb2 import Connection, Endpoint
from sidegate.api.gateway.v1.gateway_service_pb2 import GetStatusResponse
from sidegate.api.registry.v1.account_pb2 import ROLE_OPERATOR
from sidegate.api.registry.v1.endpoint_service_pb2 import ConnectableService, EndpointService
from sidegate.api.registry.v1.vpc_pb2 import Attachment, Port, RouteTable, Subnet, Vpc
from sidegate.client import Client

AT_ONCE = 8
"""Projects that are asked at the same time."""

OPERATOR = "operator"
M = TypeVar("M", bound=Message)


@dataclass
class Seen:
    """What was told, as the contract has it: `lookups` are services of others, by id."""

    viewer: str = ""
    vpcs: dict[str, Vpc] = field(default_factory=dict)
    subnets: list[Subnet] = field(default_factory=list)
    ports: list[Port] = field(default_factory=list)
    route_tables: list[RouteTable] = field(default_factory=list)
    attachments: list[Attachment] = field(default_factory=list)
    services: list[EndpointService] = field(default_factory=list)
    endpoints: list[Endpoint] = field(default_factory=list)
    connections: list[Connection] = field(default_factory=list)
    health: dict[str, GetServiceHealthResponse] = field(default_factory=dict)
    lookups: dict[str, ConnectableService] = field(default_factory=dict)
    gateways: list[GetStatusResponse] = field(default_factory=list)


async def gather(sidegate: Client) -> Seen:
    """A tenant sees his project; the operator, where it acts for nobody, everybody's. Raises SidegateError.

    What is deleted while this reads is left out.
    """
    me = await sidegate.accounts.who_am_i()
    seen = Seen(f"{me.account}/{me.project}")
    for vpc in await _all(sidegate.vpcs.list()):
        seen.vpcs[vpc.id] = vpc
    if me.role != ROLE_OPERATOR or me.acting or me.account != OPERATOR:
        await _project(sidegate, seen)
    else:
        seen.viewer = OPERATOR
        await _everything(sidegate, seen)
    await _foreign(sidegate, seen)
    return seen


async def _everything(sidegate: Client, seen: Seen) -> None:
    seen.attachments += await _all(sidegate.attachments.list())
    owners = {(vpc.account, vpc.project) for vpc in seen.vpcs.values()}
    turn = asyncio.Semaphore(AT_ONCE)

    async def ask(client: Client) -> None:
        async with turn:
            await _project(client, seen)

    async with AsyncExitStack() as stack:
        acting = [
            await stack.enter_async_context(sidegate.acting_for(account, project))
            for account, project in sorted(owners)
        ]
        await asyncio.gather(*map(ask, acting))
    try:
        seen.gateways.append(await sidegate.gateway.status())
    except errors.SidegateError:
        return  # it runs on another machine, or is away: the picture is of all others


async def _project(client: Client, seen: Seen) -> None:
    subnets, ports, tables, services, endpoints = await asyncio.gather(
        _all(client.subnets.list()),
        _all(client.ports.list()),
        _all(client.route_tables.list()),
        _all(client.services.list()),
        _all(client.endpoints.list()),
    )
    seen.subnets += subnets
    seen.ports += ports
    seen.route_tables += tables
    seen.services += services
    seen.endpoints += endpoints
    for service in services:
        await _service(client, service, seen)


async def _service(client: Client, service: EndpointService, seen: Seen) -> None:
    try:
        seen.connections += await _all(client.connections.list(service.id))
        if service.HasField("health_check"):
            seen.health[service.id] = await client.connections.health(service.id)
    except errors.NotFound:
        return  # it was deleted meanwhile


async def _foreign(sidegate: Client, seen: Seen) -> None:
    """Services that only endpoints tell of: their ports, as long as the caller may connect to them."""
    known = {service.id for service in seen.services}
    for id_ in sorted({endpoint.service for endpoint in seen.endpoints} - known):
        try:
            seen.lookups[id_] = await sidegate.services.lookup(id_)
        except errors.NotFound:
            continue


async def _all(listed: AsyncIterator[M]) -> Sequence[M]:
    return [each async for each in listed]
