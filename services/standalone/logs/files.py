"""The programs' log files: what is in them, and what is added to them, through rotations and restarts."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

from services.standalone.logs.lines import Line, parse


class LogTail:
    """One program's log, from its oldest file on; `read` gives the lines that have come since the last time."""

    def __init__(self, program: str, path: Path) -> None:
        self._program, self._path = program, path
        self._file: IO[bytes] | None = None
        self._rest = b""
        self._before: Line | None = None

    def history(self) -> Iterator[Line]:
        """The lines of the files that were full before now; then those of the present one."""
        self._open()
        known = {os.fstat(self._file.fileno()).st_ino} if self._file else set()
        for full in sorted(self._path.parent.glob(f"{self._path.name}.[0-9]*"), key=_age, reverse=True):
            with suppress(FileNotFoundError), full.open("rb") as file:
                if os.fstat(file.fileno()).st_ino not in known:
                    yield from self._lines(file.read() + b"\n")
        yield from self.read()

    def read(self) -> Iterator[Line]:
        self._open()
        if self._file is None:
            return
        yield from self._lines(self._file.read())
        if self._is_replaced(self._file):
            yield from self._lines(self._file.read() + b"\n")  # what came between the two looks
            self.close()
            yield from self.read()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> None:
        with suppress(FileNotFoundError):  # its program has yet to begin, or turns it over at this moment
            self._file = self._file or self._path.open("rb")

    def _is_replaced(self, file: IO[bytes]) -> bool:
        try:
            return self._path.stat().st_ino != os.fstat(file.fileno()).st_ino
        except FileNotFoundError:
            return False

    def _lines(self, data: bytes) -> Iterator[Line]:
        *whole, self._rest = (self._rest + data).split(b"\n")
        for raw in whole:
            if raw:
                self._before = parse(self._program, raw.decode(errors="replace"), self._before)
                yield self._before


class LogTails:
    """The logs of all programs in a data directory, those included that begin later."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._tails: dict[Path, LogTail] = {}

    def __bool__(self) -> bool:
        return any(self._paths())

    def history(self) -> list[Line]:
        """All lines there are, in the order of their times."""
        return _in_order(line for tail in self._known() for line in tail.history())

    def read(self) -> list[Line]:
        """Those that have come since."""
        return _in_order(line for tail in self._known() for line in tail.read())

    def close(self) -> None:
        for tail in self._tails.values():
            tail.close()

    def _known(self) -> list[LogTail]:
        for path in self._paths():
            if path not in self._tails:
                self._tails[path] = LogTail(path.stem, path)
        return list(self._tails.values())

    def _paths(self) -> Iterator[Path]:
        yield from sorted((self._data / "logs").glob("*.log"))
        yield from (self._data / "nats").glob("nats.log")


def _in_order(lines: Iterator[Line]) -> list[Line]:
    return sorted(lines, key=lambda line: line.time)


def _age(path: Path) -> int:
    number = path.suffix.removeprefix(".")
    return int(number) if number.isdecimal() else 0
