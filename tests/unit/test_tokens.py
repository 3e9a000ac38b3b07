"""Tokens: what is ours, what only looks like it, and what has ended."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.common.identity.ended import EVERY, REMEMBERED_SECONDS, SECOND, Ended, EndedTokens
from services.common.identity.tokens import LIFETIME_SECONDS, Issuer, Untrusted, Verifier, to_pem
from services.common.principal import Role

KEY = Ed25519PrivateKey.generate()


class Counting(Issuer):
    """Counts how often its key was wanted."""

    asked = 0

    async def key(self, kid: str) -> Any:
        self.asked += 1
        return await super().key(kid)


@pytest.fixture
def issuer() -> Counting:
    return Counting(KEY, "local")


@pytest.fixture
def ended() -> EndedTokens:
    return EndedTokens()


@pytest.fixture
def verifier(issuer: Counting, ended: EndedTokens) -> Verifier:
    return Verifier(issuer, ended)


def issue(issuer: Issuer, generation: int = 1) -> str:
    return issuer.issue("AK1", "shop", "default", Role.ADMIN, generation)[0]


async def test_a_token_says_who_carries_it_and_is_verified_once(issuer: Counting, verifier: Verifier) -> None:
    token = issue(issuer)
    for _ in range(3):
        bearer = await verifier.bearer(token)
        assert (bearer.access_key, bearer.account, bearer.project, bearer.role) == (
            "AK1",
            "shop",
            "default",
            Role.ADMIN,
        )
    assert issuer.asked == 1
    assert 0 < bearer.expires_at - time.time() <= LIFETIME_SECONDS <= 15 * 60


def segment(value: Any) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def claims(**other: Any) -> dict[str, Any]:
    now = int(time.time())
    known = {"sub": "AK1", "account": "shop", "project": "default", "role": "admin", "gen": 1, "aud": "sidegate"}
    return {**known, "iss": "local", "iat": now, "exp": now + 60, "jti": "1", **other}


def signed(issuer: Issuer, key: Ed25519PrivateKey = KEY, kid: Any = None, **other: Any) -> str:
    wanted = {name: value for name, value in claims(**other).items() if value is not None}
    return jwt.encode(wanted, key, "EdDSA", {"kid": issuer.kid if kid is None else kid})


def unsigned(issuer: Issuer) -> str:
    return f"{segment({'alg': 'none', 'kid': issuer.kid})}.{segment(claims(role='operator'))}."


def confused(issuer: Issuer) -> str:
    """Signed by HMAC with the public key, which is no secret."""
    text = f"{segment({'alg': 'HS256', 'typ': 'JWT', 'kid': issuer.kid})}.{segment(claims(role='operator'))}"
    return f"{text}.{segment(hmac.digest(to_pem(issuer.public_key), text.encode(), hashlib.sha256))}"


def with_own_key_inside(issuer: Issuer) -> str:
    other = Ed25519PrivateKey.generate()
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": segment(other.public_key().public_bytes_raw())}
    return jwt.encode(claims(), other, "EdDSA", {"kid": issuer.kid, "jwk": jwk})


def altered(issuer: Issuer) -> str:
    head, _, tail = issue(issuer).split(".")
    return f"{head}.{segment(claims(account='payments'))}.{tail}"


FORGERIES: dict[str, Callable[[Issuer], str]] = {
    "nothing": lambda _: "",
    "no JWT": lambda _: "a.b",
    "noise": lambda _: "\x00\xff" * 20,
    "too long": lambda _: "a" * 5000,
    "another key": lambda issuer: signed(issuer, Ed25519PrivateKey.generate()),
    "alg none": unsigned,
    "HS256 with the public key": confused,
    "its own key in the header": with_own_key_inside,
    "altered claims": altered,
    "a kid that is nobody's": lambda issuer: signed(issuer, kid="ffff"),
    "a kid that is a path": lambda issuer: signed(issuer, kid="../../dev/null"),
    "another region": lambda issuer: signed(issuer, iss="elsewhere"),
    "another audience": lambda issuer: signed(issuer, aud="somebody"),
    "a program's role": lambda issuer: signed(issuer, role="registry"),
    "a role that is none": lambda issuer: signed(issuer, role="root"),
    "no end": lambda issuer: signed(issuer, exp=None),
    "a generation in words": lambda issuer: signed(issuer, gen="1"),
    "from the future": lambda issuer: signed(issuer, iat=int(time.time()) + 3600),
}


@pytest.mark.parametrize("forgery", FORGERIES)
async def test_a_forgery_is_not_believed(issuer: Counting, verifier: Verifier, forgery: str) -> None:
    with pytest.raises(Untrusted):
        await verifier.bearer(FORGERIES[forgery](issuer))


async def test_a_token_that_has_expired_is_not_believed(issuer: Counting, ended: EndedTokens) -> None:
    past = Issuer(KEY, "local", clock=lambda: time.time() - LIFETIME_SECONDS - 60)
    with pytest.raises(Untrusted, match="TOKEN_EXPIRED"):
        await Verifier(issuer, ended).bearer(issue(past))


async def test_a_token_that_was_believed_ends_with_its_key(
    issuer: Counting, verifier: Verifier, ended: EndedTokens
) -> None:
    old, new = issue(issuer), issue(issuer, generation=2)
    await verifier.bearer(old)
    ended.end(Ended("AK1", 2, time.time_ns()))
    with pytest.raises(Untrusted, match="KEY_ENDED"):
        await verifier.bearer(old)
    await verifier.bearer(new)
    ended.end(Ended("AK1", EVERY, time.time_ns()))
    ended.end(Ended("AK1", 2, time.time_ns()))  # late, and of before
    with pytest.raises(Untrusted, match="KEY_ENDED"):
        await verifier.bearer(new)


def test_what_ended_is_remembered_for_as_long_as_a_token_may_live_and_no_longer() -> None:
    now = [1_000_000 * SECOND]
    ended = EndedTokens(clock=lambda: now[0])
    ended.end(Ended("AK1", EVERY, now[0]))
    now[0] += LIFETIME_SECONDS * SECOND
    assert [each.access_key for each in ended] == ["AK1"]
    now[0] += REMEMBERED_SECONDS * SECOND
    assert list(ended) == []
