"""Signed heads on the command line: asked for, kept, and held against logs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.text import Text

from sidegate.cli.facts import Json
from sidegate.cli.outcome import Complaint, Exit
from sidegate.cli.session import Session
from sidegate.cli.view import View, table
from sidegate.evidence import ORIGIN, Link, Verifier
from sidegate.resources.logs import LogName
from sidegate.signed_heads import NotAHead, NotAKey, PublicKey, SignedHead, read_head, read_heads

TITLES = ("log", "position", "hash", "signed", "key")
SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Testimony:
    """What heads with a good signature say of logs. With `start`, verification begins at the head there."""

    heads: Sequence[SignedHead] = ()
    start: int | None = None

    def verifier(self, log: str, log_id: str) -> Verifier:
        """A verifier of one log that knows its heads. Raises Complaint where no head can be its start."""
        heads = [head for head in self.heads if head.log == log]
        for head in heads:
            if head.log_id != log_id:
                text = f"a head at position {head.position} was signed for {log} log {head.log_id}, this is {log_id}"
                raise Complaint(text, Exit.NO, "the log was made anew: its earlier history is another log's")
        known = {head.position: head.link.hash for head in heads}
        return Verifier(log_id, self._start(log, known), known)

    def _start(self, log: str, known: Mapping[int, bytes]) -> Link:
        if self.start is None:
            return ORIGIN
        if self.start in known:
            return Link(self.start, known[self.start])
        there = ", ".join(map(str, sorted(known)[-5:])) or "none"
        raise Complaint(f"no head of {log} was signed at position {self.start}", Exit.USAGE, f"the last are: {there}")


def read(heads: Iterable[Path], keys: Iterable[Path], start: int | None) -> Testimony:
    """Reads heads and the keys that they must be signed with. Raises Complaint."""
    found = [(path, head) for path in heads for head in _heads_of(path)]
    known = {key.id: key for key in map(_key_of, keys)}
    if found and not known:
        raise Complaint("heads prove nothing without the key", Exit.USAGE, "--key FILE, from `sidegate audit key LOG`")
    if start is not None and not found:
        raise Complaint("--from needs the signed head to begin at", Exit.USAGE, "--heads FILE --key FILE")
    for path, head in found:
        if head.key_id not in known or not known[head.key_id].signed(head):
            text = f"{path}: the head of {head.log} at position {head.position} is not signed by a key that was given"
            raise Complaint(text, Exit.NO, f"it names key {head.key_id}; given: {', '.join(known)}")
    return Testimony([head for _, head in found], start)


async def signed(session: Session, log: LogName) -> SignedHead | None:
    """The log's head, signed now and checked here; an empty log has none. Raises Complaint where it signs none."""
    answer = await session.sidegate.audit.log(log).head()
    if not answer.public_key:
        raise Complaint(f"the {log} signs no heads", Exit.REFUSED, "start it with --evidence DIRECTORY")
    if not answer.position:
        return None
    try:
        head, key = read_head(answer.signed), PublicKey.read(answer.public_key)
    except (NotAHead, NotAKey) as error:
        raise Complaint(f"the {log}'s answer is no signed head: {error}", Exit.NO) from error
    if not key.signed(head):
        raise Complaint(f"the {log}'s signature does not fit its key", Exit.NO)
    return head


def heads(asked: Mapping[LogName, SignedHead | None], append: Path | None) -> View:
    """Shows the heads, and adds them to a file where one is named. Raises Complaint where there are none."""
    found = [head for head in asked.values() if head]
    remark = "; ".join(f"the {log}'s log is empty: it has no head yet" for log, head in asked.items() if not head)
    if not found:
        raise Complaint(remark, Exit.NOT_THERE)
    if append is not None:
        try:
            with append.open("ab") as file:
                file.write(b"".join(head.line for head in found))
        except OSError as error:
            raise Complaint(f"cannot write to {append}: {error.strerror}", Exit.REFUSED) from error
    told: list[Json] = [asdict(head) for head in found]
    return View(told, lambda _: table(TITLES, [_row(head) for head in found]), remark=remark)


async def key(session: Session, log: LogName) -> View:
    answer = await session.sidegate.audit.log(log).head()
    if not answer.public_key:
        raise Complaint(f"the {log} signs no heads", Exit.REFUSED, "start it with --evidence DIRECTORY")
    pem = answer.public_key.decode(errors="replace").strip()
    return View({"log": log.value, "key_id": PublicKey.read(answer.public_key).id, "pem": pem}, lambda _: Text(pem))


def _row(head: SignedHead) -> Sequence[str]:
    when = datetime.fromtimestamp(head.signed_at // SECOND, UTC).strftime("%Y-%m-%d %H:%M:%S")
    return (head.log, str(head.position), head.hash, when, head.key_id)


def _heads_of(path: Path) -> Sequence[SignedHead]:
    try:
        return read_heads(path)
    except NotAHead as error:
        raise Complaint(f"{path}, {error}", Exit.NO) from error
    except OSError as error:
        raise Complaint(f"cannot read {path}: {error.strerror}", Exit.NOT_THERE) from error


def _key_of(path: Path) -> PublicKey:
    try:
        return PublicKey.read(path.read_bytes())
    except NotAKey as error:
        raise Complaint(f"{path}: {error}", Exit.USAGE) from error
    except OSError as error:
        raise Complaint(f"cannot read {path}: {error.strerror}", Exit.NOT_THERE) from error
