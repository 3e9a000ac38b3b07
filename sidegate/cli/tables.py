"""Resources as tables: which columns each kind has."""

from collections.abc import Callable, Mapping, Sequence

from google.protobuf.message import Message
from rich.console import RenderableType

from sidegate.api.endpoint.v1.endpoint_service_pb2 import DecidedConnection
from sidegate.api.registry.v1.vpc_pb2 import Attachment, DefaultAttachment
from sidegate.cli import facts, words
from sidegate.cli.outcome import Exit
from sidegate.cli.view import View, sheet, table

Column = str | Callable[[Message], str]


def _service_name(endpoint: Message) -> str:
    """The name within "<region>.<name>.<id>"."""
    region_name_id = words.field(endpoint, "service_full_name").split(".")
    return region_name_id[1] if len(region_name_id) == 3 else words.field(endpoint, "service")


def _address(endpoint: Message) -> str:
    """Its address, or where its routes lead."""
    return words.field(endpoint, "address") or words.field(endpoint, "public_prefixes")


def _reaches(attachment: Message) -> str:
    return words.target_of(attachment) if isinstance(attachment, Attachment | DefaultAttachment) else ""


def _of_connection(decided: Message, name: str) -> str:
    """A field of the connection that was decided on; empty where it was refused."""
    return (
        words.field(decided.connection, name) if isinstance(decided, DecidedConnection) and not decided.reason else ""
    )


COLUMNS: Mapping[str, Mapping[str, Column]] = {
    "Account": {"name": "name", "projects": "projects", "created": "create_time"},
    "AccessKey": {
        "id": "id",
        "account": "account",
        "project": "project",
        "role": "role",
        "created": "create_time",
        "rotated": "rotate_time",
        "revoked": "revoke_time",
    },
    "EventsCredential": {
        "id": "id",
        "account": "account",
        "project": "project",
        "created": "create_time",
        "expires": "expire_time",
        "revoked": "revoke_time",
    },
    "Vpc": {"id": "id", "name": "name", "cidrs": "cidrs", "created": "create_time"},
    "Subnet": {"id": "id", "name": "name", "cidr": "cidr", "vpc": "vpc_id"},
    "RouteTable": {
        "id": "id",
        "name": "name",
        "vpc": "vpc_id",
        "subnets": "subnet_ids",
        "default": "by_default",
        "created": "create_time",
    },
    "Port": {"id": "id", "address": "address", "holder": "holder", "subnet": "subnet_id"},
    "Attachment": {"id": "id", "vpc": "vpc_id", "cell": "cell", "reaches": _reaches, "by default": "by_default"},
    "DefaultAttachment": {"cell": "cell", "reaches": _reaches, "set": "update_time"},
    "EndpointService": {
        "id": "id",
        "name": "name",
        "ports": "port_mappings",
        "backends": "backends",
        "approval": "approval_required",
        "state": "state",
    },
    "ConnectableService": {"full name": "full_name", "ports": "port_mappings", "approval": "approval_required"},
    "Connection": {
        "endpoint": "endpoint_id",
        "account": "account",
        "marker": "marker_id",
        "state": "state",
        "requested": "create_time",
    },
    "DecidedConnection": {
        "endpoint": "endpoint_id",
        "account": lambda decided: _of_connection(decided, "account"),
        "state": lambda decided: _of_connection(decided, "state"),
        "refused": "message",
    },
    "Endpoint": {
        "id": "id",
        "name": "name",
        "service": _service_name,
        "address": _address,
        "state": "state",
        "ready": "ready",
    },
}


def resource(message: Message, code: Exit = Exit.OK) -> View:
    """One resource, whole."""
    return View(facts.of(message), lambda _: sheet(_every_field(message)), code)


def gone(kind: str, id: str) -> View:
    """Word that a resource is deleted, where no state of it is left."""
    return View({"id": id, "state": "deleted"}, lambda _: f"{kind} {id} is deleted")


def listing(messages: Sequence[Message], none: str) -> View:
    """Resources of one kind; `none` is what to say where there are none."""
    return View(
        [facts.of(message) for message in messages],
        lambda wide: _listed(messages, wide) if messages else None,
        remark="" if messages else none,
    )


def _listed(messages: Sequence[Message], wide: bool) -> RenderableType:
    rows = [_every_field(message) if wide else _columns(message) for message in messages]
    return table(list(rows[0]), [list(row.values()) for row in rows])


def _columns(message: Message) -> dict[str, str]:
    chosen = COLUMNS[message.DESCRIPTOR.name]
    return {
        title: words.field(message, column) if isinstance(column, str) else column(message)
        for title, column in chosen.items()
    }


def _every_field(message: Message) -> dict[str, str]:
    return {field.name.replace("_", " "): words.field(message, field.name) for field in message.DESCRIPTOR.fields}
