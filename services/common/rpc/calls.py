"""Types of gRPC calls: grpc's classes take parameters for the type checker only, not when the program runs."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

import grpc

Q = TypeVar("Q")
A = TypeVar("A")

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[Any, Any]
    Handler = grpc.RpcMethodHandler[Q, A] | None
    Continuation = Callable[[grpc.HandlerCallDetails], Awaitable[Handler[Q, A]]]
else:
    Context = grpc.aio.ServicerContext
    Handler = dict[Q, A]
    Continuation = dict[Q, A]


Unary = Callable[[object, Context], Awaitable[object]]
Stream = Callable[[object, Context], AsyncIterator[object]]


def wrapped(
    handler: Handler[Q, A], unary: Callable[[Unary], Unary], stream: Callable[[Stream], Stream]
) -> Handler[Q, A]:
    """The handler of a method, if there is one, with something around the method."""
    if handler is None:
        return None
    # The stubs describe the synchronous server's handlers; the asynchronous one's have coroutines in their place.
    coding = (handler.request_deserializer, handler.response_serializer)
    if handler.response_streaming:
        streaming = stream(cast("Stream", handler.unary_stream))
        return grpc.unary_stream_rpc_method_handler(cast("Any", streaming), *coding)
    answering = unary(cast("Unary", handler.unary_unary))
    return grpc.unary_unary_rpc_method_handler(cast("Any", answering), *coding)
