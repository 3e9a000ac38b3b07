"""NATS's keys and credentials: Ed25519 pairs in NATS's spelling, and the file that its clients read."""

import base64
import binascii
import json
import re
from dataclasses import dataclass
from enum import IntEnum
from typing import Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

SEED = 18 << 3
LENGTH = 32
CREDENTIAL = """\
-----BEGIN NATS USER JWT-----
{jwt}
------END NATS USER JWT------

************************* IMPORTANT *************************
The seed below is a secret: whoever has it is this user.

-----BEGIN USER NKEY SEED-----
{seed}
------END USER NKEY SEED------
"""


class BadKey(ValueError):
    """What was read is no key or no credential of NATS; the text never shows it."""


class Role(IntEnum):
    """Whose key it is: the first letter of its spelling."""

    OPERATOR = 14 << 3
    ACCOUNT = 0
    USER = 20 << 3


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A private key; nothing but `seed` shows it."""

    role: Role
    _key: Ed25519PrivateKey

    def __repr__(self) -> str:
        return f"KeyPair({self.public!r})"

    @classmethod
    def new(cls, role: Role) -> Self:
        return cls(role, Ed25519PrivateKey.generate())

    @classmethod
    def from_seed(cls, seed: str) -> Self:
        """Raises BadKey."""
        raw = _unspelled(seed)
        if len(raw) != LENGTH + 2 or raw[0] & 0xF8 != SEED:
            raise BadKey("it is no seed of NATS")
        try:
            role = Role((raw[0] & 7) << 5 | raw[1] >> 3)
        except ValueError:
            raise BadKey("it is the seed of something else") from None
        return cls(role, Ed25519PrivateKey.from_private_bytes(raw[2:]))

    @property
    def seed(self) -> str:
        """The secret."""
        raw = self._key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
        return _spelled(bytes([SEED | self.role >> 5, (self.role & 31) << 3]) + raw)

    @property
    def public(self) -> str:
        raw = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return _spelled(bytes([self.role]) + raw)

    def sign(self, data: bytes) -> bytes:
        return self._key.sign(data)


@dataclass(frozen=True, slots=True)
class UserCredential:
    """What a user of NATS connects with: what the account's owner has signed of it, and its key."""

    jwt: str
    key: KeyPair

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads a credentials file's text. Raises BadKey."""
        found = re.findall(r"-{3,}BEGIN [^-]+-{3,}\s+(\S+)\s+-{3,}END [^-]+-{3,}", text)
        if len(found) != 2:
            raise BadKey("it is no credential of NATS: it has to hold a JWT and a seed")
        return cls(found[0], KeyPair.from_seed(found[1]))

    @property
    def name(self) -> str:
        """The user's name: that of the consumer it reads, and what stands behind `_INBOX_` in its inboxes.

        Raises BadKey for something that is no JWT; whether it is true, NATS verifies.
        """
        try:
            middle = self.jwt.split(".")[1]
            return str(json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))["name"])
        except (ValueError, LookupError, TypeError):
            raise BadKey("it is no JWT of NATS") from None

    @property
    def text(self) -> str:
        """As NATS's clients read it from a file. It has the secret in it."""
        return CREDENTIAL.format(jwt=self.jwt, seed=self.key.seed)


def is_public(key: str, role: Role) -> bool:
    """Whether it is the public key of such a one."""
    try:
        raw = _unspelled(key)
    except BadKey:
        return False
    return len(raw) == LENGTH + 1 and raw[0] == role


def verify(key: str, signature: bytes, data: bytes) -> bool:
    """Whether the holder of a public key has signed this. Raises BadKey."""
    try:
        Ed25519PublicKey.from_public_bytes(_unspelled(key)[1:]).verify(signature, data)
    except (InvalidSignature, ValueError):
        return False
    return True


def _spelled(raw: bytes) -> str:
    whole = raw + binascii.crc_hqx(raw, 0).to_bytes(2, "little")
    return base64.b32encode(whole).decode().rstrip("=")


def _unspelled(text: str) -> bytes:
    try:
        whole = base64.b32decode(text + "=" * (-len(text) % 8))
    except (binascii.Error, ValueError):
        raise BadKey("it is not spelled as NATS spells keys") from None
    raw, check = whole[:-2], whole[-2:]
    if binascii.crc_hqx(raw, 0).to_bytes(2, "little") != check:
        raise BadKey("it has a letter wrong or is cut off")
    return raw
