"""The master key: a file outside of the database, without which what the database keeps secret is noise."""

import os
import secrets
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

BYTES = 32


class BadMasterKey(Exception):
    """There is no such key, or it is not the one that the database was written with; the text says which file."""


class MasterKey:
    """Gives keys for purposes, never itself."""

    def __init__(self, material: bytes) -> None:
        self._material = material

    @classmethod
    def at(cls, path: Path) -> "MasterKey":
        """The key in the file, of mode 0600, made where there is none. Raises BadMasterKey."""
        try:
            if not path.exists():
                _make(path)
            material = bytes.fromhex(path.read_text().strip())
        except (OSError, ValueError) as error:
            raise BadMasterKey(f"{path} is no master key: {type(error).__name__}") from None
        if len(material) != BYTES:
            raise BadMasterKey(f"{path} is no master key: it has {len(material)} bytes instead of {BYTES}")
        return cls(material)

    @classmethod
    def before(cls, path: Path | None) -> "MasterKey | None":
        """The key that another replaces; None where none is named. Raises BadMasterKey: it is never made."""
        if path is None:
            return None
        if not path.exists():
            raise BadMasterKey(f"{path}, the master key of before, is not there")
        return cls.at(path)

    def secrets_key(self) -> bytes:
        """What access keys' secrets are encrypted with: 32 bytes."""
        return self._for(b"sidegate access keys 1")

    def signing_key(self) -> Ed25519PrivateKey:
        """What tokens are signed with."""
        return Ed25519PrivateKey.from_private_bytes(self._for(b"sidegate tokens 1"))

    def _for(self, purpose: bytes) -> bytes:
        return HKDF(SHA256(), BYTES, salt=None, info=purpose).derive(self._material)


def _make(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    opened = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(opened, secrets.token_bytes(BYTES).hex().encode() + b"\n")
        os.fsync(opened)
    finally:
        os.close(opened)
    part.replace(path)
