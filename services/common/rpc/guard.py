"""What stands before every method: the request's limits, a deadline, and errors that programs can read."""

import asyncio
from collections.abc import AsyncIterator, Collection

import grpc
import protovalidate
from google.protobuf.message import Message

from services.common.errors import Invalid
from services.common.rpc.auth import OPEN_TO_ALL
from services.common.rpc.calls import A, Context, Continuation, Handler, Q, Stream, Unary, wrapped
from services.common.rpc.errors import abort

DEFAULT_DEADLINE = 5.0
LONGEST_DEADLINE = 30.0


def _path(violation: protovalidate.Violation) -> str:
    elements = violation.proto.field.elements if violation.proto.field else []
    return ".".join(each.field_name + (f"[{each.subscript.value}]" if each.subscript else "") for each in elements)


def check(request: object) -> None:
    """Raises Invalid for the first field of a request that breaks the contract's limits."""
    assert isinstance(request, Message)  # noqa: S101 # every method of ours takes a message
    try:
        protovalidate.validate(request)
    except protovalidate.ValidationError as error:
        first = error.violations[0]
        field = _path(first)
        raise Invalid("FIELD_INVALID", f"{field}: {first.proto.message}", field=field) from None


def check_changed(resource: Message, paths: Collection[str], name: str) -> None:
    """The same of the fields of a resource that are to change: the others are not what the caller means.

    `name` is what the request calls the resource.
    """
    for violation in protovalidate.collect_violations(resource):
        path = _path(violation)
        if path.partition(".")[0].partition("[")[0] in paths:
            field = f"{name}.{path}"
            raise Invalid("FIELD_INVALID", f"{field}: {violation.proto.message}", field=field)


def _deadline(context: Context) -> float:
    remaining = context.time_remaining()
    return DEFAULT_DEADLINE if remaining is None else min(remaining, LONGEST_DEADLINE)


def _guard_unary(method: Unary) -> Unary:
    async def guarded(request: object, context: Context) -> object:
        try:
            check(request)
            async with asyncio.timeout(_deadline(context)):
                return await method(request, context)
        except TimeoutError:
            await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "this took too long; repeat it with its request_id")
        except grpc.aio.AbortError:
            raise
        except Exception as error:  # the edge of the program: every error becomes a status
            await abort(context, error)
        return None

    return guarded


def _guard_stream(method: Stream) -> Stream:
    async def guarded(request: object, context: Context) -> AsyncIterator[object]:
        try:
            check(request)
            async for response in method(request, context):
                yield response
        except grpc.aio.AbortError:
            raise
        except Exception as error:  # the edge of the program: every error becomes a status
            await abort(context, error)

    return guarded


class Guard(grpc.aio.ServerInterceptor):
    """Wraps each method of ours; health and reflection have their own manners."""

    async def intercept_service(
        self, continuation: Continuation[Q, A], details: grpc.HandlerCallDetails
    ) -> Handler[Q, A]:
        handler = await continuation(details)
        if str(details.method).startswith(OPEN_TO_ALL):
            return handler
        return wrapped(handler, _guard_unary, _guard_stream)
