"""The directory of a program's evidence: its signing key, the public half to give away, and the heads it has signed."""

import os
from pathlib import Path

from sidegate.signed_heads import NotAHead, NotAKey, SignedHead, SigningKey, read_head

PRIVATE = 0o600


class Unfit(Exception):
    """The directory cannot be used; the text says why and what to do."""


class Archive:
    """Synchronous: a head is some hundred bytes, and is written every thousand events or every minute at most."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @property
    def heads(self) -> Path:
        return self._directory / "heads.jsonl"

    @property
    def public_key(self) -> Path:
        return self._directory / "public-key.pem"

    @property
    def signing_key(self) -> Path:
        return self._directory / "signing-key.pem"

    def open(self) -> SigningKey:
        """The key, made where there is none; the last head is looked at, too. Raises Unfit."""
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.last()
            if not self.signing_key.exists():
                if self.heads.exists():
                    raise Unfit(f"{self.heads} is there without its key: restore {self.signing_key}, or move both away")
                _write_whole(self.signing_key, SigningKey.new().pem, PRIVATE)
            key = SigningKey.read(self.signing_key.read_bytes())
            if not self.public_key.exists() or self.public_key.read_bytes() != key.public.pem:
                _write_whole(self.public_key, key.public.pem, 0o644)
        except NotAKey as error:
            raise Unfit(f"{self.signing_key}: {error}; restore it, or move the directory away") from error
        except OSError as error:
            raise Unfit(f"cannot use {error.filename or self._directory}: {error.strerror}") from error
        return key

    def last(self) -> SignedHead | None:
        """The newest head that was written whole. Raises Unfit where the last line is not as we write it."""
        line = _last_whole_line(self.heads)
        try:
            return read_head(line) if line else None
        except NotAHead as error:
            raise Unfit(f"the last line of {self.heads} was altered: {error}") from error

    def add(self, head: SignedHead) -> None:
        """Appends, durably. What a crash left half written is cut off first. Raises OSError."""
        with self.heads.open("ab") as file:
            file.truncate(_whole(self.heads))
            file.write(head.line)
            file.flush()
            os.fsync(file.fileno())


def _write_whole(path: Path, content: bytes, mode: int) -> None:
    part = path.with_suffix(".part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def _whole(path: Path) -> int:
    """How many bytes of the file are whole lines: it is looked at from its end."""
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        start = max(0, end - _TAIL)
        file.seek(start)
        found = file.read().rfind(b"\n")
    return end if end == 0 else start + found + 1


def _last_whole_line(path: Path) -> bytes:
    try:
        end = _whole(path)
    except FileNotFoundError:
        return b""
    with path.open("rb") as file:
        file.seek(max(0, end - _TAIL))
        lines = file.read(min(end, _TAIL)).splitlines(keepends=True)
    return lines[-1] if lines else b""


_TAIL = 8192
"""More than two lines can have."""
