"""Ports of a VPC that a service can end at."""

from collections.abc import Sequence

from services.console.publishing.options import Options
from sidegate import errors
from sidegate.api.registry.v1.vpc_pb2 import Port
from sidegate.client import Client

MOST = 300
"""More than that nobody chooses from: an address can be typed."""


async def choices_of(client: Client, vpc_id: str) -> Options:
    """What a select offers: none, or one of them."""
    ports = await _ports_of(client, vpc_id)
    return [("", "–"), *((port.id, f"{port.address} · {port.holder.removeprefix('machine/')}") for port in ports)]


async def _ports_of(client: Client, vpc_id: str) -> Sequence[Port]:
    """Machines' and load balancers' ports of all of the VPC's subnets, up to so many. None for no VPC, or another's."""
    found: list[Port] = []
    if not vpc_id:
        return found
    try:
        async for subnet in client.subnets.list(vpc_id):
            async for port in client.ports.list(subnet.id):
                if not port.holder.startswith(("endpoint/", "gateway/", "resolver/")):
                    found.append(port)
                if len(found) >= MOST:
                    return found
    except (errors.InvalidRequest, errors.NotFound):
        return []
    return found
