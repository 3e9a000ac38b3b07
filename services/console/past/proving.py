"""The chain's verification: what the logs' heads are now, and a check that goes on beside its reader."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from google.protobuf.timestamp_pb2 import Timestamp

from services.console.past.wanted import at_nanoseconds
from services.console.sessions.session import Session
from sidegate import errors
from sidegate.api.events.v1.log_pb2 import GetHeadResponse
from sidegate.client import Client
from sidegate.evidence import Link, Verdict, Verifier
from sidegate.proof import follow
from sidegate.resources.logs import LogName
from sidegate.signed_heads import NotAHead, NotAKey, PublicKey, SignedHead, read_head

AT_ONCE = asyncio.Semaphore(2)
"""Checks that read a log at the same time, of all sessions: each takes a share of this program's processor."""

KEPT = "proof"


@dataclass(frozen=True, slots=True)
class Head:
    """A log's end. `signed` is None where it is not signed; `fault` says why a signature is worth nothing."""

    log: LogName
    log_id: str
    epoch: int
    link: Link
    signed: SignedHead | None = None
    fault: str = ""

    @property
    def signed_at(self) -> Timestamp | None:
        return at_nanoseconds(self.signed.signed_at) if self.signed else None


async def head_of(client: Client, log: LogName) -> Head:
    """Raises SidegateError."""
    answer = await client.audit.log(log).head()
    signed, fault = None, ""
    if answer.signed:
        try:
            signed = _signed(answer)
        except (NotAHead, NotAKey) as error:
            fault = str(error)
    return Head(log, answer.log_id, answer.epoch, Link(answer.position, answer.hash), signed, fault)


def _signed(answer: GetHeadResponse) -> SignedHead:
    """Raises NotAHead and NotAKey."""
    head, key = read_head(answer.signed), PublicKey.read(answer.public_key)
    if not key.signed(head):
        raise NotAHead("the signature does not fit the log's key")
    if (head.log_id, head.link) != (answer.log_id, Link(answer.position, answer.hash)):
        raise NotAHead("what is signed is another head")
    return head


@dataclass
class Check:
    """One log, being read: `reached` of `head.link.position`, then a verdict, or a refusal that has ended it."""

    head: Head
    kept: Mapping[int, bytes] = field(default_factory=dict)
    reached: int = 0
    verdict: Verdict | None = None
    refused: errors.SidegateError | None = None

    @property
    def percent(self) -> int:
        return 100 * self.reached // max(1, self.head.link.position)

    async def run(self, client: Client) -> None:
        def tell(position: int) -> None:
            self.reached = position

        try:
            async with AT_ONCE:
                verifier = Verifier(self.head.log_id, heads={**_trusted(self.head), **self.kept})
                self.verdict = await follow(client.audit.log(self.head.log), self.head.link, verifier, tell)
        except errors.SidegateError as error:
            self.refused = error


def _trusted(head: Head) -> Mapping[int, bytes]:
    return {head.signed.position: head.signed.link.hash} if head.signed else {}


@dataclass
class Proof:
    """The check of a session: both logs, one after another, to the heads that they had when it began."""

    checks: list[Check] = field(default_factory=list)
    task: asyncio.Task[None] | None = field(default=None, repr=False)

    @property
    def goes_on(self) -> bool:
        return self.task is not None and not self.task.done()

    async def run(self, client: Client) -> None:
        for check in self.checks:
            await check.run(client)

    async def stop(self) -> None:
        if self.task is not None:
            self.task.cancel()
            with suppress(asyncio.CancelledError):
                await self.task


async def begin(session: Session, kept: Callable[[Head], Mapping[int, bytes]]) -> Proof:
    """Begins a check, unless one goes on. `kept` are heads that a log must lead to. Raises SidegateError."""
    if before := _going_on(session):
        return before
    client = session.client  # the session may act for another before the check has ended
    heads = [await head_of(client, log) for log in LogName]
    if before := _going_on(session):  # somebody was faster meanwhile
        return before
    proof = Proof([Check(head, kept(head)) for head in heads])
    session.kept[KEPT] = proof
    proof.task = asyncio.create_task(proof.run(client))
    return proof


def _going_on(session: Session) -> Proof | None:
    proof = proof_of(session)
    return proof if proof is not None and proof.goes_on else None


def proof_of(session: Session) -> Proof | None:
    found = session.kept.get(KEPT)
    return found if isinstance(found, Proof) else None
