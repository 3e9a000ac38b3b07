"""Keeps what is desired up to the cell's log: a snapshot, then every event after it, by NATS or around it."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing, suppress

import structlog
from google.protobuf.message import DecodeError

from services.common.eventsourcing.store import RecordedEvent
from services.common.forwarding_digest import digest, line
from services.common.messaging.connection import Connection
from services.common.messaging.subscription import Gap, LogChanged, Subscription
from services.common.rpc.records import traceparent_of
from services.gateway_agent.control_plane import ControlPlane, Membership
from services.gateway_agent.desired import Desired, Versioned
from services.gateway_agent.pace import Pace
from services.gateway_agent.traces import Traces
from services.gateway_agent.wire import news_of_event
from sidegate.errors import SidegateError, WrongState

FILL = 1000
"""Events that one filling of a gap takes at most."""

log = structlog.get_logger(__name__)

Connect = Callable[[], Awaitable[Connection]]


class Resync(Exception):
    """What was heard may not be so any more: begin anew with a snapshot. The text says why."""


class Feed:
    """Calls `changed` whenever there is news.

    `resyncs` counts the snapshots that were needed after the first; `differences` those of them that were needed
    since the table was not the control plane's, though nobody had noticed that anything was missing.
    """

    def __init__(
        self,
        control: ControlPlane,
        connect: Connect,
        desired: Desired,
        changed: Callable[[], None],
        pace: Pace,
        *,
        traces: Traces | None = None,
    ) -> None:
        self._traces = traces or Traces()
        self._control = control
        self._connect = connect
        self._desired = desired
        self._changed = changed
        self._pace = pace
        self._subscription: Subscription | None = None
        self._failures = 0
        self.resyncs = 0
        self.differences = 0

    @property
    def follows_nats(self) -> bool:
        """Whether all that NATS has was heard."""
        return self._subscription is not None and self._subscription.caught_up

    @property
    def lag(self) -> int:
        """Events that NATS has and that have not arrived yet."""
        return self._subscription.pending if self._subscription else 0

    async def run(self) -> None:
        """Follows the log until cancelled."""
        connecting = asyncio.ensure_future(self._connect())
        try:
            while True:
                await self._follow_once(connecting)
        finally:
            connecting.cancel()
            with suppress(asyncio.CancelledError):
                await (await connecting).close()

    async def _follow_once(self, connecting: asyncio.Future[Connection]) -> None:
        try:
            membership = await self._begin()
            await self._follow(membership, connecting)
        except* Resync as restart:
            self.resyncs += 1
            log.warning("beginning anew", why=str(restart.exceptions[0]))
            await self._pause(self._pace.compare)
        except* SidegateError as failure:
            if self._failures == 0:  # said once, not at every attempt
                log.warning("cannot follow the log, trying again", why=str(failure.exceptions[0]))
            await self._pause(self._pace.reconnect[1])

    async def _pause(self, longest: float) -> None:
        seconds = min(longest, self._pace.reconnect[0] * 2 ** min(self._failures, 16))
        self._failures += 1
        await asyncio.sleep(seconds * random.uniform(0.5, 1.0))  # noqa: S311 - it spreads load, it hides nothing

    async def _begin(self) -> Membership:
        """Takes in the table as it is now: a snapshot, and what has happened while it came."""
        membership = await self._control.join()
        snapshot = await self._control.snapshot()
        if snapshot.log_id != membership.log.log_id:
            raise Resync(f"the snapshot is of log {snapshot.log_id}, not {membership.log.log_id}")
        news, position = list(snapshot.news), snapshot.position
        async with aclosing(self._control.events(position)) as events:
            async for event in events:
                position = event.position
                if (each := self._news(event)) is not None:
                    news.append(each)
        self._desired.replace(news, position)
        self._changed()
        log.info("in sync", cell=self._control.cell, position=position, entries=len(snapshot.news))
        return membership

    async def _follow(self, membership: Membership, connecting: asyncio.Future[Connection]) -> None:
        # In a task of its own: a group cancels the task that it is in when one of its own fails, and before Python 3.13
        # leaves it marked so; and where we are cancelled at that moment, the failure is all that the group tells of.
        following = asyncio.create_task(self._side_by_side(membership, connecting))
        try:
            await following
        except BaseExceptionGroup:
            if (ourselves := asyncio.current_task()) is not None and ourselves.cancelling():
                raise asyncio.CancelledError from None
            raise

    async def _side_by_side(self, membership: Membership, connecting: asyncio.Future[Connection]) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen(membership, connecting))
            tasks.create_task(self._watch(membership))
            tasks.create_task(self._compare_regularly())

    async def _listen(self, membership: Membership, connecting: asyncio.Future[Connection]) -> None:
        connection = await asyncio.shield(connecting)
        async with Subscription(
            connection,
            membership.topic,
            membership.selection,
            after=self._desired.position,
            gap_fill=self._fill,
            log=membership.log,
            consumer=membership.consumer,
        ) as subscription:
            self._subscription = subscription
            try:
                async for event in subscription:
                    self._take(event)
            except (LogChanged, Gap) as reason:
                raise Resync(str(reason)) from reason
            finally:
                self._subscription = None

    async def _watch(self, membership: Membership) -> None:
        """Asks the log itself while nothing comes from NATS, and looks whether we still follow the right one."""
        while True:
            present = await self._control.another_than(membership, self._pace.poll)
            if not self._desired.synced:
                raise Resync("forwarding was stopped, since the control plane was not heard for too long")
            if present.log != membership.log:
                raise Resync(f"the log is now {present.log.log_id}, epoch {present.log.epoch}")
            with suppress(SidegateError):
                if present is not membership:
                    await self.compare()
                    membership = present
                elif not self.follows_nats:
                    await self._go_around(membership)

    async def _compare_regularly(self) -> None:
        while True:
            await asyncio.sleep(self._pace.compare)
            self._failures = 0
            with suppress(SidegateError):
                await self.compare()

    async def compare(self) -> None:
        """Compares with the control plane's table; a difference that stays is a reason to begin anew."""
        for _attempt in range(2):
            await self._catch_up()
            position = self._desired.position
            ours = list(self._desired.versions())
            try:
                theirs = await self._control.digest(position)
            except WrongState as refusal:
                raise Resync(refusal.text) from refusal
            if await asyncio.to_thread(_digest, ours, with_leases=theirs.with_leases) == theirs.digest:
                return
        self.differences += 1
        raise Resync(f"our table differs from the control plane's at position {position}")

    async def _go_around(self, membership: Membership) -> None:
        """What NATS gave us before: events, and word of another epoch."""
        joined = True
        with suppress(SidegateError):  # what is to be forwarded waits for no report
            joined = await self._control.report(membership, self._desired.position, ())
        if not joined:
            await self._control.join_again(membership)
            return
        await self._catch_up()

    async def _catch_up(self) -> None:
        async with aclosing(self._control.events(self._desired.position)) as events:
            async for event in events:
                self._take(event)

    async def _fill(self, after: int, upto: int) -> Sequence[RecordedEvent]:
        events: list[RecordedEvent] = []
        async with aclosing(self._control.events(after, upto)) as stream:
            async for event in stream:
                events.append(event)
                if len(events) == FILL:
                    break
        return events

    def _take(self, event: RecordedEvent) -> None:
        """NATS and the log itself may both give an event; each of them gives all events, in order."""
        if event.position <= self._desired.position:
            return
        if (news := self._news(event)) is not None and self._desired.hear(news):
            self._traces.hear(news.key, traceparent_of(event))
        self._desired.position = event.position
        self._changed()

    def _news(self, event: RecordedEvent) -> Versioned | None:
        try:
            return news_of_event(event.data, self._control.gateway)
        except DecodeError as error:
            raise Resync(f"event {event.position} cannot be read: {error}") from error


def _digest(versions: Sequence[tuple[str, str, int, str]], *, with_leases: bool) -> bytes:
    return digest(line(*each) if with_leases else line(*each[:3]) for each in versions)
