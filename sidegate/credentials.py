"""Credentials: an access key with its secret, and the signature that a token is had for."""

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

TAG = b"sidegate.token.1\n"
FIELDS = ("account", "project", "access_key", "secret_key")


class BadCredential(ValueError):
    """What was read is no credential; the text says what is missing, and never what is there."""


@dataclass(frozen=True, slots=True)
class Credential:
    """What a caller proves who it is with. Its secret is shown by nothing but `secret_key`."""

    account: str
    project: str
    access_key: str
    secret_key: str = field(repr=False)

    @classmethod
    def of(cls, facts: Mapping[str, object]) -> Self:
        """Raises BadCredential."""
        values = {name: facts.get(name) for name in FIELDS}
        if missing := [name for name, value in values.items() if not isinstance(value, str) or not value]:
            raise BadCredential(f"no credential: {', '.join(missing)} is missing")
        return cls(**{name: str(value) for name, value in values.items()})

    @classmethod
    def read(cls, path: Path) -> Self:
        """The credential in a JSON file. Raises BadCredential, or OSError where it cannot be read."""
        try:
            facts = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            raise BadCredential(f"{path} is no JSON") from None
        if not isinstance(facts, dict):
            raise BadCredential(f"{path} is no credential")
        return cls.of(facts)

    def sign(self, timestamp: int, nonce: bytes) -> bytes:
        """What IssueToken takes as the signature; `timestamp` is in seconds since the epoch."""
        return signature(self.secret_key, self.access_key, timestamp, nonce)


def signature(secret: str, access_key: str, timestamp: int, nonce: bytes) -> bytes:
    """HMAC-SHA256 of what registry/v1/account_service.proto says of IssueTokenRequest."""
    parts = (access_key.encode(), timestamp.to_bytes(8, "big", signed=True), nonce)
    text = TAG + b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return hmac.digest(secret.encode(), text, hashlib.sha256)
