"""What an endpoint of a gateway-type service has instead of an address: routes in route tables of its VPC."""

from collections.abc import Iterable
from dataclasses import dataclass

from services.common.addressing import Network
from services.endpoint.domain.forwarding import PortMapping, Protocol


@dataclass(frozen=True, slots=True, order=True)
class Port:
    """What clients connect to."""

    number: int
    protocol: Protocol

    def __str__(self) -> str:
        return f"{self.protocol}/{self.number}"


@dataclass(frozen=True, slots=True)
class Route:
    """A range that leads to the service, all of its ports where none are named; or, denied, does not."""

    prefix: Network
    denied: bool = False
    ports: tuple[Port, ...] = ()


@dataclass(frozen=True, slots=True)
class Routing:
    """`tables` are route tables by id, `subnets` the ranges of what belongs to them, of the service's IP version: none
    is nobody. `routes` is what the policy makes of the public prefixes: the first is the first of these. Of the routes
    that fit an address the longest counts.
    """

    tables: tuple[str, ...]
    prefixes: tuple[Network, ...]
    subnets: tuple[Network, ...]
    routes: tuple[Route, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Where an endpoint is to be: an address of a subnet, any where it is empty; or, where the service is reached by
    routes, route tables of a VPC, the default one where there are none.
    """

    subnet: str
    address: str = ""
    vpc: str = ""
    tables: tuple[str, ...] = ()


def ports_of(mappings: Iterable[PortMapping]) -> frozenset[Port]:
    return frozenset(Port(each.client_port, each.protocol) for each in mappings)
