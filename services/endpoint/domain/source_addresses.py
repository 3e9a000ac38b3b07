"""Which source addresses an endpoint gets: derived from who it is for, and moved on where one is taken."""

from collections.abc import Collection, Iterable
from hashlib import sha256
from ipaddress import IPv4Address

from services.common.errors import QuotaReached
from services.endpoint.domain.endpoint import SourceLease

FIRST = IPv4Address("198.19.128.1")
SIZE = 32_766
"""198.19.128.1 to 198.19.255.254: all of 198.19.128.0/17 but its first and last address."""


def derived(endpoint: str, gateway: str) -> int:
    """Where in the range the search begins: spread, so that few searches meet."""
    return int.from_bytes(sha256(f"{endpoint}/{gateway}".encode()).digest()[:8]) % SIZE


def leases(endpoint: str, gateways: Iterable[str], taken: Collection[str]) -> tuple[SourceLease, ...]:
    """A lease for each gateway, at addresses that are neither taken nor one another's."""
    found: list[SourceLease] = []
    for gateway in sorted(gateways):
        own = {str(lease.address) for lease in found}
        found.append(SourceLease(gateway, _free(derived(endpoint, gateway), taken, own)))
    return tuple(found)


def _free(start: int, *taken: Collection[str]) -> IPv4Address:
    for step in range(SIZE):
        address = FIRST + (start + step) % SIZE
        if not any(str(address) in each for each in taken):
            return address
    raise QuotaReached(
        "SOURCE_ADDRESSES_EXHAUSTED", "the service has as many endpoints as a gateway can tell apart: none is free"
    )
