"""NATS's JWTs: an operator's of itself and of accounts, an account's of users. Ed25519, in NATS's own form."""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from services.common.identity.nats.rights import Rights
from sidegate.nkeys import BadKey, KeyPair

HEADER = {"typ": "JWT", "alg": "ed25519-nkey"}
VERSION = 2
UNLIMITED = -1
ANSWERS = {False: "Singleton", True: "Stream"}

Claims = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Service:
    """Subjects of an account that another may ask at; `stream` is whether more than one answer comes."""

    subject: str
    stream: bool = False


@dataclass(frozen=True, slots=True)
class Imported:
    """Subjects of another account that users of this one may ask at, as far as each is allowed to.

    `known_as` is what they are called here, with $1 for the first `*` of the subject; empty: the same.
    """

    subject: str
    account: str
    known_as: str = ""


@dataclass(frozen=True, slots=True)
class Account:
    """What the operator says of an account. `signers` may sign users beside its own key.

    `revoked` are the users that are refused: public key to the moment (seconds since the epoch) before which what was
    signed of them is worth nothing.
    """

    name: str
    key: str
    jetstream: bool = False
    connections: int = UNLIMITED
    exports: Sequence[Service] = ()
    imports: Sequence[Imported] = ()
    signers: Sequence[str] = ()
    revoked: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class User:
    """What an account says of a user with this public key; `until` is when that ends, 0 for never."""

    name: str
    key: str
    rights: Rights
    until: int = 0


def operator(key: KeyPair, name: str, system_account: str, at: int, signers: Sequence[str] = ()) -> str:
    """What an operator says of itself, signed by itself. Times are in seconds since the epoch."""
    nats = {"type": "operator", "version": VERSION, "system_account": system_account, "signing_keys": [*signers]}
    return signed(key, {"name": name, "sub": key.public, "iat": at, "nats": nats})


def account(issuer: KeyPair, about: Account, at: int) -> str:
    """What the operator says of an account."""
    return signed(issuer, {"name": about.name, "sub": about.key, "iat": at, "nats": account_claims(about)})


def account_claims(about: Account) -> dict[str, Any]:
    """The part that says what the account may."""
    stored = UNLIMITED if about.jetstream else 0
    limits = {
        **dict.fromkeys(("subs", "data", "payload", "imports", "exports"), UNLIMITED),
        "wildcards": True,
        "conn": about.connections,
        "leaf": 0,
        "disallow_bearer": True,
        **dict.fromkeys(("mem_storage", "disk_storage"), stored),
        **dict.fromkeys(("streams", "consumer"), UNLIMITED if about.jetstream else 0),
    }
    return {
        "type": "account",
        "version": VERSION,
        "limits": {name: value for name, value in limits.items() if value},
        "exports": [
            {"name": each.subject, "subject": each.subject, "type": "service", "response_type": ANSWERS[each.stream]}
            for each in about.exports
        ],
        "imports": [_imported(each) for each in about.imports],
        "signing_keys": [*about.signers],
        "revocations": dict(sorted(about.revoked.items())),
    }


def _imported(each: Imported) -> dict[str, str]:
    known_as = {"local_subject": each.known_as} if each.known_as else {}
    return {"name": each.subject, "subject": each.subject, "account": each.account, "type": "service", **known_as}


def user(issuer: KeyPair, account_key: str, about: User, at: int) -> str:
    """What an account says of a user, signed with its own key or by one that signs for it."""
    limits = {"subs": about.rights.subscriptions, "payload": about.rights.payload, "data": UNLIMITED}
    nats: dict[str, Any] = {
        "type": "user",
        "version": VERSION,
        "pub": {"allow": [*about.rights.says]},
        "sub": {"allow": [*about.rights.hears]},
        **limits,
    }
    if issuer.public != account_key:
        nats["issuer_account"] = account_key
    ends = {"exp": about.until} if about.until else {}
    return signed(issuer, {"name": about.name, "sub": about.key, "iat": at, "nats": nats, **ends})


def signed(issuer: KeyPair, claims: Claims) -> str:
    whole = {**claims, "iss": issuer.public}
    digest = hashlib.new("sha512_256", _json(whole)).digest()
    whole["jti"] = base64.b32encode(digest).decode().rstrip("=")
    text = b".".join((_encoded(_json(HEADER)), _encoded(_json(whole))))
    return b".".join((text, _encoded(issuer.sign(text)))).decode()


def read(jwt: str) -> dict[str, Any]:
    """What a JWT says, unverified: NATS verifies. Raises BadKey for something else."""
    try:
        middle = jwt.split(".")[1]
        claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))
    except (ValueError, LookupError):
        raise BadKey("it is no JWT") from None
    if not isinstance(claims, dict):
        raise BadKey("it is no JWT")
    return claims


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


def _encoded(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
