"""Whose a request is: by a signature that the registry has checked, or by one of its tokens."""

import hmac
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import structlog
from prometheus_client import Counter

from services.common.telemetry.metrics import REGISTRY
from services.http_api.auth.replays import WINDOW_SECONDS, Full, Replays
from services.http_api.auth.signature import Malformed, Request, Signature, parse, signed_at, string_to_sign
from services.http_api.error_codes import THROTTLED
from services.http_api.errors import Refused
from services.http_api.upstream import Acting, Upstream
from sidegate import errors
from sidegate.api.registry.v1 import registry_internal_service_pb2 as internal_pb2

READS = frozenset({"GET", "HEAD"})
TOKEN_HEADER = "x-auth-token"  # noqa: S105 # a header's name
LONGEST_TOKEN = 2048

REFUSED = Counter(
    "sidegate_http_unauthenticated", "Requests that proved nobody who may call.", ["why"], registry=REGISTRY
)

log = structlog.get_logger(__name__)


class NotProved(Refused):
    """Nobody who could be believed: one answer for all of it; `why` is for the log and the numbers."""

    def __init__(self, why: str) -> None:
        super().__init__("0003")
        self.why = why


class Checks(Protocol):
    """Who checks signatures and tokens: the registry, which has the secrets."""

    async def verify(self, request: internal_pb2.VerifySignatureRequest) -> internal_pb2.VerifySignatureResponse:
        """Raises SidegateError."""

    async def verify_token(self, request: internal_pb2.VerifyTokenRequest) -> internal_pb2.VerifyTokenResponse:
        """Raises SidegateError."""


@dataclass(frozen=True, slots=True)
class Recognized:
    """Who asks. `signed` are the headers that his signature vouches for; None where a token vouches for the whole."""

    acting: Acting
    signed: frozenset[str] | None


class Recognition:
    def __init__(
        self, upstream: Upstream, checks: Checks, replays: Replays, clock: Callable[[], float] = time.time
    ) -> None:
        self._upstream, self._checks, self._replays, self._clock = upstream, checks, replays, clock

    async def identify(self, request: Request, peer: str, *, once: bool) -> Recognized:
        """Who makes the request; it makes something new where `once` is set. Raises Refused and SidegateError."""
        try:
            return await self._identify(request, peer, once=once)
        except NotProved as error:
            REFUSED.labels(error.why).inc()
            log.info("not proved", why=error.why, peer=peer)
            raise

    async def token(self, access_key: str, secret: str, peer: str) -> internal_pb2.VerifySignatureResponse:
        """A token for who knows the secret: it is checked by a signature, and goes no further. Raises Refused."""
        text = secrets.token_bytes(32)
        mac = hmac.digest(secret.encode(), text, "sha256")
        question = internal_pb2.VerifySignatureRequest(
            access_key=access_key, string_to_sign=text, signature=mac, peer=peer
        )
        try:
            return await self._checks.verify(question)
        except errors.Unauthenticated:
            raise NotProved("SECRET_REFUSED") from None

    async def _identify(self, request: Request, peer: str, *, once: bool) -> Recognized:
        said = request.values("authorization")
        if len(said) > 1:
            raise NotProved("AUTHORIZATION_MALFORMED")
        if said:
            return await self._by_signature(request, said[0], peer, once=once)
        tokens = request.values(TOKEN_HEADER)
        if len(tokens) != 1 or not 0 < len(tokens[0]) <= LONGEST_TOKEN or not tokens[0].isascii():
            raise NotProved("NOTHING_SAID")
        return await self._by_token(tokens[0], peer)

    async def _by_signature(self, request: Request, said: str, peer: str, *, once: bool) -> Recognized:
        try:
            signature = parse(said)
            at = signed_at(request, signature).timestamp()
            if abs(self._clock() - at) > WINDOW_SECONDS:
                raise NotProved("CLOCK_OFF")
            text = string_to_sign(request, signature)
        except Malformed as error:
            raise NotProved(str(error)) from None
        found = await self._verified(signature, text, peer)
        if request.method not in READS:
            self._take(signature, at, once=once)
        acting = Acting(found.account, found.project, signature.access_key, found.token, self._upstream)
        return Recognized(acting, frozenset(signature.signed_headers))

    async def _verified(self, signature: Signature, text: bytes, peer: str) -> internal_pb2.VerifySignatureResponse:
        question = internal_pb2.VerifySignatureRequest(
            access_key=signature.access_key, string_to_sign=text, signature=signature.value, peer=peer
        )
        try:
            return await self._checks.verify(question)
        except errors.Unauthenticated:
            raise NotProved("SIGNATURE_REFUSED") from None

    def _take(self, signature: Signature, at: float, *, once: bool) -> None:
        try:
            if self._replays.take(signature.access_key, signature.value, signed_at=at, once=once):
                return
        except Full:
            raise Refused(THROTTLED, headers={"Retry-After": "60"}) from None
        raise NotProved("REPLAYED")

    async def _by_token(self, token: str, peer: str) -> Recognized:
        try:
            found = await self._checks.verify_token(internal_pb2.VerifyTokenRequest(token=token, peer=peer))
        except errors.Unauthenticated:
            raise NotProved("TOKEN_REFUSED") from None
        return Recognized(Acting(found.account, found.project, found.access_key, token, self._upstream), None)


def request_of(scope: Mapping[str, object], headers: list[tuple[bytes, bytes]], body: bytes) -> Request:
    """The request as the signer saw it: bytes stay what they are, whatever they are."""
    raw = scope.get("raw_path")
    path = raw if isinstance(raw, bytes) else str(scope["path"]).encode()
    query = scope.get("query_string")
    named = [(name.decode("latin-1").lower(), value.decode("utf-8", "surrogateescape")) for name, value in headers]
    return Request(str(scope["method"]), path, query if isinstance(query, bytes) else b"", named, body)
