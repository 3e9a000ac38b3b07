"""What happens to resources, as lines: when, what, to which, and the resource after it."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from google.protobuf.message import Message

from sidegate.api.endpoint.v1.watch_pb2 import (
    ConnectionChange,
    EndpointChange,
    WatchConnectionsResponse,
    WatchEndpointsResponse,
)
from sidegate.api.registry.v1.watch_pb2 import ResourceChange, WatchResponse
from sidegate.cli import facts, words
from sidegate.cli.streaming import Interruptions, Line, Running, lines_of
from sidegate.watching import Watch

Change = ResourceChange | EndpointChange | ConnectionChange
T = TypeVar("T", WatchResponse, WatchEndpointsResponse, WatchConnectionsResponse)

TITLES: Mapping[str, int] = {"time": 19, "what": 18, "id": 36, "name": 16, "state": 17}
MORE: Mapping[str, int] = {"position": 8, "about": 0}

ABOUT: Mapping[str, Sequence[str]] = {
    "Endpoint": ("address", "service_full_name"),
    "Connection": ("account", "marker_id"),
    "EndpointService": ("port_mappings", "backends"),
}


def running(what: str, watch: Callable[[Interruptions], Watch[T]]) -> Running:
    """A watch, as lines."""
    return Running(TITLES, lines_of(what, watch, lambda answer: [line(change) for change in answer.changes]), MORE)


def line(change: Change) -> Line:
    """A change as a watch tells it, whatever it is of."""
    resource = resource_of(change)
    kind = resource.DESCRIPTOR.name
    id = "endpoint_id" if kind == "Connection" else "id"
    name = "account" if kind == "Connection" else "name"
    cells = (
        words.of(change.time),
        words.of(change.what.replace("_", " ")),
        *(words.field(resource, field) for field in (id, name)),
        "deleted" if change.deleted else words.field(resource, "state"),
    )
    about = " ".join(words.field(resource, field) for field in ABOUT[kind])
    return Line(facts.of(change), cells, (str(change.position), about))


def resource_of(change: Message) -> Message:
    """The one message of a change that is a resource of ours."""
    found: Message = next(value for field, value in change.ListFields() if field.message_type and field.name != "time")
    return found
