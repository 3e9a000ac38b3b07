"""Who asks, in one place: the interceptor that turns a call's metadata into a principal.

For now identity is what the caller says, which is good enough on loopback only; credentials replace this module's
insides and nothing else.
"""

import re
from contextvars import ContextVar

import grpc

from services.common.errors import Forbidden, Unauthenticated
from services.common.principal import SYSTEM, Principal
from services.common.rpc.calls import A, Continuation, Handler, Q

ACCOUNT_KEY = "sidegate-account"
PROJECT_KEY = "sidegate-project"
OPEN_TO_ALL = ("/grpc.health.v1.", "/grpc.reflection.")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")

_principal: ContextVar[Principal | None] = ContextVar("principal", default=None)


def principal() -> Principal:
    """Who makes the call that is being served. Raises Unauthenticated."""
    found = _principal.get()
    if found is None:
        raise Unauthenticated("NO_PRINCIPAL", f"say who asks: metadata {ACCOUNT_KEY} and {PROJECT_KEY}")
    return found


def require_operator() -> Principal:
    caller = principal()
    if not caller.is_operator:
        raise Forbidden("OPERATOR_ONLY", "only the operator may do this")
    return caller


def require_system() -> Principal:
    caller = principal()
    if not caller.is_system:
        raise Forbidden("SYSTEM_ONLY", "only Sidegate's own programs may do this")
    return caller


def system_metadata(program: str) -> tuple[tuple[str, str], ...]:
    """The metadata with which one of our programs calls another."""
    return ((ACCOUNT_KEY, SYSTEM), (PROJECT_KEY, program))


def identify(details: grpc.HandlerCallDetails) -> Principal | None:
    """The principal that a call names, None if it names none that could be."""
    metadata = dict(details.invocation_metadata or ())
    account, project = str(metadata.get(ACCOUNT_KEY, "")), str(metadata.get(PROJECT_KEY, ""))
    if not NAME.fullmatch(account) or not NAME.fullmatch(project):
        return None
    return Principal(account, project)


class Identity(grpc.aio.ServerInterceptor):
    """Sets the principal for the call; a handler that asks for it where there is none is refused."""

    async def intercept_service(
        self, continuation: Continuation[Q, A], details: grpc.HandlerCallDetails
    ) -> Handler[Q, A]:
        if not str(details.method).startswith(OPEN_TO_ALL):
            _principal.set(identify(details))
        return await continuation(details)
