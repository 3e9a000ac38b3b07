"""What happened to a service and to its connections, from the logs' watches."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol, TypeVar

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from services.console.pages.chronicle import SAID
from services.console.pages.states import State, of
from services.console.pages.words import gettext
from services.console.pages.words import marked as _
from sidegate import errors
from sidegate.api.endpoint.v1.watch_pb2 import ConnectionChange
from sidegate.api.registry.v1.endpoint_service_pb2 import EndpointService
from sidegate.api.registry.v1.watch_pb2 import ResourceChange
from sidegate.client import Client
from sidegate.watching import Begin, Told, Watch

MOST = 200
LONGEST_SECONDS = 4.0
"""How long a log is read for one page."""

FIELDS: Mapping[str, str] = {
    "name": _("name"),
    "backends": _("backends"),
    "port_mappings": _("ports"),
    "approval_required": _("approval"),
    "description": _("description"),
    "tags": _("tags"),
    "client_identity": _("what backends learn of clients"),
    "approval_rules": _("approval rules"),
    "consumer_limits": _("limits"),
    "session_settings": _("sessions"),
    "health_check": _("health check"),
    "private_name": _("private name"),
}


class Answer(Told, Protocol):
    """Without changes it is a bookmark."""

    @property
    def changes(self) -> Sequence[object]: ...


T = TypeVar("T", bound=Answer)


@dataclass(frozen=True, slots=True)
class Happening:
    """`position` is that of the log; a connection's has its endpoint's id."""

    position: int
    time: Timestamp
    what: str
    detail: str
    state: State
    endpoint_id: str = ""
    whose: str = ""


async def happenings_of_service(client: Client, id_: str) -> Sequence[Happening]:
    """The service's own, newest first, so many of the newest."""
    found: deque[Happening] = deque(maxlen=MOST)
    before: EndpointService | None = None
    async for told in _past(lambda begin: client.services.watch(id=id_, after=begin)):
        for change in told.changes:
            found.append(_of_service(change, before))
            before = change.service
    return _newest_first(found)


async def happenings_of_connections(client: Client, id_: str, endpoint_id: str = "") -> Sequence[Happening]:
    """Those of all of the service's connections, or of the one."""
    found: deque[Happening] = deque(maxlen=MOST)
    async for told in _past(
        lambda begin: client.connections.watch(service_id=id_, endpoint_id=endpoint_id, after=begin)
    ):
        found.extend(map(_of_connection, told.changes))
    return _newest_first(found)


async def happenings_of_connection(client: Client, id_: str, endpoint_id: str) -> Sequence[Happening]:
    """None where too much is watched: the rest of the page is worth more."""
    with suppress(errors.QuotaReached, errors.Unavailable):
        return await happenings_of_connections(client, id_, endpoint_id)
    return []


async def _past(watch: Callable[[Begin], Watch[T]]) -> AsyncIterator[T]:
    """What was, up to now; of a log that takes too long to read, its beginning."""
    async with watch(None) as now:
        end = (await anext(now)).position
    with suppress(TimeoutError):
        async with watch(0) as past, asyncio.timeout(LONGEST_SECONDS):
            yield await anext(past)  # where it begins
            async for told in past:
                yield told
                if told.position >= end or not told.changes:
                    return


def _of_service(change: ResourceChange, before: EndpointService | None) -> Happening:
    others = [gettext(FIELDS[name]) for name in _others(before, change.service)] if change.what == "changed" else []
    return Happening(
        change.position, change.time, said(change.what), ", ".join(others) or change.service.failure, of(change.service)
    )


def said(what: str) -> str:
    return gettext(SAID[what]) if what in SAID else what


def _others(before: EndpointService | None, after: EndpointService) -> Sequence[str]:
    """Names of fields that are another than before."""
    if before is None:
        return []
    return [name for name in FIELDS if _shown(before, name) != _shown(after, name)]


def _shown(service: EndpointService, name: str) -> object:
    value = getattr(service, name)
    return value if isinstance(value, Message | str | bool | int) else list(value)


def _of_connection(change: ConnectionChange) -> Happening:
    connection = change.connection
    detail = connection.note if change.what == "noted" else connection.rejection
    whose = f"{connection.account} · {connection.marker_id}"
    return Happening(
        change.position, change.time, said(change.what), detail, of(connection), connection.endpoint_id, whose
    )


def _newest_first(found: deque[Happening]) -> Sequence[Happening]:
    return list(reversed(found))
