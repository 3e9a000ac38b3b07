"""What has happened in the registry, in words: everything to operators, to projects what they watch."""

from collections.abc import Sequence

from google.protobuf.message import Message

from services.common.eventsourcing.store import RecordedEvent
from services.common.history.deeds import Happening
from services.common.watching.sight import OPERATORS, Sight
from services.registry.wire.sights import SEEN_BY_OWNERS, WORDS
from sidegate.api.events.v1.registry_events_pb2 import RegistryEvent

NAMES = ("name", "address", "account", "cell")
"""Fields by which people call a resource; the first that it has."""

IDS = ("id", "name", "cell")


def happenings_of(event: RecordedEvent) -> Sequence[Sight[Happening]]:
    stored = RegistryEvent.FromString(event.data)
    fact, kind = stored.WhichOneof("fact") or "", stored.WhichOneof("resource") or ""
    resource: Message | None = getattr(stored, kind) if kind else None
    stream_kind, _, stream_id = event.stream.partition("-")
    id_ = _first(resource, IDS) or stream_id
    told = Happening(WORDS.get(fact, fact), kind or stream_kind, id_, _first(resource, NAMES))
    audience = {OPERATORS}
    if fact in WORDS and kind in SEEN_BY_OWNERS and resource is not None:
        audience.add(f"{getattr(resource, 'account')}/{getattr(resource, 'project')}")  # noqa: B009
    return (Sight(frozenset(audience), told.kind, told.id, told),)


def _first(resource: Message | None, names: Sequence[str]) -> str:
    return next((str(said) for name in names if (said := getattr(resource, name, ""))), "")
