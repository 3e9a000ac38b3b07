"""Who asks, in one place: how a call proves it, whether it may, and word in the access log where it may not."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol, cast

import grpc
import structlog

from services.common.errors import Forbidden, Refused, Unauthenticated, Unavailable
from services.common.identity.access_log import AccessLog, Refusal
from services.common.principal import Identity, Principal
from services.common.rpc import permissions
from services.common.rpc.calls import A, Context, Continuation, Handler, Q, Stream, Unary, wrapped
from services.common.rpc.errors import abort, on_refusal

OPEN_TO_ALL = ("/grpc.health.v1.", "/grpc.reflection.")
_identity: ContextVar[Identity | None] = ContextVar("identity", default=None)
_peer: ContextVar[str] = ContextVar("peer", default="")

Metadata = Mapping[str, str]


class NotProved(Unauthenticated):
    """Nobody who could be believed. The caller hears one text for all of it; `why` is for the access log.

    `peer` is where it came from, where that is not who calls: a program of ours that asks whose a signature is.
    """

    def __init__(self, why: str, claimed: str = "", peer: str = "") -> None:
        super().__init__("UNAUTHENTICATED", "the call proves nobody who may call: get a token with an access key")
        self.why, self.claimed, self.peer = why, claimed, peer


class Recognition(Protocol):
    """How callers of a server prove who they are."""

    async def identify(self, metadata: Metadata, context: Context) -> Identity:
        """Raises NotProved, or NotAllowed where it asks for more than it is."""

    def lease(self, identity: Identity, over: Callable[[], None]) -> AbstractContextManager[None]:
        """Calls `over` if it could not be proved any more, within the block."""


def identity() -> Identity:
    """Who makes the call that is being served. Raises Unauthenticated."""
    found = _identity.get()
    if found is None:
        raise NotProved("NOBODY")
    return found


def principal() -> Principal:
    """For whom the call that is being served speaks. Raises Unauthenticated."""
    return identity().principal


def peer() -> str:
    """Where the call comes from, without the port."""
    return _peer.get().rpartition(":")[0] or _peer.get()


def require_operator() -> Principal:
    caller = principal()
    if not caller.is_operator:
        raise Forbidden("OPERATOR_ONLY", "only the operator may do this")
    return caller


@dataclass(frozen=True, slots=True)
class Doorman:
    """Lets a call in that proves who makes it, if it may; writes down whatever is refused, then or later."""

    recognition: Recognition
    access_log: AccessLog

    async def admit(self, method: str, request: object, context: Context) -> None:
        """Sets who asks, for the call. Raises Refused."""
        _peer.set(str(context.peer()))
        if method in permissions.OPEN:
            return
        metadata = {str(key): str(value) for key, value in context.invocation_metadata() or ()}
        found = await self.recognition.identify(metadata, context)
        _identity.set(found)
        structlog.contextvars.bind_contextvars(account=found.principal.account, project=found.principal.project)
        permissions.require(found, method, request)

    @contextmanager
    def lasting(self) -> Iterator[Callable[[], bool]]:
        """Cancels the call's task when what has proved who makes it ends; says whether it did."""
        task, found, ended = asyncio.current_task(), _identity.get(), False

        def over() -> None:
            nonlocal ended
            ended = True
            if task is not None:
                task.cancel()

        with self.recognition.lease(found, over) if found else nullcontext():
            yield lambda: ended

    def write_down(
        self, method: str, request: object, context: Context, refusal: Refused, code: grpc.StatusCode
    ) -> None:
        """That the call is refused, with what is known of who made it. To be away is no refusal."""
        if isinstance(refusal, Unavailable):
            return
        elsewhere = str(getattr(refusal, "peer", ""))
        found = None if elsewhere else _identity.get()
        caller = found.principal if found else Principal("", "")
        claimed = str(getattr(refusal, "claimed", "")) or str(getattr(request, "access_key", ""))
        self.access_log.write(
            Refusal(
                at=time.time_ns(),
                method=method.removeprefix("/"),
                code=code.name,
                reason=str(getattr(refusal, "why", refusal.reason)),
                peer=elsewhere or str(context.peer()),
                account=caller.account,
                project=caller.project,
                acting=caller.acting,
                access_key=caller.access_key or claimed,
                resource=permissions.resource_of(request),
            )
        )


async def _admit(doorman: Doorman, path: str, request: object, context: Context) -> None:
    """Lets the call in, or ends it; whatever refuses it, now or later, is written down before the caller hears."""
    on_refusal.set(lambda refusal, code: doorman.write_down(path, request, context, refusal, code))
    try:
        await doorman.admit(path, request, context)
    except Exception as error:  # the edge of the program: every error becomes a status
        await abort(context, error)


def _admit_unary(method: Unary, path: str, doorman: Doorman) -> Unary:
    async def admitted(request: object, context: Context) -> object:
        await _admit(doorman, path, request, context)
        return await method(request, context)

    return admitted


def _admit_stream(method: Stream, path: str, doorman: Doorman) -> Stream:
    async def admitted(request: object, context: Context) -> AsyncIterator[object]:
        await _admit(doorman, path, request, context)
        with doorman.lasting() as has_ended:
            try:
                async for answer in method(request, context):
                    yield answer
            except asyncio.CancelledError:
                if not has_ended() or (task := asyncio.current_task()) is None or task.uncancel():
                    raise
                await abort(context, NotProved("KEY_ENDED", identity().principal.access_key))

    return admitted


class Admission(grpc.aio.ServerInterceptor):
    """Has the doorman look at every call but those of health and reflection, which say nothing of anybody's."""

    def __init__(self, doorman: Doorman) -> None:
        self._doorman = doorman

    async def intercept_service(
        self, continuation: Continuation[Q, A], details: grpc.HandlerCallDetails
    ) -> Handler[Q, A]:
        handler, path = await continuation(details), str(details.method)
        if handler is None or path.startswith(OPEN_TO_ALL):
            return handler
        return wrapped(
            handler,
            lambda method: _admit_unary(method, path, self._doorman),
            lambda method: _admit_stream(method, path, self._doorman),
        )


class Unserved(grpc.aio.ServerInterceptor):
    """Answers for methods that are not served here: as for those that a caller may not call, and with a line for it.

    It stands outside of all others: what anybody may call a method would be too much for numbers of calls. What the
    others have made of a method that is served it keeps: they make the same of it for every call.
    """

    def __init__(self, doorman: Doorman) -> None:
        self._doorman = doorman
        self._served: dict[str, Any] = {}

    async def intercept_service(
        self, continuation: Continuation[Q, A], details: grpc.HandlerCallDetails
    ) -> Handler[Q, A]:
        path = str(details.method)
        if (served := self._served.get(path)) is not None:
            return cast("Handler[Q, A]", served)
        handler = await continuation(details)
        if handler is not None:
            self._served[path] = handler
            return handler

        async def refuse(_request: object, context: Context) -> object:
            await abort(context, permissions.NotAllowed("method", path.rpartition("/")[2]))
            return None

        admitted = _admit_unary(refuse, path, self._doorman)
        return grpc.unary_unary_rpc_method_handler(cast("Any", admitted))
