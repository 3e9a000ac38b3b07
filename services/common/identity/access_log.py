"""What was refused: who asked what, from where, and why not. Bounded in memory, on disk, and for each caller."""

import json
import os
import threading
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from services.common.identity.attempts import MOST_BUCKETS, Buckets

LARGEST_BYTES = 4 * 1024 * 1024
KEPT = 3
SHOWN = 1000
LONGEST_FIELD = 200
BURST, EVERY_SECONDS = 50, 1.0


@dataclass(frozen=True, slots=True)
class Refusal:
    """A call that was refused. `at` is in nanoseconds since the epoch; `left_out` counts those before it that are not
    written, since their caller made too many."""

    at: int
    method: str
    code: str
    reason: str
    peer: str
    account: str = ""
    project: str = ""
    acting: str = ""
    access_key: str = ""
    resource: str = ""
    left_out: int = 0

    @property
    def caller(self) -> str:
        """Whose share of the log it takes: one who proved nothing is known by where it calls from."""
        proved = f"{self.acting or self.account}/{self.access_key or self.project}"
        return proved if self.account else self.peer.rpartition(":")[0]


class AccessLog:
    """Lines of JSON in PATH, and in as many as KEPT older files; without a path the newest are kept in memory alone."""

    def __init__(self, path: Path | None = None, largest: int = LARGEST_BYTES) -> None:
        self._path, self._largest = path, largest
        self._lock = threading.Lock()
        self._shares = Buckets(BURST, EVERY_SECONDS)
        self._left_out: Counter[str] = Counter()
        self._newest: deque[Refusal] = deque(_lines(path) if path else (), maxlen=SHOWN)

    def write(self, refusal: Refusal) -> None:
        """Never raises: a full disk must not let a caller in."""
        with self._lock:
            caller = refusal.caller
            if not self._shares.take(caller):
                self._left_out[caller] += 1
                if len(self._left_out) > MOST_BUCKETS:
                    self._left_out.clear()
                return
            told = replace(_bounded(refusal), left_out=self._left_out.pop(caller, 0))
            self._newest.append(told)
            if self._path is not None:
                with suppress(OSError):
                    self._append(self._path, (json.dumps(asdict(told)) + "\n").encode())

    def newest(self, count: int) -> Sequence[Refusal]:
        """Oldest first."""
        return list(self._newest)[-count:]

    def _append(self, path: Path, line: bytes) -> None:
        if path.exists() and path.stat().st_size + len(line) > self._largest:
            for number in range(KEPT - 1, 0, -1):
                if (older := _rotated(path, number)).exists():
                    older.replace(_rotated(path, number + 1))
            path.replace(_rotated(path, 1))
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            os.write(opened, line)
        finally:
            os.close(opened)


def _rotated(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")


def _bounded(refusal: Refusal) -> Refusal:
    """What a caller says of himself can be long."""
    return replace(
        refusal,
        account=refusal.account[:LONGEST_FIELD],
        project=refusal.project[:LONGEST_FIELD],
        access_key=refusal.access_key[:LONGEST_FIELD],
        resource=refusal.resource[:LONGEST_FIELD],
        method=refusal.method[:LONGEST_FIELD],
    )


def _lines(path: Path) -> list[Refusal]:
    """What an earlier run has written; a line that was cut short is left out."""
    found = []
    for file in (_rotated(path, 1), path):
        with suppress(OSError):
            for line in file.read_text(errors="replace").splitlines()[-SHOWN:]:
                with suppress(ValueError, TypeError):
                    found.append(Refusal(**json.loads(line)))
    return found
