"""Someone who follows the endpoint service's log over NATS as a gateway agent does, and says how late he hears it.

Takes one JSON line with `nats` (a URL), `user` (the file of a credential) and `after` (a position); says
`{"ready": true}`, then of each event how many milliseconds after its `recorded_at` it was heard: the moment that the
service took before it handed the event to the log, so that the commit is part of it. A plain message on the subject
`bench` carries such a moment, too.
"""

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import structlog
from nats.aio.msg import Msg

from services.common.eventsourcing.store import RecordedEvent
from services.common.messaging.connection import connect
from services.common.messaging.stream import ENDPOINT
from services.common.messaging.subjects import Selection
from services.common.messaging.subscription import Subscription
from services.common.program import run

SUBJECT = "bench"


def say(**facts: Any) -> None:
    print(json.dumps(facts), flush=True)


def late(moment: int) -> float:
    """Milliseconds since the moment, nanoseconds since the epoch."""
    return (time.time_ns() - moment) / 1e6


async def heard_plainly(message: Msg) -> None:
    say(plain=late(int(message.data)))


async def no_gaps(after: int, upto: int) -> Sequence[RecordedEvent]:
    raise RuntimeError(f"events {after} to {upto} were not heard")


async def main() -> None:
    wanted = json.loads(sys.stdin.readline())
    connection = await connect(wanted["nats"], "bench", Path(wanted["user"]))
    await connection.client.subscribe(SUBJECT, cb=heard_plainly)
    selection = Selection(ENDPOINT.subjects[0])
    async with Subscription(connection, ENDPOINT, selection, after=wanted["after"], gap_fill=no_gaps) as events:
        waiting = asyncio.create_task(tell_when_ready(events))
        async for event in events:
            say(late=late(event.recorded_at), position=event.position)
        await waiting


async def tell_when_ready(events: Subscription) -> None:
    await events.wait_caught_up()
    say(ready=True)


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # stdout is for what is measured
    run(main())
