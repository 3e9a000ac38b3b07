"""The control plane's programs are killed with -9 again and again while accounts command, read and watch.

What was acknowledged is there and was done once; some order explains every answer of each resource; whoever watches
is told of everything once. What is done and checked is told in docs/design/chaos.md.
"""

import asyncio
import random
import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from services.common.eventsourcing.rebuild import rebuild_holdings
from services.common.eventsourcing.sql_store import SqlStore
from services.common.eventsourcing.store import Constraints, RecordedEvent
from services.common.watching.sight import Sight
from services.endpoint.application.streams import Streams as EndpointStreams
from services.endpoint.projections import ENDPOINT as ENDPOINT_KIND
from services.endpoint.wire import sights as endpoint_sights
from services.registry.application.streams import Streams as RegistryStreams
from services.registry.wire import sights as registry_sights
from sidegate import errors
from sidegate.api.events.v1.log_pb2 import EventMeta
from sidegate.evidence import verify
from sidegate.resources.logs import LogName
from sidegate.watching import Place, Watch
from tests.support import watching
from tests.support.chaos.commands import Commands, Heard
from tests.support.chaos.judges import rebuilt_is_live
from tests.support.chaos.run import SHARE, Course, dice, told
from tests.support.identity import Known
from tests.support.program import ControlPlane, control_plane
from tests.support.stores import LOGS, whole_log

KILLS, MANY_KILLS = 2, 30
PROGRAMS = ("registry", "endpoint")
VICTIMS = (("registry",), ("endpoint",), PROGRAMS)
DEADLINE = 120.0
BEGINNING = Place(0)


@dataclass
class Watcher:
    """One who watches, with a client of his own: he tires, reads slowly, and goes on where he was."""

    plane: ControlPlane
    account: str
    kind: str
    program: str
    place: Place = BEGINNING
    heard: list[watching.Heard] = field(default_factory=list)
    resumed: int = 0

    async def follow(self, upto: int | None, chance: random.Random) -> None:
        """Until a position, or until he is tired."""
        async with self.plane.client(self.account) as client, self._watch(client) as answers:
            async for told in answers:
                self.heard.append(watching.Heard(told.position, [change.position for change in told.changes]))
                self.place = answers.place
                if told.position >= upto if upto is not None else chance.random() < 0.02:
                    return
                if chance.random() < 0.1:
                    await asyncio.sleep(chance.uniform(0, 0.1))

    def _watch(self, client: Known) -> Watch[Any]:
        match self.kind:
            case "endpoint":
                return client.endpoints.watch(after=self.place)
            case "connection":
                return client.connections.watch(after=self.place)
            case "service":
                return client.services.watch(after=self.place)
            case _:
                return client.vpcs.watch(after=self.place)

    async def insist(self, chance: random.Random, enough: asyncio.Event) -> None:
        while not enough.is_set():
            self.resumed += 1
            try:
                async with asyncio.timeout(chance.uniform(1, 5)):
                    await self.follow(None, chance)
            except (errors.Unavailable, TimeoutError):  # it is away, or there was nothing for a while
                await asyncio.sleep(0.1)

    def wanted(self, log: Sequence[RecordedEvent]) -> list[int]:
        sights_of: Callable[[RecordedEvent], Sequence[Sight[Any]]] = (
            endpoint_sights.sights_of if self.program == "endpoint" else registry_sights.sights_of
        )
        mine = {f"{self.account}/live"}
        seen = [(event.position, sight) for event in log for sight in sights_of(event)]
        return [position for position, sight in seen if sight.kind == self.kind and not mine.isdisjoint(sight.audience)]


def watchers(plane: ControlPlane) -> list[Watcher]:
    wishes = [
        ("shop", "endpoint", "endpoint"),
        ("payments", "connection", "endpoint"),
        ("payments", "service", "registry"),
        ("bank", "vpc", "registry"),
    ]
    return [Watcher(plane, *wish) for wish in wishes for _ in range(2)]


async def play(
    plane: ControlPlane, chance: random.Random, kills: int, course: Course
) -> tuple[Commands, list[Watcher]]:
    """Kills so many times, and on until the time is over."""
    commands, stop, watching_ = Commands(plane, chance), asyncio.Event(), watchers(plane)
    course.figures = lambda: _figures(commands.heard)
    await commands.furnish()
    async with told(course), asyncio.TaskGroup() as going_on:
        going_on.create_task(commands.run(stop))
        for watcher in watching_:
            going_on.create_task(watcher.insist(random.Random(chance.random()), stop))
        while course.done.total() < kills or not course.over:
            enough = commands.heard.commands + chance.randrange(10, 100)
            async with asyncio.timeout(DEADLINE):
                while commands.heard.commands < enough:
                    await asyncio.sleep(0.005)
            victims = chance.choice(VICTIMS)
            await plane.kill(*victims)
            course.done[" and ".join(victims)] += 1
        stop.set()
    return commands, watching_


