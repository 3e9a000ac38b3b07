"""From a refusal to a gRPC status: one table, and google.rpc details that programs can read."""

import secrets
from collections.abc import Callable
from contextvars import ContextVar

import grpc
import structlog
from google.protobuf import any_pb2
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2

from services.common import errors
from services.common.eventsourcing import store
from services.common.rpc.calls import Context

DOMAIN = "sidegate"
RETRY_AFTER_SECONDS = 1

CODES: dict[type[Exception], grpc.StatusCode] = {
    errors.Invalid: grpc.StatusCode.INVALID_ARGUMENT,
    errors.NotFound: grpc.StatusCode.NOT_FOUND,
    errors.AlreadyExists: grpc.StatusCode.ALREADY_EXISTS,
    errors.WrongState: grpc.StatusCode.FAILED_PRECONDITION,
    errors.QuotaReached: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.Outdated: grpc.StatusCode.ABORTED,
    errors.Forbidden: grpc.StatusCode.PERMISSION_DENIED,
    errors.Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    errors.Unavailable: grpc.StatusCode.UNAVAILABLE,
    errors.OutOfRange: grpc.StatusCode.OUT_OF_RANGE,
}

OnRefusal = Callable[[errors.Refused, grpc.StatusCode], None]

on_refusal: ContextVar[OnRefusal | None] = ContextVar("on_refusal", default=None)
"""Who hears of the refusal of the call that is being served, before its caller does."""

log = structlog.get_logger(__name__)


def refusal_of(error: Exception) -> errors.Refused | None:
    """The refusal that an error amounts to; None for what nobody expected."""
    match error:
        case errors.Refused():
            return error
        case store.Conflict():
            return errors.Outdated("CHANGED_MEANWHILE", "somebody else changed it at the same moment: read it again")
        case store.AlreadyClaimed(claim=claim):
            return errors.AlreadyExists("ALREADY_TAKEN", f"{claim.kind} is taken", metadata={"kind": claim.kind})
        case store.NotClaimed(claim=claim):
            return errors.WrongState("GONE_MEANWHILE", f"the {claim.kind} that this needs is not there any more")
        case store.LimitReached(count=count):
            return errors.QuotaReached("LIMIT_REACHED", f"the limit of {count.limit} {count.kind} is reached")
        case store.RequestReused():
            text = "this request_id has been used for another command: take a new one"
            return errors.Invalid("REQUEST_ID_REUSED", text, field="request_id")
        case store.OutcomeUnknown():
            text = "the database went away while this was written: repeat it with its request_id"
            return errors.Unavailable("OUTCOME_UNKNOWN", text)
        case store.Unavailable():
            return errors.Unavailable(
                "STORE_UNAVAILABLE", "the database is away or full: nothing was changed, try again"
            )
        case _:
            return None


def code_of(refusal: errors.Refused) -> grpc.StatusCode:
    return next(CODES[kind] for kind in type(refusal).__mro__ if kind in CODES)


def _details(refusal: errors.Refused) -> list[Message]:
    found: list[Message] = [
        error_details_pb2.ErrorInfo(reason=refusal.reason, domain=DOMAIN, metadata=refusal.metadata)
    ]
    if refusal.field:
        violation = error_details_pb2.BadRequest.FieldViolation(field=refusal.field, description=refusal.text)
        found.append(error_details_pb2.BadRequest(field_violations=[violation]))
    if refusal.blockers:
        violations = [
            error_details_pb2.PreconditionFailure.Violation(type="BLOCKER", subject=blocker, description="in the way")
            for blocker in refusal.blockers
        ]
        found.append(error_details_pb2.PreconditionFailure(violations=violations))
    if isinstance(refusal, errors.Unavailable):
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromSeconds(RETRY_AFTER_SECONDS)
        found.append(retry)
    return found


def _pack(message: Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed


def status_of(refusal: errors.Refused) -> status_pb2.Status:
    """The google.rpc.Status of a refusal, with its details."""
    code = code_pb2.Code.Value(code_of(refusal).name)
    return status_pb2.Status(code=code, message=refusal.text, details=[_pack(each) for each in _details(refusal)])


async def abort(context: Context, error: Exception) -> None:
    """Ends the call with the error's status. What nobody expected is logged under a number that the caller gets."""
    refusal = refusal_of(error)
    if refusal is None:
        number = secrets.token_hex(4)
        log.error("unexpected error", number=number, exc_info=error)
        await context.abort(grpc.StatusCode.INTERNAL, f"unexpected error {number}; the program's log says more")
    code, heard_by = code_of(refusal), on_refusal.get()
    if heard_by is not None:
        heard_by(refusal, code)
    trailing = (("grpc-status-details-bin", status_of(refusal).SerializeToString()),)
    await context.abort(code, refusal.text, trailing_metadata=trailing)
