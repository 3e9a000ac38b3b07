"""NATS's keys as NATS spells them, and the files that its clients read."""

import base64
import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.identity.nats import claims, rights
from services.common.identity.nats.accounts import Admission, Keys, subscribers
from sidegate.nkeys import BadKey, KeyPair, Role, UserCredential, is_public, verify

SEED = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY"
PUBLIC = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4"
"""A pair of NATS's own documentation."""


def test_a_key_is_spelled_as_nats_spells_it() -> None:
    pair = KeyPair.from_seed(SEED)
    assert (pair.role, pair.public, pair.seed) == (Role.USER, PUBLIC, SEED)
    assert SEED not in repr(pair)


@pytest.mark.parametrize("role", Role)
def test_a_new_key_comes_back_from_its_seed_and_is_of_its_kind_alone(role: Role) -> None:
    pair = KeyPair.new(role)
    again = KeyPair.from_seed(pair.seed)
    assert (again.public, again.role) == (pair.public, role)
    assert [each for each in Role if is_public(pair.public, each)] == [role]
    assert verify(pair.public, again.sign(b"nonce"), b"nonce")
    assert not verify(pair.public, again.sign(b"nonce"), b"another")


@given(place=st.integers(0, len(SEED) - 1), letter=st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"))
def test_a_seed_with_a_letter_wrong_is_refused_and_not_shown(place: int, letter: str) -> None:
    spoiled = SEED[:place] + letter + SEED[place + 1 :]
    if spoiled == SEED:
        return
    with pytest.raises(BadKey) as refused:
        KeyPair.from_seed(spoiled)
    assert spoiled not in str(refused.value)


@pytest.mark.parametrize("key", ["", "U", PUBLIC[:-1], PUBLIC.lower(), SEED, "A" * 56, PUBLIC + "A"])
def test_what_is_no_users_public_key_is_none(key: str) -> None:
    assert not is_public(key, Role.USER)


def test_a_credential_comes_back_from_its_file_and_names_its_user() -> None:
    issuer = KeyPair.new(Role.ACCOUNT)
    user = claims.User("sub-1", PUBLIC, rights.reader("sub-1"), until=9)
    made = UserCredential(claims.user(issuer, issuer.public, user, at=1), KeyPair.from_seed(SEED))
    found = UserCredential.parse(made.text)
    assert (found.jwt, found.key.seed, found.name) == (made.jwt, SEED, "sub-1")
    assert SEED in made.text
    assert SEED not in repr(found)


def test_a_jwt_is_signed_by_its_issuer_and_names_itself_by_what_it_says() -> None:
    issuer = KeyPair.new(Role.ACCOUNT)
    jwt = claims.user(issuer, issuer.public, claims.User("gw-c_1", PUBLIC, rights.reader("gw-c_1")), at=1)
    text, _, signature = jwt.rpartition(".")
    assert verify(issuer.public, base64.urlsafe_b64decode(signature + "=="), text.encode())
    said = claims.read(jwt)
    named = said.pop("jti")
    digest = hashlib.new("sha512_256", json.dumps(said, separators=(",", ":"), sort_keys=True).encode()).digest()
    assert base64.b32encode(digest).decode().rstrip("=") == named
    assert (said["iss"], said["sub"], "exp" in said) == (issuer.public, PUBLIC, False)


def test_a_reader_may_say_and_hear_what_is_its_own() -> None:
    given_ = rights.reader(rights.gateway("c1", "gw-1"))
    assert given_.says == (
        "$JS.API.CONSUMER.MSG.NEXT.*.gw-c1_gw-1",
        "$JS.API.CONSUMER.RESET.*.gw-c1_gw-1",
        "$JS.ACK.*.gw-c1_gw-1.>",
    )
    assert given_.hears == ("_INBOX_gw-c1_gw-1.>",)


def test_two_gateways_never_share_a_consumer() -> None:
    names = {rights.gateway(cell, gateway) for cell in ("a", "a-b", "b") for gateway in ("b", "b-c", "c", "a-b")}
    assert len(names) == 12


def test_subscribers_know_the_streams_of_views_by_one_name_in_every_epoch_and_no_others() -> None:
    keys = Keys(*(KeyPair.new(Role.ACCOUNT).public for _ in range(5)))
    said = claims.account_claims(subscribers(keys, Admission({PUBLIC: 7}, {"VIEW-EP": 3})))
    known = {each.get("local_subject", each["subject"]): each["subject"] for each in said["imports"]}
    assert known == {
        "$JS.API.CONSUMER.MSG.NEXT.VIEW-REG.$1": "$JS.API.CONSUMER.MSG.NEXT.VIEW-REG-1.*",
        "$JS.API.CONSUMER.MSG.NEXT.VIEW-EP.$1": "$JS.API.CONSUMER.MSG.NEXT.VIEW-EP-3.*",
        "$JS.API.CONSUMER.MSG.NEXT.FLOW.$1": "$JS.API.CONSUMER.MSG.NEXT.FLOW-1.*",
        "$JS.API.CONSUMER.RESET.FLOW.$1": "$JS.API.CONSUMER.RESET.FLOW-1.*",
        "$JS.API.CONSUMER.RESET.VIEW-REG.$1": "$JS.API.CONSUMER.RESET.VIEW-REG-1.*",
        "$JS.API.CONSUMER.RESET.VIEW-EP.$1": "$JS.API.CONSUMER.RESET.VIEW-EP-3.*",
        "$JS.ACK.>": "$JS.ACK.>",
    }
    assert said["revocations"] == {PUBLIC: 7}
    assert "mem_storage" not in said["limits"], "no streams of its own"
