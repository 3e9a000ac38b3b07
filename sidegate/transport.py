"""How calls are made: who asks, deadlines, retries that are safe, page after page."""

import json
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Protocol, TypeVar

import grpc

from sidegate import conditions, errors, tracing

DEFAULT_TIMEOUT_SECONDS = 5.0
LONGEST_TIMEOUT_SECONDS = 30.0
PAGE_SIZE = 200
LARGEST_ANSWER_BYTES = 256 * 1024 * 1024  # the whole table of a gateway comes in one

# Only what was certainly not answered is tried again; a request id makes that safe for writes too.
RETRIES = {
    "methodConfig": [
        {
            "name": [{}],
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.1s",
                "maxBackoff": "1s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ]
}
OPTIONS = (
    ("grpc.service_config", json.dumps(RETRIES)),
    ("grpc.max_receive_message_length", LARGEST_ANSWER_BYTES),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    # Left to itself, a channel looks for a program that was away for long only every two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # An address is dialled as it stands: a proxy for the web is not one for the control plane.
    ("grpc.enable_http_proxy", 0),
)

Metadata = tuple[tuple[str, str], ...]

Q = TypeVar("Q")
R = TypeVar("R")


class Write(Protocol):
    """A request that changes something: repeated with the same id it gives the first answer again."""

    request_id: str


class PageRequest(Protocol):
    page_size: int
    page_token: str


class Page(Protocol):
    next_page_token: str


W = TypeVar("W", bound=Write)
PQ = TypeVar("PQ", bound=PageRequest)
P = TypeVar("P", bound=Page)


class Access(Protocol):
    """How a caller is let in: what TLS is told, and what each call says."""

    @property
    def credentials(self) -> grpc.ChannelCredentials | None:
        """What the channel is secured with; None for a unix socket, which needs nothing."""

    async def metadata(self) -> Metadata:
        """What proves who asks. Raises SidegateError."""

    def refused(self) -> bool:
        """Told that the proof was refused: whether another may be had, so that the call is worth repeating."""


def channel_to(address: str, credentials: grpc.ChannelCredentials | None) -> grpc.aio.Channel:
    if credentials is None:
        return grpc.aio.insecure_channel(address, options=OPTIONS)
    return grpc.aio.secure_channel(address, credentials, options=OPTIONS)


class Caller:
    """A channel to one program ("host:port" or "unix:/path"), and how its calls are let in.

    A program that calls for many has one channel for all of them, and gives it.
    """

    def __init__(
        self,
        address: str,
        access: Access,
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
        channel: grpc.aio.Channel | None = None,
    ) -> None:
        self.channel = channel or channel_to(address, access.credentials)
        self._address, self._access, self._timeout = address, access, timeout

    async def ask(self, method: grpc.aio.UnaryUnaryMultiCallable[Q, R], request: Q, within: float | None = None) -> R:
        """One request, one answer, within as many seconds (the default where None; 30 at most)."""
        deadline = min(within or self._timeout, LONGEST_TIMEOUT_SECONDS)
        try:
            return await method(request, timeout=deadline, metadata=await self._said())
        except grpc.aio.AioRpcError as error:
            if error.code() != grpc.StatusCode.UNAUTHENTICATED or not self._access.refused():
                raise errors.of(error, self._address) from error
        try:
            return await method(request, timeout=deadline, metadata=await self._said())
        except grpc.aio.AioRpcError as error:
            raise errors.of(error, self._address) from error

    async def write(self, method: grpc.aio.UnaryUnaryMultiCallable[W, R], request: W) -> R:
        """Asks for a change, under a request id of its own where it has none, on the conditions of the moment."""
        conditions.impose(request)
        request.request_id = request.request_id or str(uuid.uuid4())
        return await self.ask(method, request)

    async def pages(self, method: grpc.aio.UnaryUnaryMultiCallable[PQ, P], request: PQ) -> AsyncIterator[P]:
        """The pages of a list, each fetched when it is wanted."""
        request.page_size = request.page_size or PAGE_SIZE
        while True:
            page = await self.ask(method, request)
            yield page
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def stream(self, method: grpc.aio.UnaryStreamMultiCallable[Q, R], request: Q) -> AsyncGenerator[R, None]:
        """One request, many answers, without a deadline: keepalive finds out when the other side is gone."""
        call = method(request, metadata=await self._said())
        try:
            async for answer in call:
                yield answer
        except grpc.aio.AioRpcError as error:
            raise errors.of(error, self._address) from error
        finally:
            call.cancel()

    async def _said(self) -> Metadata:
        """Who asks, and the trace that the call is a step of."""
        traceparent, proof = tracing.current(), await self._access.metadata()
        return (*proof, (tracing.KEY, traceparent)) if traceparent else proof

    async def close(self) -> None:
        await self.channel.close()
