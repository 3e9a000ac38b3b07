"""A subscriber as a program of its own: subscriber_program NATS_URL OWNER TLS JOURNAL [CELL]. OWNER is host:port,
TLS the directory of its certificate and credential."""

import asyncio
import sys
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path

from services.common.eventsourcing.store import Head, RecordedEvent
from services.common.identity.certificates import Certificates
from services.common.identity.nats.authority import CREDENTIAL_FILE
from services.common.messaging import subjects
from services.common.messaging.connection import connect
from services.common.messaging.following import Followed, OwnerAway
from services.common.messaging.stream import ENDPOINT
from services.common.messaging.subscription import Gap, LogChanged
from services.common.program import run
from services.common.rpc.following import RemoteLog
from sidegate.access import Certified
from sidegate.transport import Caller
from tests.support.cell import WHOLE_LOG
from tests.support.chaos.journal import Journal

LOOK = 1.0
PAUSE = 0.1


class CellOfRemoteLog:
    """What an owner has of one cell."""

    def __init__(self, log: RemoteLog, cell: str) -> None:
        self._log, self._cell = log, cell

    async def head(self) -> Head:
        return await self._log.head()

    async def read(self, after: int, upto: int) -> Sequence[RecordedEvent]:
        while after < upto and (events := await self._log.read(after, upto)):
            if found := [event for event in events if event.partition == self._cell]:
                return found
            after = events[-1].position
        return []


async def main(nats: str, owner: str, tls: str, journal_path: str, cell: str = "") -> None:
    journal = Journal(Path(journal_path))
    caller = Caller(owner, Certified(Certificates(Path(tls)).calling()))
    log = RemoteLog(caller)
    of = CellOfRemoteLog(log, cell) if cell else log
    selection = subjects.of_cell(cell) if cell else WHOLE_LOG
    try:
        async with await connect(nats, "subscriber", Path(tls) / CREDENTIAL_FILE) as connection:
            while True:
                try:
                    place = journal.place
                    if place is None:
                        journal.begin(await log.head())
                        continue
                    followed = Followed(connection, ENDPOINT, selection, of, since=place, look=LOOK)
                    async with aclosing(followed.events()) as events:
                        async for event in events:
                            journal.hear(event)
                except LogChanged as told:
                    print("beginning anew:", told, flush=True)
                    journal.place = None
                except (Gap, OwnerAway) as trouble:
                    print("trying again:", trouble, flush=True)
                    await asyncio.sleep(PAUSE)
    finally:
        await caller.close()


if __name__ == "__main__":
    run(main(*sys.argv[1:]))
