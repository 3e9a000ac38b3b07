"""Keeps a table of a project's services, endpoints and connections, as Sidegate tells of them on NATS.

    python examples/subscriber.py nats://TOKEN@127.0.0.1:4222 shop default table.json

The file has what is known of each resource *and* how far each stream was read, and is replaced as a whole. So whatever
ends this program, and whenever, it goes on where it was: no change is lost, none counts twice.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import nats
import nats.errors
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from sidegate.api.events.v1.view_pb2 import View

KINDS = {"VIEW-REG": ("service",), "VIEW-EP": ("endpoint", "connection")}
"""Each log's stream of views, and what it tells of. An event takes the same sequences whenever a stream is made."""


class LostOnTheWay(Exception):
    """A message was sent on a connection that broke: the server counts it, we have not got it."""


class Table:
    def __init__(self, path: Path) -> None:
        self._path, self._known = path, json.loads(path.read_text()) if path.exists() else {}

    def of(self, stream: str, epoch: dict[str, str]) -> dict[str, Any]:
        """What is known from a stream: of another log, or of another epoch of it, nothing."""
        known: dict[str, Any] = self._known.get(stream, {})
        if known and known["epoch"] != epoch:
            print(f"{stream}: another epoch, beginning anew", flush=True)
        if not known or known["epoch"] != epoch:
            known = self._known[stream] = {"epoch": epoch, "sequence": 0, "resources": {}}
        return known

    def save(self) -> None:
        part = self._path.with_suffix(".part")
        part.write_text(json.dumps(self._known, indent=2))
        part.replace(self._path)


def take(known: dict[str, Any], sequence: int, view: View) -> None:
    """One change: here it is only counted and printed."""
    known["sequence"] = sequence
    kind = view.WhichOneof("resource")
    if kind is None:
        return  # of a kind that is newer than this program
    resource = getattr(view, kind)
    id_ = resource.endpoint_id if kind == "connection" else resource.id
    before = known["resources"].get(f"{kind}/{id_}", {"changes": 0})
    after = {"what": view.what, "deleted": view.deleted, "position": view.source_position}
    known["resources"][f"{kind}/{id_}"] = {**after, "changes": before["changes"] + 1}
    print(view.source_log, view.source_position, kind, id_, view.what, flush=True)


async def read(jetstream: JetStreamContext, stream: str, subjects: list[str], table: Table) -> None:
    """Reads one stream until it is lost. A consumer of our own begins after the last sequence that we saved."""
    name = await jetstream.find_stream_name_by_subject(subjects[0])
    info = await jetstream.stream_info(name)
    named = info.config.metadata or {}
    known = table.of(stream, {key: named[key] for key in ("log_id", "epoch")})
    if known["sequence"] + 1 < info.state.first_seq:
        print(f"{stream}: what was told before {info.state.first_seq} is gone: list what is there", flush=True)
    config = ConsumerConfig(
        filter_subjects=subjects,
        deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
        opt_start_seq=known["sequence"] + 1,
        ack_policy=AckPolicy.NONE,
        inactive_threshold=30,
    )
    consumer = (await jetstream.add_consumer(name, config)).name
    subscription = await jetstream.pull_subscribe_bind(consumer, name)
    heard = 0
    while True:
        try:
            messages = await subscription.fetch(100, timeout=1)
        except nats.errors.TimeoutError:
            await subscription.consumer_info()  # raises where the stream was replaced, or the server forgot us
            continue
        for message in messages:
            heard += 1
            if message.metadata.sequence.consumer != heard:
                raise LostOnTheWay(f"number {heard} was sent and did not arrive")
            # Whatever a server sends again counts once.
            if message.metadata.sequence.stream > known["sequence"]:
                take(known, message.metadata.sequence.stream, View.FromString(message.data))
        table.save()


async def follow(url: str, stream: str, subjects: list[str], table: Table) -> None:
    """Reads a stream for ever, across restarts of NATS and of Sidegate."""
    client = await nats.connect(url, max_reconnect_attempts=-1, reconnect_time_wait=0.2, error_cb=_say)
    while True:
        try:
            await read(client.jetstream(timeout=2), stream, subjects, table)
        except (nats.errors.Error, TimeoutError, OSError, LostOnTheWay) as error:
            print(f"{stream}: {str(error) or type(error).__name__}, trying again", file=sys.stderr, flush=True)
            await asyncio.sleep(0.2)


async def _say(error: Exception) -> None:
    print(f"NATS: {error}", file=sys.stderr, flush=True)


async def main(url: str, account: str, project: str, path: str) -> None:
    table, owner = Table(Path(path)), f"sidegate.v1.{account}~{project}"
    streams = {stream: [f"{owner}.{kind}.*" for kind in kinds] for stream, kinds in KINDS.items()}
    await asyncio.gather(*(follow(url, stream, subjects, table) for stream, subjects in streams.items()))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
