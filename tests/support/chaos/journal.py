"""What a subscriber has heard, in a file: its memory outlives it, as what an agent has programmed does."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

from services.common.eventsourcing.store import GENESIS, Head, RecordedEvent
from sidegate.evidence import Link

ANEW = "anew"


@dataclass(frozen=True, slots=True)
class Hearing:
    """What was heard of one log and epoch since the subscriber began anew."""

    log_id: str
    epoch: int
    events: list[Link]

    @property
    def place(self) -> Head:
        position, hash_ = self.events[-1] if self.events else (0, GENESIS)
        return Head(self.log_id, self.epoch, position, hash_)


def read(path: Path) -> list[Hearing]:
    """Everything that was heard, each beginning by itself; a last line that was not finished does not count."""
    hearings: list[Hearing] = []
    text = path.read_text() if path.exists() else ""
    for line in text[: text.rfind("\n") + 1].splitlines():
        first, second, *rest = line.split(" ")
        if first == ANEW:
            hearings.append(Hearing(second, int(rest[0]), []))
        else:
            hearings[-1].events.append(Link(int(first), bytes.fromhex(second)))
    return hearings


class Journal:
    """The file, while its subscriber lives; what is written is there when the subscriber is killed."""

    def __init__(self, path: Path) -> None:
        hearings = read(path)
        self.place = hearings[-1].place if hearings else None
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        whole = os.pread(self._file, os.fstat(self._file).st_size, 0)
        os.ftruncate(self._file, whole.rfind(b"\n") + 1)

    def begin(self, head: Head) -> None:
        """From here on nothing of what was heard before counts."""
        self.place = Head(head.log_id, head.epoch, 0, GENESIS)
        self._write(f"{ANEW} {head.log_id} {head.epoch}\n")

    def hear(self, event: RecordedEvent) -> None:
        self._write(f"{event.position} {event.hash.hex()}\n")
        if self.place is not None:
            self.place = replace(self.place, position=event.position, hash=event.hash)

    def _write(self, line: str) -> None:
        os.write(self._file, line.encode())
