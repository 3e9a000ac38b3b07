"""From a call to the context of a command: who, when, which request, from which version."""

import hashlib
from collections.abc import Callable

from google.protobuf.message import Message

from services.common.clock import now
from services.common.errors import Invalid
from services.common.eventsourcing.context import CommandContext
from services.common.eventsourcing.limits import can_be_kept
from services.common.rpc.auth import principal
from sidegate import tracing


def expected_version(etag: str) -> int | None:
    """The version that an etag stands for; None for an empty one."""
    if not etag:
        return None
    if not etag.isdecimal():
        raise Invalid("ETAG_INVALID", f"'{etag}' is no etag of ours: give back the one that was read", field="etag")
    return int(etag)


def command_hash(request: Message) -> bytes:
    """Tells a retry from another command: all of the request but its id."""
    copy = type(request)()
    copy.CopyFrom(request)
    copy.ClearField("request_id")
    return hashlib.sha256(copy.SerializeToString(deterministic=True)).digest()


def command_context(request: Message, method: str, etag: str = "", clock: Callable[[], int] = now) -> CommandContext:
    return CommandContext(
        principal=principal(),
        at_ns=clock(),
        request_id=_request_id(request),
        method=method,
        command_hash=command_hash(request) if hasattr(request, "request_id") else b"",
        expected_version=expected_version(etag),
        traceparent=tracing.current(),
        validate_only=bool(getattr(request, "validate_only", False)),
    )


def _request_id(request: Message) -> str:
    id_ = str(getattr(request, "request_id", ""))
    if not can_be_kept(id_):
        raise Invalid("FIELD_INVALID", "request_id: has a character that cannot be printed", field="request_id")
    return id_
