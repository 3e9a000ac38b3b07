"""Whose a signature is, as the registry answers it to the HTTPS API: one answer for everything that may be wrong."""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import pytest

from services.common.errors import QuotaReached
from services.common.identity.attempts import BURST
from services.common.identity.ended import EndedTokens
from services.common.identity.tokens import Issuer
from services.common.principal import Role
from services.common.rpc.auth import NotProved
from services.registry.application import tokens as application
from services.registry.application.tokens import RENEWED_BEFORE_SECONDS, Proof, Signed, Tokens
from services.registry.domain.account import AccessKey
from services.registry.master_key import MasterKey
from services.registry.projections import Resources
from services.registry.wire.accounts import key_message
from sidegate.api.events.v1.registry_events_pb2 import AccessKeyCreated, RegistryEvent
from sidegate.credentials import signature

TEXT = b"SDK-HMAC-SHA256\n20260101T000000Z\n00"
KEY = AccessKey("AK1", "shop", "default", Role.ADMIN, 1)


class Keys:
    """Read models of access keys, and the vault with their secrets."""

    def __init__(self) -> None:
        self.keys: dict[str, AccessKey] = {KEY.id: KEY}
        self.secrets: Mapping[str, str] = {KEY.id: "right"}

    async def get(self, _kind: object, id_: str) -> RegistryEvent | None:
        if id_ not in self.keys:
            return None
        created = AccessKeyCreated(secret_id=id_)
        return RegistryEvent(access_key=key_message(self.keys[id_]), access_key_created=created)

    async def reveal(self, _secret_id: str, key_id: str) -> str | None:
        return self.secrets.get(key_id)


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def keys() -> Keys:
    return Keys()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tokens(keys: Keys, clock: Clock) -> Tokens:
    issuer = Issuer(MasterKey(b"m" * 32).signing_key(), "local", clock)
    return Tokens(cast(Resources, keys), cast(Any, keys), issuer, EndedTokens(), taken=cast(Any, None), clock=clock)


def signed(with_: str = "right", key: str = "AK1", peer: str = "10.0.0.1") -> Signed:
    return Signed(key, TEXT, hmac.digest(with_.encode(), TEXT, hashlib.sha256), peer)


async def test_a_signature_is_whose_secret_made_it(tokens: Tokens) -> None:
    found = await tokens.verify(signed())
    assert found.key == KEY
    assert found.token


async def test_a_token_is_given_again_until_it_is_too_old_to_be_worth_it(tokens: Tokens, clock: Clock) -> None:
    first = await tokens.verify(signed())
    assert (await tokens.verify(signed())).token == first.token
    clock.now = first.ends - RENEWED_BEFORE_SECONDS + 1
    assert (await tokens.verify(signed())).token != first.token


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (signed("guessed"), "SIGNATURE_WRONG"),
        (signed(key="AK2"), "KEY_UNKNOWN"),
    ],
)
async def test_what_is_wrong_with_a_signature_only_the_access_log_hears(
    tokens: Tokens, wrong: Signed, why: str
) -> None:
    with pytest.raises(NotProved) as refused:
        await tokens.verify(wrong)
    assert refused.value.text == NotProved("").text
    assert (refused.value.why, refused.value.claimed, refused.value.peer) == (why, wrong.access_key, wrong.peer)


async def test_a_key_is_worth_nothing_from_the_moment_that_it_is_revoked(tokens: Tokens, keys: Keys) -> None:
    await tokens.verify(signed())
    keys.keys[KEY.id] = AccessKey(KEY.id, KEY.account, KEY.project, KEY.role, 1, revoked_at=2)
    with pytest.raises(NotProved):
        await tokens.verify(signed())


async def test_who_guesses_too_often_is_refused_unseen_and_locks_out_nobody_else(tokens: Tokens) -> None:
    for _ in range(BURST + 5):
        with pytest.raises(NotProved) as refused:
            await tokens.verify(signed("guessed"))
    assert refused.value.why == "TOO_MANY_ATTEMPTS"
    with pytest.raises(NotProved):
        await tokens.verify(signed())
    assert (await tokens.verify(signed(peer="10.0.0.2"))).key == KEY


class Remembering:
    """Nonces are kept nowhere."""

    async def recall(self) -> Mapping[bytes, float]:
        return {}

    async def keep(self, *_: object) -> None:
        pass


async def test_an_account_takes_so_many_tokens_at_once_and_others_get_theirs(
    keys: Keys, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One key could fill what is remembered of all, and nobody else got a token any more: the operator neither."""
    monkeypatch.setattr(application, "TOKENS_AT_ONCE", 5)
    monkeypatch.setattr(application, "MOST_NONCES", 8)
    monkeypatch.setattr(application, "OPERATORS_NONCES", 2)
    keys.keys |= {"AK2": replace(KEY, id="AK2"), "AK3": replace(KEY, id="AK3", account="pay")}
    keys.keys["AKO"] = replace(KEY, id="AKO", account="operator", role=Role.OPERATOR)
    keys.secrets = dict.fromkeys(keys.keys, "right")
    issuer = Issuer(MasterKey(b"m" * 32).signing_key(), "local", clock)
    tokens = Tokens(cast(Resources, keys), cast(Any, keys), issuer, EndedTokens(), taken=Remembering(), clock=clock)

    async def given(key: str, number: int) -> bool:
        nonce, moment = number.to_bytes(16), int(clock.now)
        try:
            return bool(await tokens.issue(Proof(key, moment, nonce, signature("right", key, moment, nonce)), "peer"))
        except QuotaReached as refused:
            assert refused.reason == "TOO_MANY_TOKENS"
            return False

    assert [await given("AK1", number) for number in range(4)] == [True] * 4
    assert [await given("AK2", number) for number in range(3)] == [True, False, False], "of an account, not of a key"
    assert [await given("AK3", number) for number in range(2)] == [True, False], "the rest is the operator's"
    assert [await given("AKO", number) for number in range(3)] == [True, True, False]
