"""Everything breaks at random while a log is published and followed: nothing is lost, repeated or out of order.

Relays and subscribers are processes, so that kill -9 and SIGSTOP are what they are. What is done and checked, and how
a run is repeated, is told in docs/design/chaos.md.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from services.common.eventsourcing.store import RecordedEvent
from services.common.messaging.stream import ENDPOINT
from services.common.messaging.subscription import Subscription
from sidegate.evidence import Link
from tests.support.cell import WHOLE_LOG
from tests.support.chaos.log_scene import CELLS, RELAYS, SUBSCRIBERS, LogScene, log_scene
from tests.support.chaos.run import SHARE, Course, dice, told
from tests.support.nats import DEADLINE, connected, within

SHORT = 9.0

FAITHFUL = ("kill relay 1", "kill relay 2", "kill whole", "kill cell a", "stop relay 1", "stop relay 2", "stop whole",
            "stop cell b", "crash", "freeze", "copy", "roll back", "wipe", "quiet week")  # fmt: skip
RESTORES = ("restore", "restore after a quiet week", "restore and wipe")
RESTORING = (*FAITHFUL, "back up", "week without a relay", *RESTORES)


class Nemesis:
    """Breaks something, now and then. Time itself is what it plays with, so it sleeps."""

    def __init__(self, scene: LogScene, chance: random.Random, course: Course, kinds: tuple[str, ...]) -> None:
        self._scene, self._chance, self._course, self._kinds = scene, chance, course, kinds

    async def run(self) -> None:
        """A restore, then each kind once if there is time for it, in any order; then whatever comes."""
        first = self._chance.sample(self._kinds, len(self._kinds))
        first += [self._chance.choice([kind for kind in self._kinds if kind in RESTORES] or self._kinds)]
        while not self._course.over:
            await asyncio.sleep(self._chance.uniform(0.05, 0.4))
            kind = first.pop() if first else self._chance.choice(self._kinds)
            await self._do(kind)
            self._course.done[kind.split(" relay")[0]] += 1

    async def _do(self, kind: str) -> None:
        scene = self._scene
        match kind.split(maxsplit=1):
            case ["kill", program]:
                scene.processes.kill(program)
                scene.processes.restart(program)
            case ["stop", program]:
                with scene.processes.stopped(program):
                    await self._while_it_lasts()
            case ["crash"]:
                await scene.nats.crash()
            case ["freeze"]:
                with scene.nats.frozen():
                    await self._while_it_lasts()
            case ["copy"]:
                await scene.nats.copy(scene.copy)
            case ["roll", "back"]:
                await scene.nats.roll_back(scene.copy)
            case ["wipe"]:
                await scene.nats.wipe()
            case ["quiet", "week"]:
                await scene.grow_old()
            case ["back", "up"]:
                await scene.back_up()
            case _:
                await self._restore(kind)

    async def _restore(self, kind: str) -> None:
        scene, grown = self._scene, self._chance.choice((0, 3, 30, 400))
        match kind:
            case "restore":
                async with scene.restoring(grown):
                    pass
            case "restore after a quiet week":
                await scene.grow_old()
                async with scene.restoring(grown):
                    pass
            case "restore and wipe":
                async with scene.restoring(grown):
                    await scene.nats.wipe()
            case "week without a relay":
                for relay in RELAYS:
                    scene.processes.kill(relay)
                await scene.streams.grow_old()
                for relay in RELAYS:
                    scene.processes.restart(relay)
            case _:
                raise AssertionError(kind)

    async def _while_it_lasts(self) -> None:
        await asyncio.sleep(self._chance.uniform(0.1, 1.5))


@asynccontextmanager
async def writing(scene: LogScene) -> AsyncIterator[None]:
    task = asyncio.create_task(scene.write())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled(), task.exception()


async def in_jetstream(scene: LogScene, upto: int) -> list[Link]:
    """What the live stream has, read from it alone: a hole in it would be an error."""

    async def nobody(after: int, upto: int) -> list[RecordedEvent]:
        raise AssertionError(f"the stream has no events between {after} and {upto}")

    (live,) = [stream for stream in await scene.streams.there() if stream.live]
    async with asyncio.timeout(DEADLINE), connected(scene.nats, "reader") as connection:
        async with connection.exchange() as jetstream:
            first = (await jetstream.stream_info(live.name)).state.first_seq
        found: list[Link] = []
        reader = Subscription(connection, ENDPOINT, WHOLE_LOG, after=first - 1, gap_fill=nobody, log=live.log)
        async with aclosing(reader):
            async for event in reader:
                found.append(Link(event.position, event.hash))
                if event.position == upto:
                    return found
    raise AssertionError("a subscription does not end by itself")


def _heard_up_to(scene: LogScene, subscriber: str, last: Link) -> bool:
    return scene.heard(subscriber)[-1].events[-1:] == [last]


async def nothing_came_to_harm(scene: LogScene) -> None:
    """Every subscriber has every event of the log as it is now, once and in order, and began in order before."""
    for cell in CELLS:
        await scene.append(1, cell)
    recorded = list(await scene.store.read(0, 10_000_000))
    for name, cell in SUBSCRIBERS.items():
        expected = [Link(event.position, event.hash) for event in recorded if cell in ("", event.partition)]
        await within(partial(_heard_up_to, scene, name, expected[-1]))
        hearings = scene.heard(name)
        assert hearings[-1].events == expected
        for hearing in hearings:
            positions = [link.position for link in hearing.events]
            assert positions == sorted(set(positions))
            assert cell or positions == list(range(1, len(positions) + 1))
    # Subscribers fill holes from the log itself: they may be there before a relay has seen that the log was restored.
    await scene.streams.witnessed(recorded[-1].position)
    published = await in_jetstream(scene, recorded[-1].position)
    assert published == [Link(e.position, e.hash) for e in recorded if e.position >= published[0].position]


SECONDS = [
    pytest.param(SHORT, id="short"),
    pytest.param(SHARE, id="soak", marks=[pytest.mark.soak, pytest.mark.timeout(SHARE + 300)]),
]


@asynccontextmanager
async def chaos(directory: Path, seconds: float, kinds: tuple[str, ...]) -> AsyncIterator[LogScene]:
    chance = dice()
    async with log_scene(directory, chance) as scene:
        course = Course(seconds, lambda: f"{scene.appended} events")
        async with told(course), writing(scene):
            await Nemesis(scene, chance, course, kinds).run()
        await nothing_came_to_harm(scene)
        yield scene


@pytest.mark.parametrize("seconds", SECONDS)
async def test_no_event_is_lost_repeated_or_out_of_order(tmp_path: Path, seconds: float) -> None:
    async with chaos(tmp_path, seconds, FAITHFUL) as scene:
        assert (await scene.store.head()).epoch == 1, "the log was never restored"
        assert {name: len(scene.heard(name)) for name in SUBSCRIBERS} == dict.fromkeys(SUBSCRIBERS, 1)


@pytest.mark.parametrize("seconds", SECONDS)
async def test_of_a_log_that_is_restored_every_subscriber_is_told_and_hears_what_is_now(
    tmp_path: Path, seconds: float
) -> None:
    async with chaos(tmp_path, seconds, RESTORING) as scene:
        assert all(len(scene.heard(name)) > 1 for name in SUBSCRIBERS)
