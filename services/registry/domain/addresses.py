"""IPv4 ranges and addresses as VPCs and subnets may use them."""

from collections.abc import Collection, Sequence
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, collapse_addresses

from services.common.errors import Invalid

SHORTEST_PREFIX, LONGEST_PREFIX = 8, 28
SOURCE_RANGE = IPv4Network("198.19.128.0/17")
"""What backends see connections come from: kept free in every VPC."""
_NOT_UNICAST = tuple(map(IPv4Network, ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3")))


def parse_cidr(text: str, field: str) -> IPv4Network:
    """A range such as 10.0.0.0/16, in exactly this form and usable in a VPC."""
    if ":" in text:
        raise Invalid("IPV6_NOT_SUPPORTED", f"{text!r} is IPv6: give an IPv4 range such as 10.0.0.0/16", field=field)
    try:
        written = IPv4Interface(text)
    except ValueError:
        written = None
    if written is None or str(written) != text:
        raise Invalid("MALFORMED_CIDR", f"{text!r} is not an IPv4 range such as 10.0.0.0/16", field=field)
    return _usable(written, field)


def parse_address(text: str, field: str) -> IPv4Address:
    """An address such as 10.0.0.10."""
    try:
        return IPv4Address(text)
    except ValueError:
        raise Invalid("MALFORMED_ADDRESS", f"{text!r} is not an IPv4 address such as 10.0.0.10", field=field) from None


def check_apart(cidrs: Sequence[IPv4Network], field: str) -> None:
    """Refuses a list in which a range overlaps one before it."""
    for index, cidr in enumerate(cidrs):
        for earlier in cidrs[:index]:
            if cidr.overlaps(earlier):
                raise Invalid("CIDR_OVERLAPS", f"{cidr} overlaps {earlier}", field=f"{field}[{index}]")


def contains(cidrs: Sequence[IPv4Network], part: IPv4Network) -> bool:
    """Whether the part lies inside the ranges, neighbours taken together."""
    return any(part.subnet_of(whole) for whole in collapse_addresses(cidrs))


def router(subnet: IPv4Network) -> IPv4Address:
    """The first host address: kept for a router."""
    return subnet.network_address + 1


def check_assignable(address: IPv4Address, subnet: IPv4Network, field: str) -> None:
    """Refuses an address that nobody in the subnet can have."""
    if address not in subnet:
        raise Invalid("ADDRESS_OUTSIDE_SUBNET", f"{address} is not in the subnet {subnet}", field=field)
    for reserved, use in (
        (subnet.network_address, "the subnet itself"),
        (router(subnet), "its router"),
        (subnet.broadcast_address, "its broadcast address"),
    ):
        if address == reserved:
            raise Invalid("ADDRESS_RESERVED", f"{address} is not given out in {subnet}: it is {use}", field=field)


def lowest_free(subnet: IPv4Network, taken: Collection[IPv4Address]) -> IPv4Address | None:
    """The lowest assignable address that is not taken; None in a full subnet."""
    first, last = int(router(subnet)) + 1, int(subnet.broadcast_address)
    candidates = (IPv4Address(number) for number in range(first, last))
    return next((address for address in candidates if address not in taken), None)


def _usable(written: IPv4Interface, field: str) -> IPv4Network:
    cidr = written.network
    if not SHORTEST_PREFIX <= cidr.prefixlen <= LONGEST_PREFIX:
        raise Invalid(
            "PREFIX_OUT_OF_RANGE", f"{written} is not between /{SHORTEST_PREFIX} and /{LONGEST_PREFIX}", field=field
        )
    if written.ip != cidr.network_address:
        raise Invalid("HOST_BITS_SET", f"{written} has host bits set: its range is {cidr}", field=field)
    if cidr.overlaps(SOURCE_RANGE):
        raise Invalid(
            "CIDR_RESERVED", f"{cidr} overlaps {SOURCE_RANGE}, which backends see connections come from", field=field
        )
    if any(cidr.overlaps(other) for other in _NOT_UNICAST):
        raise Invalid("CIDR_NOT_UNICAST", f"{cidr} holds addresses that no machine can have", field=field)
    return cidr
