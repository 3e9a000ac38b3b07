"""A program that appends for as long as it lives, and tells a pipe what was acknowledged: made to be killed."""

import asyncio
import os
import struct
import sys
from random import Random

from services.common.eventsourcing.sql_store import SqlStore
from services.common.eventsourcing.store import (
    AlreadyClaimed,
    AnyVersion,
    Append,
    Claim,
    Constraints,
    Count,
    NewEvent,
    RecordedEvent,
    Request,
    RequestKey,
)
from tests.support.stores import AT, Tally

ACKNOWLEDGED = struct.Struct(">QQ")
"""A position, and the number that the event there carries."""

WRITERS = 12


def meaning(event: RecordedEvent) -> Constraints:
    """What its events mean to other streams: every third claims an address or gives it up."""
    (number,) = struct.unpack(">Q", event.data)
    return _meaning(number)


def request_of(number: int) -> Request:
    key = RequestKey("acme", "shop", "CreateEndpoint", f"{number:x}")
    return Request(key, number.to_bytes(32, "big"), f"answer to {number:x}".encode())


def _meaning(number: int) -> Constraints:
    claim, counts = Claim("address", str(number % 97)), (Count("endpoints", "shop", 1),)
    match number % 3:
        case 0:
            return Constraints(claims=(claim,), counts=counts)
        case 1:
            return Constraints(releases=(claim,), counts=counts)
        case _:
            return Constraints(counts=counts)


def append_of(number: int) -> Append:
    event = NewEvent("endpoint.changed", struct.pack(">Q", number))
    return Append(
        f"endpoint-{number % 31}",
        AnyVersion(),
        [event],
        AT,
        f"cell-{number % 3}",
        constraints=_meaning(number),
        request=request_of(number),
    )


async def write(store: SqlStore, rng: Random, say: int) -> None:
    while True:
        number = rng.getrandbits(63)
        try:
            appended = await store.append(append_of(number))
        except AlreadyClaimed:
            continue
        os.write(say, ACKNOWLEDGED.pack(appended.position, number))


async def main(where: str, seed: int, say: int) -> None:
    store = await SqlStore.open(where, projections=[Tally()])
    rng = Random(seed)
    await asyncio.gather(*[write(store, Random(rng.random()), say) for _ in range(WRITERS)])


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
