"""SDK-HMAC-SHA256: from a request as it came to the text that its maker has signed. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from urllib.parse import quote, unquote_to_bytes

ALGORITHM = "SDK-HMAC-SHA256"
EMPTY = sha256(b"").hexdigest()
DATE, DATE_FORM = "x-sdk-date", "%Y%m%dT%H%M%SZ"
BODY_HASH = "x-sdk-content-sha256"
BARE = "-._~"

AUTHORIZATION = re.compile(
    rf"{ALGORITHM} Access=(?P<access>[\x21-\x2b\x2d-\x7e]{{1,128}}),"
    r" SignedHeaders=(?P<headers>[a-z0-9_;!#$%&'*+.^`|~-]{1,2048}),"
    r" Signature=(?P<signature>[0-9a-f]{64})",
    re.ASCII,
)
DATE_SHAPE = re.compile(r"[0-9]{8}T[0-9]{6}Z", re.ASCII)


class Malformed(ValueError):
    """What cannot be a signature; the text, a constant, says what is wrong."""


@dataclass(frozen=True, slots=True)
class Request:
    """As it came over the wire: `path` and `query` raw, headers in order, their names in lower case."""

    method: str
    path: bytes
    query: bytes
    headers: Sequence[tuple[str, str]]
    body: bytes

    def values(self, name: str) -> Sequence[str]:
        return [value for known, value in self.headers if known == name]


@dataclass(frozen=True, slots=True)
class Signature:
    """What the header Authorization says."""

    access_key: str
    signed_headers: Sequence[str]
    hexadecimal: str

    @property
    def value(self) -> bytes:
        return bytes.fromhex(self.hexadecimal)


def parse(authorization: str) -> Signature:
    """Raises Malformed."""
    found = AUTHORIZATION.fullmatch(authorization)
    if found is None:
        raise Malformed("AUTHORIZATION_MALFORMED")
    return Signature(found["access"], found["headers"].split(";"), found["signature"])


def signed_at(request: Request, signature: Signature) -> datetime:
    """When the request was signed. Raises Malformed where that is not said, not signed, or said twice."""
    said = request.values(DATE)
    if len(said) != 1 or DATE not in signature.signed_headers or not DATE_SHAPE.fullmatch(said[0]):
        raise Malformed("DATE_NOT_SIGNED")
    try:
        return datetime.strptime(said[0], DATE_FORM).replace(tzinfo=UTC)
    except ValueError:
        raise Malformed("DATE_NOT_SIGNED") from None


def string_to_sign(request: Request, signature: Signature) -> bytes:
    """What HMAC is taken of. Raises Malformed."""
    digest = sha256(canonical(request, signature)).hexdigest()
    return f"{ALGORITHM}\n{request.values(DATE)[0]}\n{digest}".encode()


def canonical(request: Request, signature: Signature) -> bytes:
    """The request in the one form that both sides can make of it. Raises Malformed."""
    headers = "".join(_lines(request, name) for name in signature.signed_headers)
    parts = (
        request.method.upper(),
        canonical_path(request.path),
        canonical_query(request.query),
        headers,
        ";".join(signature.signed_headers),
        _payload(request),
    )
    return "\n".join(parts).encode("utf-8", "surrogateescape")


def canonical_path(raw: bytes) -> str:
    segments = unquote_to_bytes(raw).split(b"/")
    path = "/".join(quote(segment, safe=BARE) for segment in segments)
    return path if path.endswith("/") else path + "/"


def canonical_query(raw: bytes) -> str:
    pairs = sorted(_pair(part) for part in raw.split(b"&") if part)
    return "&".join(f"{quote(key, safe=BARE)}={quote(value, safe=BARE)}" for key, value in pairs)


def _pair(part: bytes) -> tuple[bytes, bytes]:
    key, _, value = part.replace(b"+", b" ").partition(b"=")
    return unquote_to_bytes(key), unquote_to_bytes(value)


def _lines(request: Request, name: str) -> str:
    values = request.values(name)
    if not values:
        raise Malformed("SIGNED_HEADER_MISSING")
    return "".join(f"{name}:{value.strip()}\n" for value in values)


def _payload(request: Request) -> str:
    """The body's hash. One that is said must be true: nobody signs a body that is not there."""
    found = sha256(request.body).hexdigest()
    said: Mapping[str, str] = dict.fromkeys(request.values(BODY_HASH), "")
    if request.body and any(each != found for each in said):
        raise Malformed("BODY_HASH_WRONG")
    return found
