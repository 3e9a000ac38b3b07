"""The reporter alone, between facts that a test makes and a control plane over real gRPC."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from services.gateway_agent import control_plane as control_planes
from services.gateway_agent.desired import Desired, Versioned
from services.gateway_agent.facts import Facts
from services.gateway_agent.fence import Fence, boottime
from services.gateway_agent.reporter import Reporter
from services.gateway_agent.table import Endpoint, ForwardingTable, Key, Kind, Put
from services.gateway_agent.tracker import Tracker
from services.gateway_agent.wire import news_of
from sidegate.transport import Caller
from tests.support import identity
from tests.support.agent import BASE, GATEWAY, QUICK, WEB, endpoint, id_of, service
from tests.support.control_plane import CELL, FORWARDING, ControlPlane, control_plane

ONE = Key(Kind.ENDPOINT, id_of("1"))


@dataclass
class Desk:
    control: ControlPlane
    desired: Desired
    tracker: Tracker
    reporter: Reporter

    def said(self) -> int:
        return sum(len(call.endpoints) for call in self.control.calls)


@asynccontextmanager
async def desk() -> AsyncIterator[Desk]:
    """A reporter at work, with endpoint 1 desired and forwarded."""
    desired, tracker, fence = Desired(), Tracker(), Fence(boottime, after=60.0)
    news = [each for told in (*BASE, endpoint()) if (each := news_of(told, GATEWAY)) is not None]
    desired.replace(news, position=4)
    tracker.resync(desired.table())
    tracker.aim(desired.table())
    async with control_plane(lease=0.3) as control:
        caller = Caller(control.address, identity.gateway(CELL, GATEWAY))
        asked = control_planes.ControlPlane(GATEWAY, CELL, caller, fence)
        await asked.join()
        reporter = Reporter(asked, desired, Facts(desired, tracker), QUICK)
        task = asyncio.create_task(reporter.run())
        try:
            yield Desk(control, desired, tracker, reporter)
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            await caller.close()


async def test_everything_is_said_after_a_join_and_nothing_twice() -> None:
    async with desk() as at:
        await at.control.reported(ONE.id, FORWARDING)
        at.reporter.note([ONE])
        await at.control.renewed(times=2)
        assert at.said() == 1


async def test_what_is_not_decided_yet_is_said_as_soon_as_it_is() -> None:
    async with desk() as at:
        await at.control.reported(ONE.id, FORWARDING)
        changed = news_of(service(2, "10.0.0.11"), GATEWAY)
        assert changed is not None
        at.desired.hear(changed)
        at.desired.hear(Versioned(ONE, 2, present(at.desired)))
        at.reporter.note([ONE])
        await at.control.renewed(times=2)
        assert at.said() == 1, "the endpoint's service is still the old one"
        new = at.desired.wanted(Key(Kind.SERVICE, WEB))
        assert new is not None
        at.tracker.applied(Put(new))
        at.reporter.passed(position=6)
        await at.control.reported(ONE.id, FORWARDING, generation=2)


async def test_what_was_forgotten_is_not_spoken_of() -> None:
    async with desk() as at:
        await at.control.reported(ONE.id, FORWARDING)
        at.desired.replace([], position=9)
        at.tracker.resync(ForwardingTable())
        at.reporter.note([ONE])
        await at.control.renewed(times=2)
        assert at.said() == 1


async def test_nothing_is_said_while_the_table_is_not_whole() -> None:
    async with desk() as at:
        await at.control.reported(ONE.id, FORWARDING)
        at.desired.synced = False
        at.control.forget()
        await at.control.joined(2)
        await at.control.renewed(times=2)
        assert at.said() == 1


def present(desired: Desired) -> Endpoint:
    entry = desired.wanted(ONE)
    assert isinstance(entry, Endpoint)
    return entry
