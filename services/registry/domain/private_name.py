"""A service's private name: a DNS name that its owner shows to be his by a TXT record."""

import re
from dataclasses import dataclass

from services.common.errors import AlreadyExists, Invalid
from services.common.eventsourcing.store import Claim

PRIVATE_NAME = "private-name"
"""The kind of claim to a name that is verified: of one service of the region."""

FIELD = "endpoint_service.private_name.name"
OURS = "sidegate.internal"
CHALLENGE = "_sidegate-challenge"
LONGEST = 253 - len(CHALLENGE) - 1
"""The record's name must fit, too."""

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class PrivateName:
    """`value` is what the record must say; `verified_at` (ns since the epoch) is 0 until it is verified."""

    name: str
    value: str
    verified_at: int = 0

    @property
    def record(self) -> str:
        """Where the TXT record is looked for."""
        return f"{CHALLENGE}.{self.name}"

    @property
    def claim(self) -> Claim:
        return Claim(PRIVATE_NAME, self.name)


@dataclass(frozen=True, slots=True)
class Unnamed:
    """It has none."""


UNNAMED = Unnamed()


def claims(named: PrivateName | Unnamed) -> tuple[Claim, ...]:
    """What a service holds: only a name that is verified."""
    return (named.claim,) if isinstance(named, PrivateName) and named.verified_at else ()


def check_name(name: str) -> None:
    """Refuses what is no name of two labels or more in lower-case ASCII, and what is ours."""
    labels = name.split(".")
    if len(name) > LONGEST:
        raise _invalid(name, f"it is longer than the {LONGEST} characters that leave room for its TXT record")
    if len(labels) < 2:
        raise _invalid(name, "it has one label: give a full name such as api.example.com")
    if odd := next((label for label in labels if not _LABEL.fullmatch(label)), None):
        raise _invalid(name, f"its label '{odd[:63]}' is not 1 to 63 letters, digits and hyphens inside them")
    if "" in labels:
        raise _invalid(name, "it has an empty label")
    if labels[-1].isdigit():
        raise _invalid(name, "it ends like an address")
    if name == OURS or name.endswith(f".{OURS}"):
        raise _invalid(name, f"names below {OURS} are given by Sidegate")


def taken(name: str) -> AlreadyExists:
    text = f"another service of the region has shown {name} to be its owner's: give another name, or none"
    return AlreadyExists("DNS_NAME_TAKEN", text, field=FIELD)


def _invalid(name: str, why: str) -> Invalid:
    return Invalid("DNS_NAME_INVALID", f"{name[:80]!r} cannot be a private name: {why}", field=FIELD)
