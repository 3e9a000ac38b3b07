"""Addresses and ranges of IPv4 and IPv6: read from text in whatever form, and written in one. Pure."""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, collapse_addresses, ip_address, ip_network
from itertools import chain

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_MAPPED = IPv6Network("::ffff:0:0/96")


def address_of(text: str) -> Address:
    """An address, of which str() gives the one form. Raises ValueError, also for one with a zone, or IPv4 mapped."""
    address = ip_address(text)
    _check_plain(text, address)
    return address


def network_of(text: str, *, strict: bool = True) -> Network:
    """A range; bits behind its prefix are an error, or cleared where it is not `strict`. Raises ValueError."""
    network = ip_network(text, strict=strict)
    _check_plain(text, network.network_address)
    return network


def addresses_of(texts: Iterable[str]) -> tuple[Address, ...]:
    return tuple(map(address_of, texts))


def networks_of(texts: Iterable[str]) -> tuple[Network, ...]:
    return tuple(map(network_of, texts))


def family(version: int) -> str:
    """What people call it."""
    return f"IPv{version}"


def collapsed(networks: Iterable[Network]) -> tuple[Network, ...]:
    """The fewest ranges that hold the same addresses, in order, those of IPv4 first."""
    known = tuple(networks)
    ipv4 = collapse_addresses(each for each in known if isinstance(each, IPv4Network))
    ipv6 = collapse_addresses(each for each in known if isinstance(each, IPv6Network))
    return (*ipv4, *ipv6)


def is_one_family(*members: Iterable[Address | Network]) -> bool:
    """Whether all of them are of one version."""
    return len({each.version for each in chain.from_iterable(members)}) <= 1


def _check_plain(text: str, address: Address) -> None:
    if "%" in text:
        raise ValueError(f"{text!r} has a zone, which means something on one machine alone")
    if isinstance(address, IPv6Address) and address in _MAPPED:
        raise ValueError(f"{text!r} is an IPv4 address: it is written as one")
