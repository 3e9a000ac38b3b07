"""`sidegate audit`: who did what; whether the log still says so; what it leads to."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from google.protobuf.timestamp_pb2 import Timestamp

from sidegate.api.events.v1.log_pb2 import LogRecord
from sidegate.api.gateway.v1.gateway_service_pb2 import GetTableRequest
from sidegate.cli import chronicle, comparison, following, forwarding, parsing, proof, refused, testimony
from sidegate.cli.chronicle import Deed
from sidegate.cli.command import Noun
from sidegate.cli.options import From
from sidegate.cli.outcome import Complaint, Exit
from sidegate.cli.parsing import Place
from sidegate.cli.session import Session
from sidegate.cli.streaming import Running
from sidegate.cli.view import View
from sidegate.resources.logs import LogName

noun = Noun("audit", "The event logs: who did what, and the proof of it. For the operator.")

Everything = Annotated[
    Place | None,
    typer.Option(
        "--at",
        metavar="POSITION|TIME",
        parser=parsing.place,
        help="Up to this position of the endpoint service's log, or this moment; else all of it.",
    ),
]


@noun.verb(
    "list",
    "sidegate audit list",
    "sidegate audit list --account shop --since 10m",
    "sidegate audit list --stream endpoint-6f1c2a3b-5d0e-4f6a-9b1c-2d3e4f5a6b7c --limit 0 -o json",
)
async def list_(
    session: Session,
    limit: Annotated[int, typer.Option(min=0, help="How many of the newest; 0 for all.")] = 50,
    stream: Annotated[str, typer.Option(metavar="KIND-ID", help="Only this stream.")] = "",
    account: Annotated[str, typer.Option(metavar="ACCOUNT", help="Only what this account did.")] = "",
    since: Annotated[
        Timestamp | None,
        typer.Option(metavar="TIME", parser=parsing.moment, help="Only from then on: a moment, or 10m, 2h, 1d ago."),
    ] = None,
) -> View:
    """List who did what, oldest first, of both logs."""
    deeds: list[Deed] = []
    for log in LogName:
        filtered = bool(stream or account or since)
        records = session.sidegate.audit.log(log)
        after = 0 if filtered or not limit else max(0, (await records.head()).position - limit)
        found = records.list(stream=stream, account=account, start=since) if filtered else records.read(after)
        deeds += [Deed.of(log, record) for record in await _newest(found, limit)]
    deeds.sort(key=lambda deed: deed.record.recorded_at)
    return chronicle.view(deeds[-limit:])


@noun.verb("refused", "sidegate audit refused", "sidegate audit refused --limit 1000 -o json")
async def refused_(
    session: Session,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many of the newest of each program.")] = 50,
) -> View:
    """List who was refused what, and why, oldest first: the access logs of both services."""
    found = [(log, refusal) for log in LogName for refusal in await session.sidegate.audit.log(log).refused(limit)]
    return refused.view(sorted(found, key=lambda each: each[1].time.ToNanoseconds()))


class Followed(StrEnum):
    """Which logs are followed."""

    REGISTRY = "registry"
    ENDPOINT = "endpoint"
    BOTH = "both"


@noun.endless(
    "follow",
    "sidegate audit follow",
    "sidegate audit follow --log endpoint --from 42 -o json",
)
async def follow(
    session: Session,
    log: Annotated[Followed, typer.Option(help="Which log.")] = Followed.BOTH,
    after: From = None,
) -> Running:
    """Tell who does what, as it is appended, until Ctrl-C; end where a record does not fit the one before."""
    if after and log is Followed.BOTH:
        raise Complaint(
            "a position is one of one log", Exit.USAGE, "give --log registry or --log endpoint, or --from 0"
        )
    logs = list(LogName) if log is Followed.BOTH else [LogName(log.value)]
    return Running(following.TITLES, following.lines(session, logs, after), following.MORE)


@noun.verb(
    "verify",
    "sidegate audit verify",
    "sidegate audit verify evidence/registry.jsonl evidence/endpoint.jsonl",
    "sidegate audit verify --heads heads.jsonl --key registry.pem --key endpoint.pem",
    "sidegate audit verify --log endpoint --heads heads.jsonl --key endpoint.pem --from 42000",
)
async def verify(
    session: Session,
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="[FILE...]", help="Exported logs; without any, the live ones.")
    ] = None,
    *,
    log: Annotated[LogName | None, typer.Option("--log", help="Only this live log; else both.")] = None,
    heads: Annotated[
        list[Path] | None,
        typer.Option("--heads", metavar="FILE", help="Signed heads that the logs must lead to; once for each file."),
    ] = None,
    key: Annotated[
        list[Path] | None,
        typer.Option("--key", metavar="FILE", help="A public key that heads may be signed with; once for each."),
    ] = None,
    start: Annotated[
        int | None,
        typer.Option("--from", metavar="POSITION", min=1, help="Begin at the signed head there, not at the first."),
    ] = None,
) -> View:
    """Recompute the hash chain of both logs, or of exported ones; name the first position that does not fit."""
    heard = testimony.read(heads or (), key or (), start)
    if files:
        # In a thread, so that a person hears that it goes on.
        return proof.view([await asyncio.to_thread(proof.of_file, file, heard) for file in files])
    return proof.view([await proof.of_log(session, each, heard) for each in ([log] if log else LogName)])


@noun.verb("head", "sidegate audit head", "sidegate audit head --append /mnt/elsewhere/heads.jsonl")
async def head(
    session: Session,
    append: Annotated[
        Path | None, typer.Option("--append", metavar="FILE", help="Add them to this file, a line for each.")
    ] = None,
) -> View:
    """Have both logs sign their heads now: kept elsewhere, they prove later that nothing before was altered."""
    return testimony.heads({log: await testimony.signed(session, log) for log in LogName}, append)


@noun.verb("key", "sidegate audit key registry")
async def key(
    session: Session, log: Annotated[LogName, typer.Argument(metavar="registry|endpoint", help="Whose key.")]
) -> View:
    """Show the public key that a log's heads are signed with, for a file that is kept elsewhere."""
    return await testimony.key(session, log)


