"""A program's log file: everything that it says, stderr included, in files of bounded size."""

import os
import sys
import threading
from contextlib import suppress
from pathlib import Path

LARGEST_BYTES = 10 * 1024 * 1024
KEPT = 3
STDOUT, STDERR = 1, 2


class Stderr:
    """stderr, for logs: a full disk behind it ends no program."""

    def write(self, text: str) -> int:
        with suppress(OSError):
            sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            sys.stderr.flush()


class RotatingFile:
    """A file that lines are added to. At `largest` bytes it becomes FILE.1, that one FILE.2, and so on."""

    def __init__(self, path: Path, largest: int = LARGEST_BYTES, kept: int = KEPT) -> None:
        self._path, self._largest, self._kept = path, largest, kept
        self._lock = threading.Lock()
        self._open()

    def write(self, text: str) -> int:
        """Writes whole lines; never raises for a full disk: a program must not end for want of a log."""
        line = text.encode(errors="replace")
        with self._lock:
            if self._size + len(line) > self._largest:
                self._rotate()
            self._size += len(line)
            with suppress(OSError):
                os.write(self._descriptor, line)
        return len(text)

    def flush(self) -> None:
        """Nothing is kept back."""

    def _open(self) -> None:
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._size = os.fstat(self._descriptor).st_size

    def close(self) -> None:
        """Nothing may be written afterwards."""
        os.close(self._descriptor)

    def _rotate(self) -> None:
        """Where that cannot be done, lines go on to the file that is there; it is tried again as many bytes later."""
        before, self._size = self._descriptor, 0
        with suppress(OSError):
            if self._path.exists():  # else it was moved in an attempt that got no further, or was deleted
                self._make_room()
            self._open()
            os.close(before)

    def _make_room(self) -> None:
        for number in range(self._kept - 1, 0, -1):
            older = self.rotated(number)
            if older.exists():
                older.replace(self.rotated(number + 1))
        self._path.replace(self.rotated(1))

    def rotated(self, number: int) -> Path:
        """The file of so many turns ago."""
        return self._path.with_name(f"{self._path.name}.{number}")


class LogFile(RotatingFile):
    """Takes the place of stdout and stderr."""

    def _open(self) -> None:
        super()._open()
        # Descriptors, not sys.stderr: what the interpreter and libraries say as they die belongs here, too.
        os.dup2(self._descriptor, STDOUT)
        os.dup2(self._descriptor, STDERR)
