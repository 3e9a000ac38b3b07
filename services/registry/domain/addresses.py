"""Ranges and addresses as VPCs and subnets may use them, of IPv4 and of IPv6."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from hashlib import sha256
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Network
from typing import NamedTuple

from services.common.addressing import Address, Network, address_of, collapsed, family, network_of, networks_of
from services.common.errors import Invalid
from services.common.eventsourcing.store import Claim

SOURCE_RANGE = IPv4Network("198.19.128.0/17")
SOURCE_RANGE_V6 = IPv6Network("fd73:6964:6567:6174::/96")
"""What backends see connections come from: kept free in every VPC."""

ANNEX_RANGE_V6 = IPv6Network("fd73:6964:6567:6175::/96")
"""What gateways themselves have in a VPC's annex, as they have 169.254.0.0/16 in IPv4: kept free, too."""

ADDRESS = "address"
"""The kind of claim to an address of a subnet."""


class Bounds(NamedTuple):
    """What a range may be: its prefix from the shortest to the longest, and apart from all these."""

    shortest: int
    longest: int
    sources: Network
    not_unicast: Sequence[Network]


_BOUNDS: Mapping[int, Bounds] = {
    4: Bounds(8, 28, SOURCE_RANGE, networks_of(("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3"))),
    # In ::/8 is loopback, and IPv4 in IPv6's clothes: mapped, and behind NAT64's 64:ff9b::/96.
    6: Bounds(16, 124, SOURCE_RANGE_V6, networks_of(("::/8", "fe80::/10", "fec0::/10", "ff00::/8"))),
}
EXAMPLES = "such as 10.0.0.0/16 or fd00:10::/64"


def parse_cidr(text: str, field: str) -> Network:
    """A range such as 10.0.0.0/16, in exactly this form, or fd00:10::/64, in any; usable in a VPC."""
    return _usable(_ipv6(text, field) if ":" in text else _ipv4(text, field), text, field)


def parse_address(text: str, field: str) -> Address:
    """An address such as 10.0.0.10 or fd00:10::a."""
    try:
        return address_of(text)
    except ValueError:
        words = f"{text!r} is not an address such as 10.0.0.10 or fd00:10::a"
        raise Invalid("MALFORMED_ADDRESS", words, field=field) from None


def parse_ipv4(text: str, field: str) -> IPv4Address:
    """An address such as 10.0.0.10: networks that carry VPCs have no others."""
    try:
        return IPv4Address(text)
    except ValueError:
        raise Invalid("MALFORMED_ADDRESS", f"{text!r} is not an IPv4 address such as 10.0.0.10", field=field) from None


def check_apart(cidrs: Sequence[Network], field: str) -> None:
    """Refuses a list in which a range overlaps one before it."""
    for index, cidr in enumerate(cidrs):
        for earlier in cidrs[:index]:
            if cidr.overlaps(earlier):
                raise Invalid("CIDR_OVERLAPS", f"{cidr} overlaps {earlier}", field=f"{field}[{index}]")


def contains(cidrs: Iterable[Network], part: Network) -> bool:
    """Whether the part lies inside the ranges, neighbours taken together."""
    return any(part[0] in whole and part[-1] in whole for whole in collapsed(cidrs))


def router(subnet: Network) -> Address:
    """The first host address: kept for a router."""
    return subnet.network_address + 1


def check_assignable(address: Address, subnet: Network, field: str) -> None:
    """Refuses an address that nobody in the subnet can have."""
    if address.version != subnet.version:
        text = f"{address} is {family(address.version)} and the subnet {subnet} {family(subnet.version)}"
        raise Invalid("ADDRESS_OUTSIDE_SUBNET", f"{text}: name a subnet of its family", field=field)
    if address not in subnet:
        raise Invalid("ADDRESS_OUTSIDE_SUBNET", f"{address} is not in the subnet {subnet}", field=field)
    for reserved, use in _reserved(subnet):
        if address == reserved:
            raise Invalid("ADDRESS_RESERVED", f"{address} is not given out in {subnet}: it is {use}", field=field)


