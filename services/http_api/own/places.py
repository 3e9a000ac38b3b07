"""Where a stream of events is: a position in each log that it is made of, in one word that clients give back. Pure."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from services.http_api.errors import Refused

LONGEST = 512


class Source(StrEnum):
    """What can be watched: three calls, on two logs."""

    REGISTRY = "r"
    ENDPOINTS = "e"
    CONNECTIONS = "c"


@dataclass(frozen=True, slots=True)
class Place:
    """After a position of a log. None is from now on, 0 from the oldest that is told."""

    after: int | None = None
    log_id: str = ""
    epoch: int = 0


NOW, OLDEST = Place(), Place(0)
Places = Mapping[Source, Place]

PART = re.compile(r"([rec])([0-9]{1,18})@([0-9a-f-]{36})\.([0-9]{1,9})", re.ASCII)


def places_of(said: str, sources: Iterable[Source]) -> Places:
    """Where to go on for each source: as a client was told, `0` for the oldest, nothing for now. Raises Refused."""
    wanted = tuple(sources)
    if said in ("", "0"):
        return dict.fromkeys(wanted, OLDEST if said else NOW)
    if len(said) > LONGEST:
        raise _unknown()
    known: dict[Source, Place] = {}
    for part in said.split(","):
        found = PART.fullmatch(part)
        if found is None:
            raise _unknown()
        known[Source(found[1])] = Place(int(found[2]), found[3], int(found[4]))
    if missing := [source.name.lower() for source in wanted if source not in known]:
        text = f"The place names no position of what is asked for ({missing[0]}): it is one of other kinds."
        raise Refused("0002", text)
    return {source: known[source] for source in wanted}


def word_of(places: Places) -> str:
    """As the client is told, and gives back."""
    return ",".join(f"{source}{place.after}@{place.log_id}.{place.epoch}" for source, place in sorted(places.items()))


def _unknown() -> Refused:
    return Refused("0002", "Where to go on is the `id` of an event, 0 for the oldest, or nothing for now.")
