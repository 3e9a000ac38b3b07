"""Tokens: signed by the registry with Ed25519, verified by every program, worth something for minutes."""

import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from services.common.identity.ended import EndedTokens
from services.common.principal import Role

ALGORITHM = "EdDSA"
AUDIENCE = "sidegate"
LIFETIME_SECONDS = 15 * 60
LEEWAY_SECONDS = 5
"""How far the clocks of registry and verifier may be apart."""

LONGEST, LONGEST_KEY = 2048, 64
FORGED = "TOKEN_NOT_OURS"
REMEMBERED = 10_000
REQUIRED = ("sub", "account", "project", "role", "gen", "aud", "iss", "iat", "exp", "jti")
CALLERS = {role.value: role for role in (Role.OPERATOR, Role.ADMIN, Role.VIEWER)}
"""The roles that a token may carry: no token makes its bearer a program."""


class Untrusted(Exception):
    """A token that is none of ours, or is not any more. The text, a constant, is for the access log alone."""


@dataclass(frozen=True, slots=True)
class Bearer:
    """What a token says of who carries it. `expires_at` is in seconds since the epoch."""

    access_key: str
    account: str
    project: str
    role: Role
    generation: int
    expires_at: int


class TrustedKeys(Protocol):
    """What tokens are verified with."""

    @property
    def issuer(self) -> str: ...
    async def key(self, kid: str) -> Ed25519PublicKey | None:
        """The key of that name; None where the registry has none."""


def key_id(key: Ed25519PublicKey) -> str:
    """The key's name in tokens."""
    return hashlib.sha256(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()[:16]


def to_pem(key: Ed25519PublicKey) -> bytes:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def from_pem(pem: bytes) -> Ed25519PublicKey:
    """Raises ValueError or TypeError for what is no Ed25519 public key."""
    found = load_pem_public_key(pem)
    if not isinstance(found, Ed25519PublicKey):
        raise TypeError("not an Ed25519 key")
    return found


class Issuer:
    """Signs tokens. It trusts its own key, so it is what the registry verifies with, too; and keys of `before`."""

    def __init__(
        self,
        key: Ed25519PrivateKey,
        issuer: str,
        clock: Callable[[], float] = time.time,
        before: Sequence[Ed25519PublicKey] = (),
    ) -> None:
        self._key, self.issuer, self._clock = key, issuer, clock
        self.public_key = key.public_key()
        self.kid = key_id(self.public_key)
        self.keys = {key_id(each): each for each in (self.public_key, *before)}

    def issue(self, access_key: str, account: str, project: str, role: Role, generation: int) -> tuple[str, int]:
        """A token and when it ends, in seconds since the epoch."""
        now = int(self._clock())
        claims = {
            "sub": access_key,
            "account": account,
            "project": project,
            "role": role.value,
            "gen": generation,
            "aud": AUDIENCE,
            "iss": self.issuer,
            "iat": now,
            "exp": now + LIFETIME_SECONDS,
            "jti": secrets.token_hex(8),
        }
        return jwt.encode(claims, self._key, ALGORITHM, {"kid": self.kid}), now + LIFETIME_SECONDS

    async def key(self, kid: str) -> Ed25519PublicKey | None:
        return self.keys.get(kid)


class Verifier:
    """Verifies tokens. A signature is checked once, and known by the token's hash until it ends."""

    def __init__(self, trusted: TrustedKeys, ended: EndedTokens) -> None:
        self._trusted, self._ended = trusted, ended
        self._known: OrderedDict[bytes, Bearer] = OrderedDict()

    async def bearer(self, token: str) -> Bearer:
        """Who carries the token. Raises Untrusted."""
        if len(token) > LONGEST:
            raise Untrusted("TOKEN_TOO_LONG")
        digest = hashlib.sha256(token.encode(errors="replace")).digest()
        found = self._known.get(digest) or self._remember(digest, await self._verified(token))
        if found.expires_at <= time.time():
            raise Untrusted("TOKEN_EXPIRED")
        if self._ended.has(found.access_key, found.generation):
            raise Untrusted("KEY_ENDED")
        return found

    def lease(self, access_key: str, generation: int, over: Callable[[], None]) -> AbstractContextManager[None]:
        """Calls `over` if the key ends within the block."""
        return self._ended.lease(access_key, generation, over)

    def knows(self, token: str) -> bool:
        """Whether the token's signature was found good before."""
        return hashlib.sha256(token.encode(errors="replace")).digest() in self._known

    def _remember(self, digest: bytes, bearer: Bearer) -> Bearer:
        self._known[digest] = bearer
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return bearer

    async def _verified(self, token: str) -> Bearer:
        try:
            header = jwt.get_unverified_header(token)
            kid = header.get("kid")
            key = await self._trusted.key(kid) if isinstance(kid, str) and header.get("alg") == ALGORITHM else None
            if key is None:
                raise Untrusted(FORGED)
            claims = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                issuer=self._trusted.issuer,
                leeway=LEEWAY_SECONDS,
                options={"require": list(REQUIRED)},
            )
            return _bearer(claims)
        except jwt.ExpiredSignatureError:
            raise Untrusted("TOKEN_EXPIRED") from None
        except (jwt.PyJWTError, ValueError, TypeError, KeyError, RecursionError):
            raise Untrusted(FORGED) from None


def claimed_by(token: str) -> str:
    """The access key that a token names, whoever signed it; empty where it names none."""
    try:
        claims = jwt.decode(token, options={"verify_signature": False}) if len(token) <= LONGEST else {}
        return str(claims.get("sub", ""))[:LONGEST_KEY]
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        return ""


def _bearer(claims: Mapping[str, object]) -> Bearer:
    role, generation, expires_at = CALLERS[str(claims["role"])], claims["gen"], claims["exp"]
    if not isinstance(generation, int) or not isinstance(expires_at, int):
        raise TypeError("a claim is no number")
    key, account, project = (str(claims[name]) for name in ("sub", "account", "project"))
    return Bearer(key, account, project, role, generation, expires_at)