def _figures(heard: Heard) -> str:
    return (
        f"{heard.commands} commands acknowledged, {heard.reads} reads, {heard.faults} faults, {heard.unheard} unheard"
    )


async def catch_up(plane: ControlPlane, watching_: Sequence[Watcher], chance: random.Random) -> None:
    """Everybody who watches is told of everything up to now."""
    async with plane.client("operator") as operator, asyncio.timeout(DEADLINE):
        ends = {name.value: (await operator.audit.log(name).head()).position for name in LogName}
        await asyncio.gather(*(each.follow(ends[each.program], chance) for each in watching_))


@dataclass(frozen=True)
class Log:
    """A program's log after all of it, with what follows from it."""

    events: Sequence[RecordedEvent]

    @classmethod
    async def read(cls, database: str, program: str) -> "Log":
        store = await SqlStore.open(database)
        try:
            events, head = await whole_log(store), await store.head()
            verdict = verify(head.log_id, events)
            assert verdict.ok, verdict.fault
            assert verdict.head.position == head.position == len(events)
            assert await store.holdings() == rebuild_holdings(events, _meaning(store, program))
        finally:
            await store.close()
        await rebuilt_is_live(database, program)
        return cls(events)

    @property
    def requests(self) -> Counter[tuple[str, str, str]]:
        """How often a request has left an event of a type in a stream."""
        metas = [(EventMeta.FromString(event.meta).request_id, event) for event in self.events]
        return Counter((request, event.stream, event.type) for request, event in metas if request)


def _meaning(store: SqlStore, program: str) -> Callable[[RecordedEvent], Constraints]:
    if program == "registry":
        return RegistryStreams(store).meaning()
    streams = EndpointStreams(store)
    by_kind = {
        ENDPOINT_KIND: streams.endpoints.meaning(),
        "gateway": streams.gateways.meaning(),
        "service_forwarding": streams.services.meaning(),
        "attachment": streams.attachments.meaning(),
    }
    return lambda event: by_kind[event.stream.partition("-")[0]](event)


def judge(heard: Heard, logs: dict[str, Log], watching_: Sequence[Watcher]) -> None:
    assert heard.impossible() == []
    endpoint, registry = logs["endpoint"].requests, logs["registry"].requests
    assert [key for key, count in (endpoint + registry).items() if count > 1] == [], "a command was done twice"
    made = {request: stream for request, stream, type_ in endpoint if type_ == "endpoint.v1.Requested"}
    assert {request: f"endpoint-{id_}" for request, id_ in heard.endpoints.items()} == made
    named = {request: stream for request, stream, type_ in registry if type_ == "registry.v1.VpcCreated"}
    assert {request: f"vpc-{id_}" for request, id_ in heard.vpcs.items()}.items() <= named.items()
    assert len(named) == len(heard.names) + 2, "a network that nobody was told of"
    changed = {request for request, _, type_ in registry if type_ == "registry.v1.ServiceChanged"}
    assert heard.changes <= changed
    for each in watching_:
        faults = list(watching.broken(each.heard, each.wanted(logs[each.program].events), _appends(logs[each.program])))
        assert faults == [], f"{each.account} who watches {each.kind}"
        assert each.heard


def _appends(log: Log) -> list[range]:
    return watching.appends_of(log.events)


@pytest.mark.parametrize("database", LOGS)
@pytest.mark.parametrize(
    ("kills", "seconds"),
    [
        pytest.param(KILLS, 0.0, id="short", marks=pytest.mark.timeout(240)),
        pytest.param(MANY_KILLS, SHARE, id="soak", marks=[pytest.mark.soak, pytest.mark.timeout(SHARE + 900)]),
    ],
)
async def test_nothing_acknowledged_is_lost_or_done_twice_when_its_programs_are_killed(
    tmp_path: Path, database: str, kills: int, seconds: float
) -> None:
    chance = dice()
    course = Course(seconds, str)
    with ExitStack() as logs:
        databases: dict[str, str] = {}
        for program in PROGRAMS:
            (tmp_path / program).mkdir()
            databases[program] = logs.enter_context(LOGS[database](tmp_path / program))
        async with AsyncExitStack() as running:
            plane = await running.enter_async_context(control_plane(tmp_path, databases))
            commands, watching_ = await play(plane, chance, kills, course)
            await catch_up(plane, watching_, chance)
            await plane.stop()
        if database == "sqlite":
            for path in databases.values():
                with closing(sqlite3.connect(path)) as connection:
                    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        judge(commands.heard, {each: await Log.read(databases[each], each) for each in PROGRAMS}, watching_)
    print(f"kills {course.done.total()}; {_figures(commands.heard)}; watchers resumed {[w.resumed for w in watching_]}")
