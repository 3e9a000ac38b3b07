"""Keeps a table of a project's services, endpoints and connections, as Sidegate tells of them on NATS.

    sidegate --account shop credential create --events --out shop.creds
    python examples/subscriber.py nats://127.0.0.1:4222 shop.creds table.json

The file has what is known of each resource *and* how far each stream was read, and is replaced as a whole. So whatever
ends this program, and whenever, it goes on where it was: no change is lost, none counts twice.
"""

import asyncio
import base64
import json
import sys
import time
from pathlib import Path
from typing import Any

import nats
import nats.errors
from nats.aio.client import Client
from nats.js import JetStreamContext

from sidegate.api.events.v1.view_pb2 import View
from sidegate.nkeys import UserCredential

STREAMS = ("VIEW-REG", "VIEW-EP")
"""The views of each log: services, and endpoints with connections. They are called so in every epoch."""

KEPT_SECONDS = 7 * 86400
"""For so long views are kept."""


class LostOnTheWay(Exception):
    """A message was sent on a connection that broke: the server counts it, we have not got it."""


class Table:
    def __init__(self, path: Path) -> None:
        self._path, self._known = path, json.loads(path.read_text()) if path.exists() else {}

    def sequence(self, stream: str) -> int:
        """The last that was read of a stream."""
        return int(self._known.get(stream, {}).get("sequence", 0))

    def of(self, stream: str, epoch: dict[str, str]) -> dict[str, Any]:
        """What is known from a stream: of another log, or of another epoch of it, nothing."""
        known: dict[str, Any] = self._known.get(stream, {})
        if known and known["epoch"] != epoch:
            print(f"{stream}: another epoch, beginning anew", flush=True)
        if not known or known["epoch"] != epoch:
            known = self._known[stream] = {"epoch": epoch, "sequence": 0, "resources": {}, "read": time.time()}
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


async def begin(jetstream: JetStreamContext, stream: str, consumer: str, table: Table) -> dict[str, Any]:
    """Moves our consumer to what comes after the last sequence that we saved; it fails where it is not there."""
    asked = table.sequence(stream)
    reset = await jetstream.reset_consumer(stream, consumer, asked + 1)
    named = reset.info.config.metadata or {}
    known = table.of(stream, {key: named[key] for key in ("log_id", "epoch")})
    if known["sequence"] != asked:
        await jetstream.reset_consumer(stream, consumer, 1)
    return known


async def read(jetstream: JetStreamContext, stream: str, consumer: str, table: Table) -> None:
    """Reads one stream until it is lost."""
    known = await begin(jetstream, stream, consumer, table)
    if time.time() - known["read"] > KEPT_SECONDS:
        print(f"{stream}: some of what was told meanwhile may be gone: list what is there", flush=True)
    subscription = await jetstream.pull_subscribe_bind(consumer, stream)
    heard = 0
    while True:
        try:
            messages = await subscription.fetch(100, timeout=1)
        except TimeoutError:
            # Nothing new, or the consumer is not there any more, or another one is.
            known, heard = await begin(jetstream, stream, consumer, table), 0
            messages = []
        for message in messages:
            heard += 1
            if message.metadata.sequence.consumer != heard:
                raise LostOnTheWay(f"number {heard} was sent and did not arrive")
            # Whatever a server sends again counts once.
            if message.metadata.sequence.stream > known["sequence"]:
                take(known, message.metadata.sequence.stream, View.FromString(message.data))
        known["read"] = time.time()
        table.save()


async def follow(client: Client, stream: str, consumer: str, table: Table) -> None:
    """Reads a stream for ever, across restarts of NATS and of Sidegate."""
    while not client.is_closed:
        try:
            await read(client.jetstream(timeout=2), stream, consumer, table)
        except (nats.errors.Error, TimeoutError, OSError, LostOnTheWay) as error:
            print(f"{stream}: {str(error) or type(error).__name__}, trying again", file=sys.stderr, flush=True)
            await asyncio.sleep(0.2)


async def connect(url: str, credential: UserCredential) -> Client:
    """With the package `nkeys`, `user_credentials=FILE` says the same as the two callbacks."""

    async def say(error: Exception) -> None:
        print(f"NATS: {error}", file=sys.stderr, flush=True)

    def sign(nonce: str) -> bytes:
        return base64.b64encode(credential.key.sign(nonce.encode()))

    return await nats.connect(
        url,
        user_jwt_cb=credential.jwt.encode,
        signature_cb=sign,
        inbox_prefix=f"_INBOX_{credential.name}",
        max_reconnect_attempts=-1,
        reconnect_time_wait=0.2,
        error_cb=say,
    )


async def main(url: str, credential: UserCredential, table: Table) -> None:
    client = await connect(url, credential)
    await asyncio.gather(*(follow(client, stream, credential.name, table) for stream in STREAMS))
    sys.exit("NATS has ended the connection for good: the credential has ended, or was revoked")


if __name__ == "__main__":
    where, credential_file, table_file = sys.argv[1:]
    asyncio.run(main(where, UserCredential.parse(Path(credential_file).read_text()), Table(Path(table_file))))
