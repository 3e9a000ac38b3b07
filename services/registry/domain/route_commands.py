"""What VPCs are told of route tables, and of endpoints that have their routes in them."""

from dataclasses import dataclass

from services.registry.domain.network import RouteHold, RouteTable


@dataclass(frozen=True, slots=True)
class CreateRouteTable:
    table: RouteTable


@dataclass(frozen=True, slots=True)
class ChangeRouteTable:
    """What is None stays."""

    table_id: str
    name: str | None = None
    description: str | None = None
    subnets: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class DeleteRouteTable:
    table_id: str


@dataclass(frozen=True, slots=True)
class ReserveRoutes:
    """Hold exactly these tables for an endpoint; no tables stand for the default one."""

    hold: RouteHold


@dataclass(frozen=True, slots=True)
class HoldRouteTables:
    """Hold exactly these tables, from now on, for an endpoint that has its routes reserved."""

    endpoint: str
    tables: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReleaseRoutes:
    """The endpoint is gone. With `before` (ns since the epoch) only if it was last reserved before that."""

    endpoint: str
    before: int | None = None


RouteCommand = CreateRouteTable | ChangeRouteTable | DeleteRouteTable | ReserveRoutes | HoldRouteTables | ReleaseRoutes
