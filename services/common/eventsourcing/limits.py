"""What no store may keep, for it would stop those who read the log."""

from collections.abc import Iterator

from services.common.eventsourcing.store import MAX_EVENT_BYTES, MAX_EVENTS, Append, Claim, Count, NewEvent

MAX_TIME = 2**63


def can_be_kept(text: str) -> bool:
    """Whether a name is one that a log may have. Databases differ over others, so none is asked for them."""
    return text.isprintable()


def require_limits(append: Append) -> None:
    """Raises ValueError, which names what is at fault."""
    for text in _names(append):
        if not can_be_kept(text):
            raise ValueError(f"{text!r} is no name that a log can keep")
    if not append.stream or not all(event.type for event in append.events):
        raise ValueError(f"{append.stream!r} or the type of an event has no name")
    if not 0 <= append.at < MAX_TIME:
        raise ValueError(f"{append.at} is no time in nanoseconds since the epoch")
    if len(append.events) > MAX_EVENTS:
        raise ValueError(f"{append.stream} would get {len(append.events)} events at once, of {MAX_EVENTS} at most")
    for event in append.events:
        _require_size(append, event)


def _require_size(append: Append, event: NewEvent) -> None:
    size = len(event.data) + len(append.meta)
    if size > MAX_EVENT_BYTES:
        raise ValueError(f"{event.type} of {append.stream} has {size} bytes, of {MAX_EVENT_BYTES} at most")


def _names(append: Append) -> Iterator[str]:
    yield append.stream
    yield append.partition
    for event in append.events:
        yield event.type
    constraints = append.constraints
    claims = constraints.releases + constraints.requires + constraints.claims
    keyed: tuple[Claim | Count, ...] = (*claims, *constraints.counts)
    for named in keyed:
        yield named.kind
        yield named.key
    if append.request is not None:
        key = append.request.key
        yield from (key.account, key.project, key.method, key.request_id)