@noun.verb("export", "sidegate audit export evidence")
async def export(
    session: Session,
    directory: Annotated[Path, typer.Argument(metavar="DIRECTORY", help="Made where it is not there.")],
) -> View:
    """Write both logs to files that prove themselves offline: DIRECTORY/registry.jsonl and endpoint.jsonl."""
    return proof.exported(await proof.export(session, directory))


@noun.verb(
    "replay",
    "sidegate audit replay --compare",
    "sidegate audit replay --at 42",
    "sidegate audit replay --at 2026-11-23T08:30:00 -o json",
)
async def replay(
    session: Session,
    at: Everything = None,
    compare: Annotated[bool, typer.Option("--compare", help="Hold it against the kernel's table.")] = False,
) -> View:
    """Replay the log into an empty forwarding table, on this machine's gateway."""
    gateway, place = session.gateway, at or Place()
    if not compare:
        return forwarding.view(
            await gateway.table(GetTableRequest.SOURCE_REPLAY, position=place.position, time=place.time)
        )
    # The kernel first: what happens meanwhile must not look like a difference.
    kernel = await gateway.table(GetTableRequest.SOURCE_KERNEL)
    place = at or Place(position=kernel.position)
    replayed = await gateway.table(GetTableRequest.SOURCE_REPLAY, position=place.position, time=place.time)
    return comparison.view(replayed, kernel)


async def _newest(records: AsyncIterator[LogRecord], limit: int) -> Iterable[LogRecord]:
    """The last ones, all where the limit is 0; no more than that is held at a time."""
    kept: deque[LogRecord] = deque(maxlen=limit or None)
    async for record in records:
        kept.append(record)
    return kept
