"""Signed heads: a place in a log's chain with its writer's signature, which makes all before it unalterable.

A chain alone does not stop somebody who can rewrite the whole table. A head that was signed and has left the machine
does: with the public key alone anybody can tell that a log, or a copy of it, still leads to it.
"""

import hashlib
import json
import struct
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, Any, get_type_hints

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from sidegate.evidence import Link

TAG = b"sidegate.head.1\n"
"""Opens every signed text, so that no other thing that is ever signed can pass for a head."""

LONGEST_LINE = 4096


class NotAHead(ValueError):
    """The line is no signed head."""


class NotAKey(ValueError):
    """The file holds no Ed25519 key of the kind that is wanted."""


@dataclass(frozen=True, slots=True)
class SignedHead:
    """Log `log` (its `log_id` and `epoch`) had this hash at this position. `signed_at`: nanoseconds since the epoch.

    `hash` and `signature` are in hexadecimal; `key_id` names the key that signed.
    """

    log: str
    log_id: str
    epoch: int
    position: int
    hash: str
    signed_at: int
    key_id: str
    signature: str = ""

    @property
    def link(self) -> Link:
        return Link(self.position, bytes.fromhex(self.hash))

    @property
    def text(self) -> bytes:
        """What is signed: TAG, then each field but the signature, in order, each after its length (32 bits).

        Numbers are 64 bits; all is big-endian.
        """
        fields = (self.log.encode(), self.log_id.encode(), _number(self.epoch), _number(self.position))
        rest = (bytes.fromhex(self.hash), _number(self.signed_at), self.key_id.encode())
        return TAG + b"".join(struct.pack(">I", len(field)) + field for field in fields + rest)

    @property
    def line(self) -> bytes:
        """As it stands in a file and in a message: one line of JSON, with one spelling only."""
        return json.dumps(asdict(self), separators=(",", ":")).encode() + b"\n"


FIELDS = get_type_hints(SignedHead)


class PublicKey:
    """Tells whether a head was signed by its private half."""

    def __init__(self, key: Ed25519PublicKey) -> None:
        self._key = key
        raw = key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        self.id = hashlib.sha256(raw).hexdigest()[:16]

    @classmethod
    def read(cls, pem: bytes) -> "PublicKey":
        """Raises NotAKey."""
        try:
            key = serialization.load_pem_public_key(pem)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise NotAKey("it is no public key in PEM") from error
        if not isinstance(key, Ed25519PublicKey):
            raise NotAKey("it is no Ed25519 key")
        return cls(key)

    @property
    def pem(self) -> bytes:
        return self._key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

    def signed(self, head: SignedHead) -> bool:
        try:
            self._key.verify(bytes.fromhex(head.signature), head.text)
        except (InvalidSignature, ValueError, struct.error):
            return False
        return head.key_id == self.id


class SigningKey:
    """Signs heads. Its bytes are a secret: they are in no `repr`, log or event."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public = PublicKey(key.public_key())

    @classmethod
    def new(cls) -> "SigningKey":
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def read(cls, pem: bytes) -> "SigningKey":
        """Raises NotAKey."""
        try:
            key = serialization.load_pem_private_key(pem, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise NotAKey("it is no private key in PEM without a password") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise NotAKey("it is no Ed25519 key")
        return cls(key)

    @property
    def pem(self) -> bytes:
        encoding, no_password = serialization.Encoding.PEM, serialization.NoEncryption()
        return self._key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, no_password)

    def sign(self, log: str, log_id: str, epoch: int, link: Link, at: int) -> SignedHead:
        head = SignedHead(log, log_id, epoch, link.position, link.hash.hex(), at, self.public.id)
        return replace(head, signature=self._key.sign(head.text).hex())


def read_head(line: bytes) -> SignedHead:
    """Raises NotAHead, also where the line is spelled otherwise than `SignedHead.line` does."""
    try:
        found = json.loads(line)
        fields: dict[str, Any] = {name: _exactly(found[name], kind) for name, kind in FIELDS.items()}
        head = SignedHead(**fields)
        spelled = head.text and head.line
    except (ValueError, TypeError, KeyError, RecursionError, struct.error) as error:
        raise NotAHead("it is no signed head") from error
    if spelled != line:
        raise NotAHead("it is spelled otherwise than it was signed")
    return head


def read_heads(path: Path) -> list[SignedHead]:
    """The heads of a file, one in each line. Raises NotAHead with the number of the line, OSError."""
    with path.open("rb") as file:
        return list(_numbered(_lines(file)))


def _numbered(lines: Iterable[bytes]) -> Iterator[SignedHead]:
    for number, line in enumerate(lines, 1):
        try:
            yield read_head(line)
        except NotAHead as error:
            raise NotAHead(f"line {number}: {error}") from error


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    while line := file.readline(LONGEST_LINE):
        yield line


def _number(value: int) -> bytes:
    return struct.pack(">q", value)


def _exactly(value: object, kind: type) -> str | int:
    if isinstance(value, (str, int)) and type(value) is kind:
        return value
    raise TypeError(f"{value!r} is no {kind.__name__}")
