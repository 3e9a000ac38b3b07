"""Why packets were refused, and who may read of it. Pure.

A gateway tells reasons of its own; here they are causes. The endpoint's owner reads what is his, and of all that is the
service's side one word; the service's owner reads nothing of the consumer's whitelist and policy.
"""

from collections.abc import Mapping
from enum import StrEnum, auto
from types import MappingProxyType
from typing import TypeVar


class Cause(StrEnum):
    """Why; the names are those of the contract, but for OTHER."""

    WHITELIST = auto()
    POLICY = auto()
    SPOOFED = auto()
    PORT = auto()
    CLOSED = auto()
    PACKET = auto()
    BACKEND = auto()
    PROXY = auto()
    LIMIT_CONNECTIONS = auto()
    LIMIT_NEW = auto()
    LIMIT_RATE = auto()
    SOURCE_PORT = auto()
    GATEWAY = auto()
    OTHER = auto()


CAUSES: Mapping[str, Cause] = {
    "not_allowed": Cause.WHITELIST,
    "denied": Cause.POLICY,
    "spoofed": Cause.SPOOFED,
    "no_port": Cause.PORT,
    **dict.fromkeys(("draining", "stale_epoch", "no_endpoint", "no_session"), Cause.CLOSED),
    **dict.fromkeys(("protocol", "malformed", "options", "fragment", "ttl", "too_long", "icmp"), Cause.PACKET),
    **dict.fromkeys(("arp", "not_for_us"), Cause.PACKET),
    "no_backend": Cause.BACKEND,
    "no_proxy": Cause.PROXY,
    "limit_connections": Cause.LIMIT_CONNECTIONS,
    "limit_new": Cause.LIMIT_NEW,
    "limit_rate": Cause.LIMIT_RATE,
    "no_source_port": Cause.SOURCE_PORT,
    **dict.fromkeys(("table_full", "no_device", "not_attached"), Cause.GATEWAY),
}
"""By the reason that a gateway tells. One that is newer than this program is OTHER."""

N = TypeVar("N", int, float)
Refused = Mapping[Cause, int]
NONE: Refused = MappingProxyType({})
SERVICE = "service"
"""What the endpoint's owner reads of the service's side."""

_OWN = frozenset({Cause.WHITELIST, Cause.POLICY, Cause.SPOOFED, Cause.PORT, Cause.CLOSED, Cause.PACKET})
_CONSUMERS_ALONE = frozenset({Cause.WHITELIST, Cause.POLICY, Cause.SPOOFED, Cause.OTHER})


def causes_of(reasons: Mapping[str, int]) -> Refused:
    """What a gateway tells, by cause."""
    found: dict[Cause, int] = {}
    for reason, number in reasons.items():
        if number > 0:
            cause = CAUSES.get(reason, Cause.OTHER)
            found[cause] = found.get(cause, 0) + number
    return found or NONE


def for_consumer(refused: Mapping[Cause, N]) -> dict[str, N]:
    """As the endpoint's owner may read it."""
    found: dict[str, N] = {}
    for cause, number in refused.items():
        word = cause.value if cause in _OWN else SERVICE
        found[word] = found[word] + number if word in found else number
    return found


def for_provider(refused: Mapping[Cause, N]) -> dict[str, N]:
    """As the service's owner may read it."""
    return {cause.value: number for cause, number in refused.items() if cause not in _CONSUMERS_ALONE}
