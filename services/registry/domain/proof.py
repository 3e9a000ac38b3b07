"""Whether what the DNS says of a private name shows that it is its owner's, and in what words it does not."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.common.errors import Refused, WrongState
from services.registry.domain.private_name import PrivateName

SHOWN_VALUES, SHOWN_CHARACTERS = 3, 100


@dataclass(frozen=True, slots=True)
class Texts:
    """TXT records of the name; none where it has only others."""

    values: Sequence[str]


@dataclass(frozen=True, slots=True)
class NoSuchName:
    """NXDOMAIN."""


@dataclass(frozen=True, slots=True)
class Unanswered:
    """Nothing that could be relied on; `why` is a clause."""

    why: str


Found = Texts | NoSuchName | Unanswered


def missing(named: PrivateName, found: Found) -> Refused | None:
    """Why it does not show it; None where it does."""
    wanted = f'a TXT record of {named.record} that says "{named.value}"'
    match found:
        case Texts(values) if named.value in values:
            return None
        case Unanswered(why):
            text = f"{wanted} was looked for, and {why}: try again when its name servers answer"
            return WrongState("PRIVATE_NAME_UNANSWERED", text)  # not Unavailable: clients would repeat it at once
        case NoSuchName():
            seen = f"{named.record} is not there (NXDOMAIN)"
        case Texts(()):
            seen = f"{named.record} has no TXT record"
        case Texts(values):
            said = ", ".join(f'"{_shown(value)}"' for value in values[:SHOWN_VALUES])
            more = f" and {len(values) - SHOWN_VALUES} more" if len(values) > SHOWN_VALUES else ""
            seen = f"{named.record} says {said}{more}"
    text = f"{named.name} is not shown to be yours: {seen}. Publish {wanted}, then verify again"
    return WrongState("PRIVATE_NAME_NOT_SHOWN", text, metadata={"record": named.record, "value": named.value})


def _shown(value: str) -> str:
    printable = "".join(each if each.isprintable() else "?" for each in value)
    return printable if len(printable) <= SHOWN_CHARACTERS else printable[:SHOWN_CHARACTERS] + "…"
