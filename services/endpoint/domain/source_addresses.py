"""Which source addresses an endpoint gets, and how many: derived from who it is for, moved on where one is taken."""

from collections.abc import Collection, Iterable, Iterator
from hashlib import sha256
from ipaddress import IPv4Address
from itertools import islice

from services.common.errors import QuotaReached
from services.endpoint.domain.facts import SourceLease

FIRST = IPv4Address("198.19.128.1")
SIZE = 32_766
"""198.19.128.1 to 198.19.255.254: all of 198.19.128.0/17 but its first and last address."""

MOST = 64
"""Addresses that one gateway may have for one endpoint."""

KEPT = SIZE // 4
"""Addresses of a range that are kept for endpoints to come: no endpoint grows into them."""


def derived(endpoint: str, gateway: str) -> int:
    """Where in the range the search begins: spread, so that few searches meet."""
    return int.from_bytes(sha256(f"{endpoint}/{gateway}".encode()).digest()[:8]) % SIZE


def leases(endpoint: str, gateways: Iterable[str], taken: Collection[str]) -> tuple[SourceLease, ...]:
    """A lease for each gateway, at addresses that are neither taken nor one another's."""
    found: list[SourceLease] = []
    for gateway in sorted(gateways):
        own = {str(lease.address) for lease in found}
        address = next(_free(endpoint, gateway, taken, own), None)
        if address is None:
            text = "the service has as many endpoints as a gateway can tell apart: none is free"
            raise QuotaReached("SOURCE_ADDRESSES_EXHAUSTED", text)
        found.append(SourceLease(gateway, address))
    return tuple(found)


def growth(held: int, wanted: int) -> int:
    """How many more a gateway is given that has `held` and wants `wanted` in all: at most as many as it has."""
    return max(0, min(wanted, 2 * held, MOST) - held)


def more(endpoint: str, gateway: str, number: int, taken: Collection[str]) -> tuple[SourceLease, ...]:
    """So many more leases, or as many as there are; those in use by whomever are `taken`."""
    spare = max(0, SIZE - KEPT - len(taken))
    return tuple(SourceLease(gateway, each) for each in islice(_free(endpoint, gateway, taken), min(number, spare)))


def _free(endpoint: str, gateway: str, *taken: Collection[str]) -> Iterator[IPv4Address]:
    start = derived(endpoint, gateway)
    for step in range(SIZE):
        address = FIRST + (start + step) % SIZE
        if not any(str(address) in each for each in taken):
            yield address
