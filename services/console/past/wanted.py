"""What a page's address says that is wanted of the past: moments, filters, places in a list."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from services.console.pages.problems import Problem, at_fault
from services.console.pages.words import gettext as _
from services.console.past.deeds import DONE, REFUSED, Wanted
from services.console.sessions.session import Session
from sidegate.resources.history import Sought

ISO = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d(?::\d\d)?)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)?")
SECOND = 1_000_000_000


class NoMoment(ValueError):
    """What was given is no moment."""


def moment_of(text: str) -> Timestamp | None:
    """A moment as browsers and our pages write it, to the nanosecond; UTC where no zone is named. Raises NoMoment."""
    if not text:
        return None
    if not (found := ISO.fullmatch(text)):
        raise NoMoment(text)
    day, clock, fraction, zone = found.groups()
    try:
        at = datetime.fromisoformat(f"{day}T{clock}{(zone or 'Z').replace('Z', '+00:00')}").astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise NoMoment(text) from error
    made = Timestamp()
    made.FromDatetime(at)
    made.nanos = int((fraction or "").ljust(9, "0"))
    return made


def text_of(time: Timestamp) -> str:
    """To the nanosecond: what moment_of reads."""
    return f"{datetime.fromtimestamp(time.seconds, UTC):%Y-%m-%dT%H:%M:%S}.{time.nanos:09d}Z"


def at_nanoseconds(number: int) -> Timestamp:
    made = Timestamp()
    made.FromNanoseconds(number)
    return made


def no_moment(field: str) -> Problem:
    return at_fault(field, _("This is no moment: give a date and a time, such as 2026-11-23 08:30:00."))


def wanted_of(session: Session, query: Mapping[str, str]) -> tuple[Wanted, Problem | None]:
    """Filters of the timeline; what cannot be read is left out, and said."""
    problem, moments = None, dict[str, Timestamp | None]()
    for field in ("start", "end"):
        try:
            moments[field] = moment_of(query.get(field, ""))
        except NoMoment:
            problem, moments[field] = no_moment(field), None
    sought = Sought(
        actor=query.get("actor", "").strip()[:63],
        kind=query.get("kind", "")[:32],
        id=query.get("id", "").strip()[:128],
        start=moments["start"],
        end=moments["end"],
        owner=owner_of(session),
    )
    result = query.get("result", "")
    everything = not session.is_tenant
    return Wanted(sought, result if everything and result in (DONE, REFUSED) else "", everything), problem


def owner_of(session: Session) -> str:
    """Whose past it is: a project's; everybody's, which is empty, for the operator that acts for nobody."""
    return f"{session.account}/{session.project}" if session.is_tenant else ""
