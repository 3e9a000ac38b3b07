"""A VPC's resolver: an address of one of its subnets that gateways answer for, and who is asked for other names."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address

from services.common.errors import Forbidden, Invalid, NotFound
from services.common.name_servers import AllowedServers, NameServer
from services.registry.domain import addresses
from services.registry.domain.network import Place, Resolver, Vpc

FORWARDERS = "resolver.forwarders"
BROADCAST = IPv4Address("255.255.255.255")


@dataclass(frozen=True, slots=True)
class ResolverPlaced:
    """Its address was taken."""

    place: Place


@dataclass(frozen=True, slots=True)
class ResolverWithdrawn:
    """Its address was given back."""

    place: Place


@dataclass(frozen=True, slots=True)
class ResolverSet:
    """What it is now."""

    resolver: Resolver


@dataclass(frozen=True, slots=True)
class ResolverDeleted:
    pass


Event = ResolverPlaced | ResolverWithdrawn | ResolverSet | ResolverDeleted


def changed(wanted: Resolver, vpc: Vpc) -> Sequence[Event]:
    """Its address is taken, and an earlier one given back, with the same append that says what it is."""
    place, known = wanted.place, vpc.resolver
    subnet = next((each for each in vpc.subnets if each.id == place.subnet_id), None)
    if subnet is None:
        raise NotFound("subnet", place.subnet_id)
    addresses.check_assignable(place.address, subnet.cidr, "resolver.address")
    if known is None:
        return [ResolverPlaced(place), ResolverSet(wanted)]
    if (known.place.subnet_id, known.place.address) == (place.subnet_id, place.address):
        now = replace(wanted, place=known.place)
        return [] if now == known else [ResolverSet(now)]
    return [ResolverWithdrawn(known.place), ResolverPlaced(place), ResolverSet(wanted)]


def deleted(vpc: Vpc) -> Sequence[Event]:
    return [] if vpc.resolver is None else [ResolverWithdrawn(vpc.resolver.place), ResolverDeleted()]


def evolved(vpc: Vpc, event: Event) -> Vpc:
    after = replace(vpc, revision=vpc.revision + 1)
    match event:
        case ResolverSet(resolver):
            return replace(after, resolver=resolver)
        case ResolverDeleted():
            return replace(after, resolver=None)
        case _:
            return after


def parse_forwarder(text: str, allowed: AllowedServers) -> NameServer:
    """A name server that the operator lets resolvers ask."""
    try:
        server = NameServer.of(text)
    except ValueError:
        words = f"{text[:64]!r} is no name server such as 9.9.9.9, 192.0.2.1:5353 or [2620:fe::fe]:53"
        raise Invalid("FORWARDER_INVALID", words, field=FORWARDERS) from None
    address = server.address
    if address.is_unspecified or address.is_multicast or address == BROADCAST:
        words = f"{address} is nobody's address: name the address of one name server"
        raise Invalid("FORWARDER_INVALID", words, field=FORWARDERS)
    if not allowed.admits(server):
        words = (
            f"resolvers may not ask {server.short}: they ask from the gateways' machines, so only name servers that the"
            " operator allows (the registry's --allowed-forwarders) may be named"
        )
        raise Forbidden("FORWARDER_NOT_ALLOWED", words, field=FORWARDERS)
    return server
