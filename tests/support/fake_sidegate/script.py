"""Refusals that a test has asked for, and a record of every call."""

from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.message import Message
from google.rpc import status_pb2


def status(code: grpc.StatusCode, text: str, *details: Message) -> grpc.Status:
    """A gRPC status with google.rpc details."""
    packed = []
    for detail in details:
        packed.append(Packed())
        packed[-1].Pack(detail)
    number, _ = code.value
    whole = status_pb2.Status(code=number, message=text, details=packed)
    return Refusal(code, text, (("grpc-status-details-bin", whole.SerializeToString()),))


@dataclass(frozen=True)
class Refusal(grpc.Status):
    code: grpc.StatusCode
    details: str
    trailing_metadata: tuple[tuple[str, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class Call:
    method: str
    metadata: Mapping[str, str]


class Script(grpc.aio.ServerInterceptor):
    """Writes down every call; refuses those for which a refusal is waiting, once for each."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.refusals: dict[str, deque[grpc.Status]] = defaultdict(deque)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        method = str(handler_call_details.method).rpartition("/")[2]
        metadata = {str(key): str(value) for key, value in handler_call_details.invocation_metadata or ()}
        if method != "IssueToken":
            self.calls.append(Call(method, metadata))
        if not self.refusals[method]:
            return await continuation(handler_call_details)
        refusal = self.refusals[method].popleft()

        async def refuse(_: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> None:
            await context.abort_with_status(refusal)

        return grpc.unary_unary_rpc_method_handler(refuse)
