"""Claims and counters, made anew from the events alone."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import reduce
from itertools import groupby
from operator import attrgetter

from services.common.eventsourcing.holdings import Holdings, both
from services.common.eventsourcing.store import Constraints, RecordedEvent


def rebuild_holdings(events: Iterable[RecordedEvent], meaning: Callable[[RecordedEvent], Constraints]) -> Holdings:
    """What a log leaves claimed and counted. `meaning` is called once per event, in the log's order.

    Limits and requirements are not asked again: they were a matter of the moment. Raises AlreadyClaimed for a log in
    which two streams hold one claim.
    """
    holdings = Holdings()
    for stream, run in groupby(events, key=attrgetter("stream")):
        # As one, for they may be of one append, in which what was claimed and released again was not asked for.
        holdings.apply(stream, _without_conditions(reduce(both, map(meaning, run))))
    return holdings


def _without_conditions(constraints: Constraints) -> Constraints:
    counts = tuple(replace(count, limit=None) for count in constraints.counts)
    return replace(constraints, requires=(), counts=counts)
