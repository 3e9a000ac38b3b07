"""The logs as evidence: verified where they are, exported, and verified from what was exported."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from sidegate.cli import exports
from sidegate.cli.exports import Header
from sidegate.cli.facts import Json
from sidegate.cli.outcome import Complaint, Exit, printable
from sidegate.cli.session import Session
from sidegate.cli.testimony import Testimony
from sidegate.cli.view import View, table
from sidegate.evidence import Verdict
from sidegate.proof import TELL_EVERY, follow, recorded
from sidegate.resources.logs import LogName

TITLES = ("log", "records", "head", "verdict")


@dataclass(frozen=True, slots=True)
class Examined:
    """A log that was followed from its first record. `source` is "server" or a file's name.

    Of its facts, `records` and `head` (a hash) are what fits, `position` is the first that does not.
    """

    source: str
    header: Header
    verdict: Verdict

    @property
    def facts(self) -> dict[str, Json]:
        verdict, fault = self.verdict, self.verdict.fault
        return {
            "source": self.source,
            "log": self.header.log,
            "log_id": verdict.log_id,
            "epoch": self.header.epoch,
            "ok": verdict.ok,
            "records": verdict.count,
            "head": verdict.head.hash.hex(),
            "position": fault.position if fault else None,
            "flaw": fault.flaw.value if fault else None,
            "text": fault.text if fault else None,
        }

    @property
    def row(self) -> Sequence[str]:
        name = self.header.log if self.source == "server" else f"{self.header.log} ({self.source})"
        said = "verified" if self.verdict.ok else str(self.verdict.fault)
        return [printable(each) for each in (name, str(self.verdict.count), self.verdict.head.hash.hex(), said)]


async def of_log(session: Session, name: LogName, testimony: Testimony) -> Examined:
    """Follows a live log to the head that it has now."""
    header = await _header(session, name)
    verifier = testimony.verifier(header.log, header.log_id)

    def tell(position: int) -> None:
        session.progress(f"verifying {name}", position, header.position)

    verdict = await follow(session.sidegate.audit.log(name), header.head, verifier, tell)
    return Examined("server", header, verdict)


def of_file(path: Path, testimony: Testimony) -> Examined:
    try:
        header, verdict = exports.verify(path, lambda header: testimony.verifier(header.log, header.log_id))
    except OSError as error:
        raise _unreadable(path, error) from error
    except exports.NotALog as error:
        raise Complaint(f"{path} does not verify: {error}", Exit.NO) from error
    return Examined(str(path), header, verdict)


async def export(session: Session, directory: Path) -> Sequence[tuple[Header, Path]]:
    """Writes both logs to new files, or neither; files that are there stay as they are."""
    written: list[tuple[Header, Path]] = []
    try:
        with exports.new_files([directory / f"{name}.jsonl" for name in LogName]) as files:
            for name, (path, file) in zip(LogName, files.items(), strict=True):
                written.append((await _write(session, name, file), path))
    except FileExistsError as error:
        raise Complaint(f"{error.filename} is there already", Exit.REFUSED, "name another directory") from error
    except OSError as error:
        raise Complaint(f"cannot write to {directory}: {error.strerror}", Exit.REFUSED) from error
    return written


async def _write(session: Session, name: LogName, file: IO[bytes]) -> Header:
    header = await _header(session, name)
    file.write(exports.header_line(header))
    if header.position:
        async for record in session.sidegate.audit.log(name).read(0, header.position):
            file.write(exports.record_line(recorded(record)))
            if record.position % TELL_EVERY == 0:
                session.progress(f"exporting {name}", record.position, header.position)
    return header


def view(examined: Sequence[Examined]) -> View:
    """The exit code says whether all of them verify."""
    code = Exit.OK if all(each.verdict.ok for each in examined) else Exit.NO
    return View([each.facts for each in examined], lambda _: table(TITLES, [each.row for each in examined]), code)


def exported(written: Sequence[tuple[Header, Path]]) -> View:
    told: list[Json] = [
        {
            "log": header.log,
            "log_id": header.log_id,
            "epoch": header.epoch,
            "records": header.position,
            "file": str(path),
        }
        for header, path in written
    ]
    rows = [(header.log, str(header.position), str(path)) for header, path in written]
    return View(told, lambda _: table(("log", "records", "file"), rows))


async def _header(session: Session, name: LogName) -> Header:
    head = await session.sidegate.audit.log(name).head()
    return Header(name.value, head.log_id, head.epoch, head.position, head.hash.hex())


def _unreadable(path: Path, error: OSError) -> Complaint:
    code = Exit.NOT_THERE if isinstance(error, FileNotFoundError) else Exit.REFUSED
    return Complaint(f"cannot read {path}: {error.strerror}", code)
