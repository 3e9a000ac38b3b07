"""How calls are made: who asks, deadlines, retries that are safe, page after page."""

import asyncio
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

import grpc

from sidegate import conditions, errors, tracing
from sidegate.channels import Credentials, channel_to

DEFAULT_TIMEOUT_SECONDS = 5.0
LONGEST_TIMEOUT_SECONDS = 30.0
PAGE_SIZE = 200

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
    def credentials(self) -> Credentials:
        """What the channel is secured with, or what gives that anew for each call; None for a unix socket."""

    async def metadata(self) -> Metadata:
        """What proves who asks. Raises SidegateError."""

    def refused(self) -> bool:
        """Told that the proof was refused: whether another may be had, so that the call is worth repeating."""


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
        self._closed = False

    async def ask(self, method: grpc.aio.UnaryUnaryMultiCallable[Q, R], request: Q, within: float | None = None) -> R:
        """One request, one answer, within as many seconds (the default where None; 30 at most)."""
        deadline = min(within or self._timeout, LONGEST_TIMEOUT_SECONDS)
        with self._open():
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
        with self._open():
            call = method(request, metadata=await self._said())
            try:
                async for answer in call:
                    yield answer
            except grpc.aio.AioRpcError as error:
                raise errors.of(error, self._address) from error
            finally:
                call.cancel()

    @contextmanager
    def _open(self) -> Iterator[None]:
        """Who is being answered, or asks, when this is closed is told that nobody answers; gRPC cancels him as if his
        task had been, or raises an error of its own. Whose task is cancelled stays so.
        """
        try:
            yield
        except (asyncio.CancelledError, grpc.aio.UsageError) as error:
            task = asyncio.current_task()
            if not self._closed or (task is not None and task.cancelling()):
                raise
            raise errors.Unavailable(f"nobody asks {self._address} any more", reason=errors.CLOSED) from error

    async def _said(self) -> Metadata:
        """Who asks, and the trace that the call is a step of."""
        traceparent, proof = tracing.current(), await self._access.metadata()
        return (*proof, (tracing.KEY, traceparent)) if traceparent else proof

    async def close(self) -> None:
        self._closed = True
        await self.channel.close()
