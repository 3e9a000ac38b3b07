"""What happened to one thing, from a watch of it that begins as far back as anything is told of."""

from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Protocol

from google.protobuf.timestamp_pb2 import Timestamp

from services.console.pages.words import gettext
from services.console.pages.words import marked as _
from sidegate import errors
from sidegate.watching import Watch

MOST = 100
"""The newest are kept."""

SAID: Mapping[str, str] = {
    "created": _("Created"),
    "changed": _("Changed"),
    "deleted": _("Deleted"),
    "reserved": _("Address reserved"),
    "released": _("Address released"),
    "opened": _("Opened"),
    "permissions_added": _("Permissions added"),
    "permissions_removed": _("Permissions removed"),
    "closed": _("Closed"),
    "reopened": _("Opened again"),
    "deletion_started": _("Deletion begun"),
    "failed": _("Failed"),
    "requested": _("Requested"),
    "approved": _("Approved"),
    "rejected": _("Rejected by the service's owner"),
    "activated": _("Accepted: gateways may let packets pass"),
    "noted": _("Note changed"),
    "deletion_requested": _("Deletion requested"),
    "drained": _("Sessions have ended"),
    "resolver_set": _("Resolver set"),
    "resolver_deleted": _("Resolver deleted"),
    "private_name_verified": _("Private name verified"),
}
"""By what watches call it."""


class Change(Protocol):
    """What a change of each watch has."""

    what: str

    @property
    def position(self) -> int: ...

    @property
    def time(self) -> Timestamp: ...


class Told(Protocol):
    """What an answer of each watch has; one without changes is a bookmark: all that was is told."""

    position: int
    log_id: str
    epoch: int

    @property
    def changes(self) -> Sequence[Change]: ...


@dataclass(frozen=True, slots=True)
class Happened:
    """`position` is one of the log of its kind."""

    what: str
    time: Timestamp
    position: int

    @property
    def said(self) -> str:
        return gettext(SAID[self.what]) if self.what in SAID else self.what


async def happened(watch: Watch[Told]) -> Sequence[Happened]:
    """The newest first, of a watch that begins at 0; of what is not told any more, nothing.

    Raises SidegateError where there is no answer at all.
    """
    newest: deque[Happened] = deque(maxlen=MOST)
    try:
        async with aclosing(watch):
            await anext(watch)  # where it begins
            async for told in watch:
                if not told.changes:
                    break
                newest.extend(Happened(each.what, each.time, each.position) for each in told.changes)
    except errors.OutOfRange:
        return ()
    return tuple(reversed(newest))
