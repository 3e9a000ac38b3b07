"""Resolvers of VPCs and names of endpoints, as the forwarding log tells of them."""

from collections.abc import Iterable

from services.common.addressing import address_of
from services.common.name_servers import NameServer
from services.gateway_agent.table import Resolver
from sidegate.api.events.v1 import forwarding_pb2

LONGEST_NAME = 253
MOST_NAMES = 16


def resolver_of(told: forwarding_pb2.ResolverForwarding, vpc: str) -> Resolver:
    """Raises ValueError for what makes no sense."""
    if not names_of([told.zone]):
        raise ValueError(f"{told.zone!r} is no zone")
    return Resolver(vpc, address_of(told.address), tuple(map(NameServer.of, told.forwarders)), told.zone.lower())


def resolver_to_proto(resolver: Resolver) -> forwarding_pb2.ResolverForwarding:
    return forwarding_pb2.ResolverForwarding(
        vpc_id=resolver.vpc,
        address=str(resolver.address),
        forwarders=map(str, resolver.forwarders),
        zone=resolver.zone,
    )


def names_of(told: Iterable[str]) -> tuple[str, ...]:
    """In one form; what can be no name is left out, and so is what is too much."""
    return tuple(dict.fromkeys(name.lower() for name in told if _is_name(name)))[:MOST_NAMES]


def _is_name(name: str) -> bool:
    return len(name) <= LONGEST_NAME and name.isascii() and all(0 < len(label) < 64 for label in name.split("."))
