"""What happens to route tables of a VPC, and to the hold that endpoints have on them."""

from dataclasses import dataclass

from services.registry.domain.network import RouteHold, RouteTable


@dataclass(frozen=True, slots=True)
class RouteTableCreated:
    table: RouteTable


@dataclass(frozen=True, slots=True)
class RouteTableChanged:
    """What it is now."""

    table: RouteTable


@dataclass(frozen=True, slots=True)
class RouteTableDeleted:
    table: RouteTable


@dataclass(frozen=True, slots=True)
class RoutesReserved:
    """Takes the place of what the endpoint had reserved."""

    hold: RouteHold


@dataclass(frozen=True, slots=True)
class RoutesReleased:
    endpoint: str


RouteEvent = RouteTableCreated | RouteTableChanged | RouteTableDeleted | RoutesReserved | RoutesReleased
