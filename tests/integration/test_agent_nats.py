"""An agent on a real nats-server: the fast way to hear, never the only one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from services.common.eventsourcing.store import RecordedEvent
from services.common.messaging import subjects
from services.gateway_agent.dataplane.fake_kernel import FakeKernel
from services.gateway_agent.pace import Pace
from tests.support.agent import BASE, GATEWAY, QUICK, Harness, agent, endpoint, eventually, id_of
from tests.support.cell import cell_subject
from tests.support.control_plane import ABSENT, CELL, FORWARDING, ControlPlane, control_plane
from tests.support.nats import Nats, connected, relaying, running, serving

NATS_ALONE = replace(QUICK, poll=3600.0)
"""The log itself is not asked, so what is heard was heard from NATS."""


@dataclass
class Site:
    control: ControlPlane
    nats: Nats
    gateway: Harness
    hidden: set[int]

    def hide(self, *positions: int) -> None:
        """Has the relay publish these events where the agent does not look: to it they are lost."""
        self.hidden.update(positions)


@asynccontextmanager
async def site(directory: Path, pace: Pace = QUICK) -> AsyncIterator[Site]:
    """Everything but the two services, with endpoint 1 forwarded and the agent caught up."""
    hidden: set[int] = set()

    def subject_of(event: RecordedEvent) -> str:
        if event.position in hidden:
            return subjects.endpoint("elsewhere", "endpoint", "p1", "lost")
        return cell_subject(event)

    async with (
        control_plane() as control,
        running(directory / "nats") as nats,
        connected(nats, "relay") as connection,
        relaying(control.log, connection, subject_of=subject_of),
        serving(connection, CELL, GATEWAY),
    ):
        await control.tell(*BASE, endpoint("1"))
        async with agent(control, FakeKernel(), directory, nats=nats.server.url, pace=pace) as gateway:
            await control.reported(id_of("1"), FORWARDING)
            await eventually("NATS to be followed", lambda: gateway.agent.feed.follows_nats)
            yield Site(control, nats, gateway, hidden)


async def test_events_come_by_nats(tmp_path: Path) -> None:
    async with site(tmp_path, NATS_ALONE) as at:
        await at.control.tell(endpoint("2"), endpoint("1", 2, removed=True))
        await at.control.reported(id_of("2"), FORWARDING)
        await at.control.reported(id_of("1"), ABSENT)
        assert at.control.snapshots == 1


async def test_an_event_that_nats_has_lost_is_read_from_the_log(tmp_path: Path) -> None:
    async with site(tmp_path, NATS_ALONE) as at:
        at.hide(5)
        await at.control.tell(endpoint("1", 2, removed=True), endpoint("2"))
        await at.control.reported(id_of("1"), ABSENT)
        await at.control.reported(id_of("2"), FORWARDING)
        assert at.control.snapshots == 1


async def test_an_event_that_is_nowhere_to_be_had_is_made_good_by_a_snapshot(tmp_path: Path) -> None:
    async with site(tmp_path, NATS_ALONE) as at:
        at.hide(5)
        at.control.unreadable.add(5)
        await at.control.tell(endpoint("1", 2, removed=True), endpoint("2"))
        await at.control.reported(id_of("1"), ABSENT)
        await at.control.reported(id_of("2"), FORWARDING)
        assert at.control.snapshots == 2


async def test_a_wiped_nats_loses_nothing(tmp_path: Path) -> None:
    async with site(tmp_path) as at:
        await at.nats.wipe()
        await at.control.tell(endpoint("2"))
        await at.control.reported(id_of("2"), FORWARDING)
        await eventually("NATS to be followed again", lambda: at.gateway.agent.feed.follows_nats)
        await at.control.tell(endpoint("3"))
        await at.control.reported(id_of("3"), FORWARDING)
        assert at.control.snapshots == 1


async def test_without_nats_the_log_itself_is_asked(tmp_path: Path) -> None:
    async with site(tmp_path) as at:
        await at.nats.server.kill()
        await at.control.tell(endpoint("2"))
        await at.control.reported(id_of("2"), FORWARDING)


async def test_a_nats_that_is_silent_is_gone_around(tmp_path: Path) -> None:
    async with site(tmp_path) as at:
        with at.nats.frozen():
            await at.control.tell(endpoint("2"))
            await at.control.reported(id_of("2"), FORWARDING)


async def test_an_agent_that_begins_without_nats_needs_none(tmp_path: Path) -> None:
    async with control_plane() as control:
        await control.tell(*BASE)
        async with agent(control, FakeKernel(), tmp_path, nats="nats://127.0.0.1:9"):
            await control.heard(await control.tell(endpoint("1")))
            await control.reported(id_of("1"), FORWARDING)


async def test_another_log_on_nats_is_followed_from_its_snapshot(tmp_path: Path) -> None:
    async with (
        control_plane() as control,
        running(tmp_path / "nats") as nats,
        connected(nats, "relay") as connection,
        serving(connection, CELL, GATEWAY),
    ):
        await control.tell(*BASE, endpoint("1"))
        async with agent(control, FakeKernel(), tmp_path, nats=nats.server.url, pace=NATS_ALONE) as gateway:
            async with relaying(control.log, connection):
                await eventually("NATS to be followed", lambda: gateway.agent.feed.follows_nats)
            control.begin_another_log()
            await control.tell(*BASE, endpoint("2"))
            async with relaying(control.log, connection):
                await control.reported(id_of("2"), FORWARDING)
                await control.tell(endpoint("3"))
                await control.reported(id_of("3"), FORWARDING)
            assert not await gateway.dataplane.forwards("1")
