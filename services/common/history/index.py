"""What was there at a position of a log, and which events say what it was like. Pure."""

import json
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from sys import intern
from typing import NamedTuple

from services.common.eventsourcing.resource_table import ResourceRow, last_of_streams
from services.common.eventsourcing.store import RecordedEvent

LEVEL = 1
"""Of zlib's: nine tenths of what it gains, in a fifth of the time."""

Key = tuple[str, str]
"""A kind of rows and an id."""


class Place(NamedTuple):
    """A row without its data, which the event at `position` has; `version` is that event's in its stream."""

    created: int
    position: int
    version: int
    project: str
    counterpart: str
    partition: str


NUMBERS = 3
"""How many of a place's fields are numbers; the others are names."""

Index = dict[Key, Place]


@dataclass(frozen=True, slots=True)
class Reducer:
    """What events leave. Another `version` makes every snapshot anew: raise it with every change of `rows_of`.

    `row_per_stream` is as a ResourceTable's.
    """

    version: int
    rows_of: Callable[[RecordedEvent], Sequence[ResourceRow]]
    row_per_stream: bool = False


def fold(index: Index, events: Iterable[RecordedEvent], reducer: Reducer) -> None:
    """Takes events into an index, as the read table does that is written beside the log."""
    rows_of = reducer.rows_of
    each = last_of_streams(events) if reducer.row_per_stream else ((event, event.position) for event in events)
    for event, first in each:
        for row in rows_of(event):
            key = (row.kind, row.id)
            before = index.get(key)
            if row.live:
                created = first if before is None else before.created
                index[key] = Place(
                    created,
                    event.position,
                    event.version,
                    # Many resources are of one project: they share its name.
                    intern(row.project),
                    intern(row.counterpart),
                    intern(row.partition),
                )
            elif before is not None:
                del index[key]


def pack(index: Index) -> bytes:
    """The same bytes for equal indices."""
    rows = sorted((*key, place[:NUMBERS], place[NUMBERS:]) for key, place in index.items())
    return zlib.compress(json.dumps(rows).encode(), LEVEL)


def unpack(data: bytes) -> Index:
    """Raises ValueError for what `pack` did not make."""
    try:
        rows = json.loads(zlib.decompress(data))
        return {(intern(kind), id_): Place(*numbers, *map(intern, names)) for kind, id_, numbers, names in rows}
    except (zlib.error, TypeError) as error:
        raise ValueError(f"no snapshot: {error}") from error
