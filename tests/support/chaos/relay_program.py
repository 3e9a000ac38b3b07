"""A relay as a program of its own: relay_program DATABASE NATS_URL CREDENTIAL.

It looks at a quiet stream every 200 ms.
"""

import asyncio
import sys
from pathlib import Path

from services.common.eventsourcing.sql_store import SqlStore
from services.common.messaging.connection import connect
from services.common.messaging.relay import Relay
from services.common.messaging.stream import ENDPOINT
from services.common.program import run
from tests.support.cell import cell_subject

RECHECK = 0.2


async def main(database: str, nats: str, credential: str) -> None:
    store = await SqlStore.open(database, synchronous="NORMAL")
    try:
        async with await connect(nats, "relay", Path(credential)) as connection:
            await asyncio.ensure_future(Relay(store, connection, ENDPOINT, cell_subject, RECHECK).run())
    finally:
        await store.close()


if __name__ == "__main__":
    run(main(*sys.argv[1:]))
