"""What has happened to an endpoint, and since when it is what it is."""

from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from google.protobuf.timestamp_pb2 import Timestamp

from services.console.pages.chronicle import MOST, SAID
from services.console.pages.words import gettext
from services.console.pages.words import marked as _
from services.console.sessions.session import Session
from sidegate import errors
from sidegate.api.endpoint.v1.endpoint_pb2 import Endpoint
from sidegate.api.endpoint.v1.watch_pb2 import EndpointChange
from sidegate.client import Client

MOST_KEPT = 200

SHOWN: Mapping[str, str] = {
    "name": _("name"),
    "description": _("description"),
    "tags": _("tags"),
    "allowed_cidrs": _("whitelist"),
    "whitelist": _("whitelist"),
    "policy": _("policy"),
    "dns_enabled": _("DNS"),
    "route_tables": _("route tables"),
}
"""Fields whose change is told by name."""

TURNS = frozenset({"requested", "approved", "rejected", "activated", "deletion_requested", "failed"})
"""What begins a state, and not only changes what is said of the endpoint."""


@dataclass(frozen=True, slots=True)
class Event:
    """`said` is in the language of the moment."""

    what: str
    time: Timestamp
    said: str


async def changes_of(client: Client, id_: str) -> Sequence[EndpointChange]:
    """The newest of those that are still told, in order; of an endpoint that is gone, too. Raises SidegateError."""
    newest: deque[EndpointChange] = deque(maxlen=MOST)
    try:
        async with aclosing(client.endpoints.watch(id=id_, after=0)) as watch:
            await anext(watch)  # where it begins
            async for told in watch:
                if not told.changes:
                    break
                newest.extend(told.changes)
    except errors.OutOfRange:
        return ()
    return tuple(newest)


async def since(session: Session, endpoint: Endpoint) -> Timestamp:
    """When the state began that the endpoint is in. Read once for each of its versions: pages ask every two seconds."""
    kept = session.kept.setdefault("endpoint states", OrderedDict())
    assert isinstance(kept, OrderedDict)  # noqa: S101 # it was put there above
    key = (endpoint.id, endpoint.state, endpoint.etag)
    if key not in kept:
        kept[key] = began(endpoint, await changes_of(session.client, endpoint.id))
        while len(kept) > MOST_KEPT:
            kept.popitem(last=False)
    found = kept[key]
    assert isinstance(found, Timestamp)  # noqa: S101 # it was put there above
    return found


def began(endpoint: Endpoint, changes: Sequence[EndpointChange]) -> Timestamp:
    """When it last changed, where what has happened does not say."""
    turns = (each for each in reversed(changes) if each.what in TURNS and each.endpoint.state == endpoint.state)
    return next((each.time for each in turns), endpoint.update_time)


def events(changes: Sequence[EndpointChange]) -> Sequence[Event]:
    """The newest first."""
    before: Sequence[EndpointChange | None] = (None, *changes)
    pairs = zip(changes, before, strict=False)
    return [Event(now.what, now.time, _happened(now, then)) for now, then in pairs][::-1]


def _happened(now: EndpointChange, then: EndpointChange | None) -> str:
    what = gettext(SAID[now.what]) if now.what in SAID else now.what
    if now.what != "changed" or then is None:
        return what
    others = [word for name, word in SHOWN.items() if getattr(now.endpoint, name) != getattr(then.endpoint, name)]
    return f"{what}: {', '.join(gettext(word) for word in dict.fromkeys(others))}" if others else what
