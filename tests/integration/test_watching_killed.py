"""The registry is killed and stopped at random while clients write and watch: the promises are kept all the same."""

import asyncio
import os
import random
import secrets
import signal
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import pytest

from services.common.eventsourcing.sql_store import SqlStore
from services.registry.wire.sights import sights_of
from sidegate import errors
from sidegate.watching import Place
from tests.support.identity import Known
from tests.support.program import Program

DEADLINE = 60.0
ENDINGS = 4
WRITERS = ("shop", "payments", "bank")


@dataclass
class Seen:
    """What one who watches was told: positions and names, answer by answer."""

    account: str
    place: Place
    begun: int
    positions: list[int] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    interrupted: int = 0

    def _count(self, _: errors.SidegateError) -> None:
        self.interrupted += 1

    async def follow(self, address: str, upto: int | None, dice: random.Random) -> None:
        """Watches, with a client of its own: until a position, or until it is tired."""
        async with (
            Known(address, account=self.account, project="live") as client,
            client.vpcs.watch(after=self.place, interrupted=self._count) as watch,
        ):
            async for answer in watch:
                self.positions += [change.position for change in answer.changes]
                self.answers.append(answer.position)
                self.place = watch.place
                if (upto is not None and answer.position >= upto) or (upto is None and dice.random() < 0.05):
                    return


async def insistently_follow(seen: Seen, address: str, dice: random.Random, enough: asyncio.Event) -> None:
    while not enough.is_set():
        try:
            async with asyncio.timeout(dice.uniform(0.5, 3)):
                await seen.follow(address, None, dice)
        except (errors.Unavailable, TimeoutError):  # it is away, or there was nothing for a while
            await asyncio.sleep(0.02)


async def write(address: str, account: str, enough: asyncio.Event) -> int:
    """Makes VPCs and takes them away again; gives the number of commands that were acknowledged."""
    done = 0
    async with Known(address, account=account, project="live", timeout=5) as client:
        while not enough.is_set():
            name, request = f"vpc-{done}", str(uuid4())
            made = None
            while made is None:
                try:
                    made = await client.vpcs.create(name, ["10.0.0.0/24"], request_id=request)
                except errors.Unavailable:
                    await asyncio.sleep(0.02)
            done += 1
    return done


@pytest.mark.timeout(180)
async def test_clients_that_watch_lose_and_repeat_nothing_when_the_registry_is_killed(tmp_path: Path) -> None:
    seed = int(os.environ.get("SIDEGATE_CHAOS_SEED") or secrets.randbelow(2**32))
    print(f"SIDEGATE_CHAOS_SEED={seed}")
    dice, enough = random.Random(seed), asyncio.Event()
    seen = [Seen(account, Place(0), 0) for account in (*WRITERS, *WRITERS)]
    async with Program(tmp_path) as registry:
        writing = [asyncio.create_task(write(registry.address, account, enough)) for account in WRITERS]
        watching = [
            asyncio.create_task(insistently_follow(each, registry.address, random.Random(dice.random()), enough))
            for each in seen
        ]
        for _ in range(ENDINGS):
            await asyncio.sleep(dice.uniform(0.1, 0.6))  # time itself is what this test plays with
            await registry.end(dice.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM)))
            await registry.start()
        enough.set()
        async with asyncio.timeout(DEADLINE):
            written = await asyncio.gather(*writing)
            await asyncio.gather(*watching)
        async with (
            Known(registry.address, account="operator", project="ops") as operator,
            operator.vpcs.watch() as now,
        ):
            end = (await anext(now)).position
        async with asyncio.timeout(DEADLINE):
            await asyncio.gather(*(each.follow(registry.address, end, dice) for each in seen))
    store = await SqlStore.open(tmp_path / "registry.sqlite")
    try:
        log = await store.read(0, 1_000_000)
    finally:
        await store.close()
    assert sum(written) <= len(log)
    for each in seen:
        his = {f"{each.account}/live"}
        assert each.positions == [
            event.position for event in log for sight in sights_of(event) if not his.isdisjoint(sight.audience)
        ]
        assert each.answers == sorted(each.answers)
    print(f"{len(log)} events; interrupted {[each.interrupted for each in seen]}")