def address_claim(subnet_id: str, address: Address | str) -> Claim:
    """An address of a subnet. With an empty address its key is the prefix of all of them."""
    return Claim(ADDRESS, f"{subnet_id}/{address}")


def free_address(subnet: Network, taken: Collection[Address], seed: str) -> Address | None:
    """An assignable address that is not taken: in IPv4 the lowest; None in a full subnet.

    In IPv6 the first from a place on that the seed decides, since nobody can look through a /64, nor guess what is
    drawn from it. It takes no more steps than there are addresses taken.
    """
    first, count = int(router(subnet)) + 1, _assignable(subnet)
    start = 0 if isinstance(subnet, IPv4Network) else int.from_bytes(sha256(seed.encode()).digest()) % count
    kind = type(subnet.network_address)
    candidates = (kind(first + (start + step) % count) for step in range(min(count, len(taken) + 1)))
    return next((address for address in candidates if address not in taken), None)


def _assignable(subnet: Network) -> int:
    """All but the subnet's own address and its router's; in IPv4 the last one is for broadcasts."""
    return subnet.num_addresses - (3 if isinstance(subnet, IPv4Network) else 2)


def _reserved(subnet: Network) -> Sequence[tuple[Address, str]]:
    if isinstance(subnet, IPv4Network):
        broadcast = (subnet.broadcast_address, "its broadcast address")
        return ((subnet.network_address, "the subnet itself"), (router(subnet), "its router"), broadcast)
    return ((subnet.network_address, "all its routers' (RFC 4291)"), (router(subnet), "its router"))


def _ipv4(text: str, field: str) -> Network:
    try:
        written = IPv4Interface(text)
    except ValueError:
        written = None
    if written is None or str(written) != text:
        raise _malformed(text, field)
    if written.ip != written.network.network_address:
        raise _host_bits_set(text, written.network, field)
    return written.network


def _ipv6(text: str, field: str) -> Network:
    """A prefix length is digits alone, and there must be one: text without it would be one address."""
    first, slash, length = text.partition("/")
    try:
        written, cleared = address_of(first), network_of(text, strict=False)
    except ValueError:
        raise _malformed(text, field) from None
    if not slash or str(cleared.prefixlen) != length:
        raise _malformed(text, field)
    if written != cleared.network_address:
        raise _host_bits_set(text, cleared, field)
    return cleared


def _malformed(text: str, field: str) -> Invalid:
    return Invalid("MALFORMED_CIDR", f"{text!r} is not a range {EXAMPLES}", field=field)


def _host_bits_set(text: str, cidr: Network, field: str) -> Invalid:
    return Invalid("HOST_BITS_SET", f"{text} has host bits set: its range is {cidr}", field=field)


def _usable(cidr: Network, text: str, field: str) -> Network:
    shortest, longest, sources, not_unicast = _BOUNDS[cidr.version]
    if not shortest <= cidr.prefixlen <= longest:
        words = f"{text} is not between /{shortest} and /{longest}, as ranges of {family(cidr.version)} are"
        raise Invalid("PREFIX_OUT_OF_RANGE", words, field=field)
    if cidr.overlaps(sources):
        words = f"{cidr} overlaps {sources}, which backends see connections come from"
        raise Invalid("CIDR_RESERVED", words, field=field)
    if cidr.overlaps(ANNEX_RANGE_V6):
        words = f"{cidr} overlaps {ANNEX_RANGE_V6}, which gateways have for themselves"
        raise Invalid("CIDR_RESERVED", words, field=field)
    if any(cidr.overlaps(other) for other in not_unicast):
        raise Invalid("CIDR_NOT_UNICAST", f"{cidr} holds addresses that no machine can have", field=field)
    return cidr
