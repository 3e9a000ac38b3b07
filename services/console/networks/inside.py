"""What is in a VPC, as far as the reader may see it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from services.console.pages.paging import SIZE
from services.console.sessions.session import Session
from sidegate import errors
from sidegate.api.endpoint.v1.endpoint_pb2 import Endpoint
from sidegate.api.registry.v1.endpoint_service_pb2 import EndpointService
from sidegate.api.registry.v1.vpc_pb2 import Attachment, Port, RouteTable, Subnet, Vpc
from sidegate.resources.paging import Page

MOST_SUBNETS = 200
MOST_SHOWN = 20
"""Services and endpoints: their own lists show the rest."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which ports are asked for: those of a subnet, those with this in their holder, or the one."""

    subnet: str = ""
    holder: str = ""
    port: str = ""
    skip: int = 0


@dataclass(frozen=True, slots=True)
class Inside:
    """`endpoints` is None where the endpoint service does not answer; `attachments` where they are not the reader's to
    see.
    """

    subnets: Page[Subnet]
    ports: Page[Port]
    tables: Sequence[RouteTable]
    services: Page[EndpointService]
    endpoints: Page[Endpoint] | None
    attachments: Sequence[Attachment] | None

    def subnet(self, id_: str) -> str:
        """Its name; its id where it is not among those that are shown."""
        return next((each.name for each in self.subnets.items if each.id == id_), id_)


def is_own(session: Session, vpc: Vpc) -> bool:
    """Whether it is the project's that pages are of; the operator is shown others', too."""
    return (vpc.account, vpc.project) == (session.account, session.project)


async def inside(session: Session, vpc: Vpc, wanted: Wanted) -> Inside:
    """Raises SidegateError."""
    client = session.client
    subnets, ports, tables, services, endpoints, attachments = await asyncio.gather(
        _subnets(session, vpc.id, wanted.subnet),
        client.ports.page(
            vpc_id=vpc.id,
            subnet_id=wanted.subnet,
            holder_contains=wanted.holder,
            ids=[wanted.port] if wanted.port else (),
            skip=wanted.skip,
            size=SIZE,
        ),
        _tables(session, vpc.id),
        client.services.page(vpc_id=vpc.id, size=MOST_SHOWN),
        _endpoints(session, vpc.id),
        _attachments(session, vpc.id),
    )
    return Inside(subnets, ports, tables, services, endpoints, attachments)


async def _subnets(session: Session, vpc_id: str, chosen: str) -> Page[Subnet]:
    """The first of them, with the one that was chosen in any case."""
    found = await session.client.subnets.page(vpc_id=vpc_id, size=MOST_SUBNETS)
    if chosen and all(each.id != chosen for each in found.items):
        one = await session.client.subnets.page(vpc_id=vpc_id, ids=[chosen])
        return Page([*one.items, *found.items], found.total)
    return found


async def _tables(session: Session, vpc_id: str) -> Sequence[RouteTable]:
    return [table async for table in session.client.route_tables.list(vpc_id)]


async def _attachments(session: Session, vpc_id: str) -> Sequence[Attachment] | None:
    """The operator's alone, while it speaks for itself: others are not asked about, since asking would be refused."""
    if not session.is_operator or session.acting_as is not None:
        return None
    return [each async for each in session.client.attachments.list(vpc_id)]


async def _endpoints(session: Session, vpc_id: str) -> Page[Endpoint] | None:
    try:
        return await session.client.endpoints.page(size=MOST_SHOWN, vpc_id=vpc_id)
    except errors.Unavailable:
        return None
