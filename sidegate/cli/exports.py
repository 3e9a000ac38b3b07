"""A log as a file that proves itself offline: a header line, then a line for each record, in JSON.

Each line has one spelling only, so that any byte that is altered is found: in a record by its hash or its spelling,
in the header by its seal.
"""

import base64
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, cast, get_type_hints

from sidegate.evidence import Fault, Flaw, Link, RecordedEvent, Verdict, Verifier
from sidegate.proof import concluded

LONGEST_LINE = 8 * 1024 * 1024
COLUMNS = get_type_hints(RecordedEvent)


class NotALog(Exception):
    """The file is no exported log, or its header has been altered."""


@dataclass(frozen=True, slots=True)
class Header:
    """Which log it is and where it ended when it was exported; `hash` in hexadecimal."""

    log: str
    log_id: str
    epoch: int
    position: int
    hash: str

    @property
    def seal(self) -> str:
        return hashlib.sha256(_line(asdict(self))).hexdigest()

    @property
    def head(self) -> Link:
        return Link(self.position, bytes.fromhex(self.hash))


def header_line(header: Header) -> bytes:
    return _line({**asdict(header), "seal": header.seal})


def record_line(record: RecordedEvent) -> bytes:
    """Every column under its name; bytes in base64."""
    return _line({name: _spelled(value) for name, value in zip(COLUMNS, record, strict=True)})


def read_header(line: bytes) -> Header:
    try:
        found = json.loads(line)
        header = Header(**{name: kind(found[name]) for name, kind in get_type_hints(Header).items()})
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise NotALog("its first line is not the header of an exported log") from error
    if header_line(header) != line:
        raise NotALog("its header has been altered")
    return header


def read_record(line: bytes) -> RecordedEvent:
    """Raises ValueError where the line has not the columns of a record."""
    try:
        found = json.loads(line)
        columns = {name: _column(found[name], kind) for name, kind in COLUMNS.items()}
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ValueError("its line is not that of a record") from error
    return RecordedEvent(**cast("dict[str, Any]", columns))


def verify(path: Path, verifier_of: Callable[[Header], Verifier]) -> tuple[Header, Verdict]:
    """Follows the chain through a file to the head that its header names. Raises NotALog, OSError."""
    with path.open("rb") as file:
        header = read_header(file.readline(LONGEST_LINE))
        return header, conclude(header, _follow(verifier_of(header), file))


def conclude(header: Header, verdict: Verdict) -> Verdict:
    """The verdict at the end, once the place that was reached is held against the head that was promised."""
    return concluded(verdict, header.head)


@contextmanager
def new_files(paths: Sequence[Path]) -> Iterator[dict[Path, IO[bytes]]]:
    """Files that were not there, open for writing; none of them stays if the block fails."""
    opened: dict[Path, IO[bytes]] = {}
    with ExitStack() as closing:
        try:
            for path in paths:
                path.parent.mkdir(parents=True, exist_ok=True)
                opened[path] = closing.enter_context(path.open("xb"))
            yield opened
        except BaseException:
            for path in opened:
                path.unlink()
            raise


def _follow(verifier: Verifier, file: IO[bytes]) -> Verdict:
    for _ in range(verifier.verdict.head.position):  # a trusted head vouches for those
        file.readline(LONGEST_LINE)
    for line in _lines(file):
        before = verifier.verdict
        text = _misfit(verifier, line)
        if text:
            fault = Fault(before.head.position + 1, Flaw.MALFORMED, text)
            return Verdict(before.log_id, before.head, before.count, fault)
        if not verifier.verdict.ok:
            break
    return verifier.end()


def _misfit(verifier: Verifier, line: bytes) -> str:
    """What is wrong with a line that its chain does not tell."""
    try:
        record = read_record(line)
    except ValueError as error:
        return str(error)
    if verifier.follow(record) is None and record_line(record) != line:
        return "its line is spelled otherwise than it was exported"
    return ""


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    while line := file.readline(LONGEST_LINE):
        yield line


def _spelled(value: object) -> object:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def _column(value: object, kind: type) -> str | int | bytes:
    if kind is bytes and isinstance(value, str):
        return base64.b64decode(value, validate=True)
    if isinstance(value, (str, int)) and isinstance(value, kind):
        return value
    raise TypeError(f"{value!r} is no {kind.__name__}")


def _line(columns: Mapping[str, object]) -> bytes:
    return json.dumps(columns, separators=(",", ":")).encode() + b"\n"
