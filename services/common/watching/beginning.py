"""Where a watch begins, or why it cannot. Pure."""

from dataclasses import dataclass

from services.common.errors import OutOfRange, WrongState
from services.common.eventsourcing.store import Head


@dataclass(frozen=True, slots=True)
class Place:
    """A position of a log, as the one who resumes knows it. None is from now on, 0 from the oldest that is told."""

    after: int | None = None
    log_id: str = ""
    epoch: int = 0


def beginning(place: Place, head: Head, history: int) -> int:
    """The position after which is told; `history` is how many events back from the head are."""
    require_same_log(place, head)
    floor = max(0, head.position - history)
    if place.after is None:
        return head.position
    if place.after > head.position:
        text = f"the log is at {head.position}, not yet at {place.after}: it was restored; list again"
        raise OutOfRange("POSITION_AHEAD", text, metadata={"position": str(head.position)})
    if 0 < place.after < floor:
        text = f"changes are told from position {floor + 1} on: list again, and watch from now on"
        raise OutOfRange("COMPACTED", text, metadata={"oldest": str(floor + 1)})
    return max(place.after, floor)


def require_same_log(place: Place, head: Head) -> None:
    """Raises WrongState where the place is not one of this log."""
    if place.log_id in ("", head.log_id) and place.epoch in (0, head.epoch):
        return
    text = f"the log is now {head.log_id}, epoch {head.epoch}: list again, and watch from now on"
    raise WrongState("LOG_CHANGED", text, metadata={"log_id": head.log_id, "epoch": str(head.epoch)})
