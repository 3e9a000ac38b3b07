"""What a call to Sidegate can fail with: one tree, made from gRPC's status and its google.rpc details.

SidegateError
├── InvalidRequest     a field is malformed or out of its limits: `field` names it
├── NotFound           not there, or not for the caller: the two look the same
├── AlreadyExists      a name, address or target is taken
├── WrongState         right command, wrong moment; `blockers` names what stands in the way
├── QuotaReached       a limit of the project's
├── Outdated           the resource has changed since its etag was read
├── Forbidden          the caller's account may not do this at all
├── Unauthenticated    nobody said who asks
├── OutOfRange         a position that is not there
├── Unavailable        something needed is away: try again after `retry_after`
│   └── TimedOut       no answer in time: whether it was done is unknown; repeat it with the same request id
└── Unexpected         a fault of the server's, or of something that is no Sidegate
"""

from collections.abc import Mapping, Sequence
from typing import TypeVar

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2

DETAILS_KEY = "grpc-status-details-bin"

M = TypeVar("M", bound=Message)


class SidegateError(Exception):
    """A call that failed.

    `reason` is a constant in UPPER_SNAKE_CASE for programs, the text is for people. `field` is the path of the field
    at fault, `blockers` are the ids in the way, `retry_after` is in seconds (None where the server does not say).
    """

    def __init__(
        self,
        text: str,
        *,
        reason: str = "",
        field: str = "",
        metadata: Mapping[str, str] | None = None,
        blockers: Sequence[str] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(text)
        self.text, self.reason, self.field = text, reason, field
        self.metadata = dict(metadata or {})
        self.blockers = tuple(blockers)
        self.retry_after = retry_after


class InvalidRequest(SidegateError):
    pass


class NotFound(SidegateError):
    pass


class AlreadyExists(SidegateError):
    pass


class WrongState(SidegateError):
    pass


class QuotaReached(SidegateError):
    pass


class Outdated(SidegateError):
    pass


class Forbidden(SidegateError):
    pass


class Unauthenticated(SidegateError):
    pass


class OutOfRange(SidegateError):
    pass


class Unavailable(SidegateError):
    pass


class TimedOut(Unavailable):
    pass


class Unexpected(SidegateError):
    pass


KINDS: Mapping[grpc.StatusCode, type[SidegateError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidRequest,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.ALREADY_EXISTS: AlreadyExists,
    grpc.StatusCode.FAILED_PRECONDITION: WrongState,
    grpc.StatusCode.RESOURCE_EXHAUSTED: QuotaReached,
    grpc.StatusCode.ABORTED: Outdated,
    grpc.StatusCode.PERMISSION_DENIED: Forbidden,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.OUT_OF_RANGE: OutOfRange,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: TimedOut,
    # Who cancels a call of his own is not told so: the other side has given it up, at its deadline or as it ended.
    grpc.StatusCode.CANCELLED: TimedOut,
}

CLOSED = "CLOSED"
"""The reason of Unavailable where it is the client itself that was closed."""

# Where nothing of ours has answered, gRPC's own words say less than the address.
SILENCE: Mapping[type[SidegateError], str] = {
    Unavailable: "no answer from {address}",
    TimedOut: "no answer from {address} in time",
    Unexpected: "{address} failed: {text}",
}


def of(error: grpc.aio.AioRpcError, address: str) -> SidegateError:
    """The failure that a gRPC error is; the details that it does not carry stay empty."""
    kind = KINDS.get(error.code(), Unexpected)
    status = _status(error)
    info = _detail(status, error_details_pb2.ErrorInfo)
    fields = _detail(status, error_details_pb2.BadRequest).field_violations
    violations = _detail(status, error_details_pb2.PreconditionFailure).violations
    retry = _detail(status, error_details_pb2.RetryInfo)
    text = error.details() or error.code().name
    return kind(
        text if info.reason else SILENCE.get(kind, "{text}").format(address=address, text=text),
        reason=info.reason or error.code().name,
        field=fields[0].field if fields else "",
        metadata=info.metadata,
        blockers=[violation.subject for violation in violations],
        retry_after=retry.retry_delay.ToTimedelta().total_seconds() if retry.HasField("retry_delay") else None,
    )


def _status(error: grpc.aio.AioRpcError) -> status_pb2.Status:
    """The google.rpc.Status among the trailers. A malformed one counts as none: it must not hide the failure itself."""
    packed = dict(error.trailing_metadata() or ()).get(DETAILS_KEY, b"")
    try:
        return status_pb2.Status.FromString(packed if isinstance(packed, bytes) else b"")
    except DecodeError:
        return status_pb2.Status()


def _detail(status: status_pb2.Status, kind: type[M]) -> M:
    found = kind()
    any(packed.Unpack(found) for packed in status.details if packed.Is(kind.DESCRIPTOR))
    return found
