"""What a caller may see: what his project owns, and nothing that tells of the rest."""

from collections.abc import Sequence
from typing import TypeVar

from services.common.errors import Forbidden, NotFound
from services.common.eventsourcing.selection import ALL, Found, Scope, Selection, Window
from services.common.eventsourcing.store import Head
from services.common.principal import Principal
from services.registry.projections import (
    ATTACHMENT,
    DEFAULT_ATTACHMENT,
    PUBLIC,
    ROUTE_TABLE,
    SERVICE,
    SUBNET,
    VPC,
    Kind,
    Resources,
    Snapshot,
)
from sidegate.api.registry.v1 import vpc_pb2
from sidegate.api.registry.v1.credential_pb2 import EventsCredential
from sidegate.api.registry.v1.endpoint_service_pb2 import EndpointService

Owned = TypeVar(
    "Owned", vpc_pb2.Vpc, vpc_pb2.Subnet, vpc_pb2.Port, vpc_pb2.RouteTable, EndpointService, EventsCredential
)
R = TypeVar("R")

MOST_CELLS = 1000
"""A VPC is attached once in a cell; a region has no more cells than this."""

OPERATORS_OWN = (ATTACHMENT.name, DEFAULT_ATTACHMENT.name)
"""Kinds that the operator alone sees."""


class Inventory:
    """The operator sees every VPC, to attach it, and alone sees attachments."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources

    async def log(self) -> Head:
        """Which log it is that all answers are read in."""
        return await self._resources.head()

    async def owned(self, kind: Kind[Owned], id_: str, caller: Principal) -> Owned:
        """A resource of the caller's project. Raises NotFound."""
        return owned(kind, id_, await self._resources.get(kind, id_), caller)

    async def vpc(self, id_: str, caller: Principal) -> vpc_pb2.Vpc:
        if not caller.is_operator:
            return await self.owned(VPC, id_, caller)
        return there(VPC, id_, await self._resources.get(VPC, id_))

    async def attachment(self, id_: str, caller: Principal) -> vpc_pb2.Attachment:
        require_operator(caller)
        return there(ATTACHMENT, id_, await self._resources.get(ATTACHMENT, id_))

    async def listed(
        self,
        kind: Kind[R],
        caller: Principal,
        window: Window,
        *,
        parent: str = "",
        cell: str = "",
        selection: Selection = ALL,
    ) -> Found[R]:
        """A part of the list of the caller's resources."""
        if kind.name in OPERATORS_OWN:
            require_operator(caller)
        everything = caller.is_operator and kind.name in (VPC.name, *OPERATORS_OWN)
        scope = Scope(project=None if everything else str(caller), parent=parent or None, partition=cell or None)
        return await self._resources.read(lambda now: now.listed(kind, window, scope, selection))

    async def platform(self, window: Window, selection: Selection) -> Found[EndpointService]:
        """A part of the list of services that everybody may connect to: the platform's."""
        return await self._resources.read(lambda now: now.listed(SERVICE, window, Scope(counterpart=PUBLIC), selection))

    async def tags(
        self, kind: Kind[R], caller: Principal, after: tuple[str, str], limit: int
    ) -> Sequence[tuple[str, str]]:
        """Keys and values of the caller's tags behind one of them, in order, each once."""
        return await self._resources.read(lambda now: now.tags(kind, str(caller), after, limit))

    async def routed(self, route_table_ids: Sequence[str]) -> tuple[list[vpc_pb2.RouteTable], list[vpc_pb2.Subnet]]:
        """Of these route tables those that are there, and their subnets."""
        return await self._resources.read(lambda now: _routed(now, route_table_ids))

    async def forwarding(
        self, service_ids: Sequence[str], vpc_ids: Sequence[str] | None
    ) -> tuple[list[EndpointService], list[vpc_pb2.Attachment]]:
        """What gateways need of these: the services that are there, and the attachments of the VPCs (None: of all)."""
        return await self._resources.read(
            lambda now: (
                [service for id_ in service_ids if (service := now.get(SERVICE, id_)) is not None],
                list(now.all(ATTACHMENT, states=()))
                if vpc_ids is None
                else [made for id_ in vpc_ids for made in now.of(ATTACHMENT, id_, MOST_CELLS)],
            )
        )


def _routed(now: Snapshot, ids: Sequence[str]) -> tuple[list[vpc_pb2.RouteTable], list[vpc_pb2.Subnet]]:
    tables = [table for id_ in ids if (table := now.get(ROUTE_TABLE, id_)) is not None]
    subnets = (now.get(SUBNET, subnet) for table in tables for subnet in table.subnet_ids)
    return tables, [subnet for subnet in subnets if subnet is not None]


def owned(kind: Kind[Owned], id_: str, found: Owned | None, caller: Principal) -> Owned:
    """What was found, if it is the caller's; another's is refused in the words for what is not there."""
    if found is None or (found.account, found.project) != (caller.account, caller.project):
        raise NotFound(kind.name, id_)
    return found


def there(kind: Kind[R], id_: str, found: R | None) -> R:
    if found is None:
        raise NotFound(kind.name, id_)
    return found


def require_operator(caller: Principal) -> None:
    if not caller.is_operator:
        raise Forbidden("OPERATOR_ONLY", "attachments are the operator's: ask it to attach your VPC")
