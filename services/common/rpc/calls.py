"""Types of gRPC calls: grpc's classes take parameters for the type checker only, not when the program runs."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

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
