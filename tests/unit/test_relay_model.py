"""Relays against a model of JetStream, one step at a time: any interleaving, any crash, any loss of the store."""

import copy
from collections.abc import Coroutine, Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from services.common.eventsourcing.store import GENESIS, Head, RecordedEvent
from services.common.messaging.broker import Outrun
from services.common.messaging.connection import Unsettled
from services.common.messaging.envelope import EPOCH, Message, from_message, hash_of
from services.common.messaging.form import Form, as_it_is
from services.common.messaging.publisher import Publisher
from services.common.messaging.stream import ENDPOINT, LogEpoch, StreamState
from services.common.messaging.verdict import KEPT
from services.common.messaging.views import ENDPOINT_VIEWS, Viewed, view_form
from sidegate.api.events.v1.view_pb2 import View
from sidegate.evidence import Link, link_hash
from tests.support.cell import cell_subject

RELAYS = 2
ROUND = 30
"""Steps that take a relay at least once through its loop."""


class Turn:
    """Where a relay waits for the world: anything may happen there, and the answer may be lost."""

    def __await__(self) -> Generator[None, bool, None]:
        if (yield):
            raise Unsettled("the answer was lost")


@dataclass
class Stored:
    """A stream of the model: its messages by sequence, and how far it has come."""

    log: LogEpoch
    messages: dict[int, Message] = field(default_factory=dict)
    last: int = 0
    live: bool = True
    witness: Link | None = None
    hashes: dict[int, bytes] = field(default_factory=dict)
    """Of all messages that it has ever had: what subscribers may have heard."""

    @property
    def is_told(self) -> bool:
        """Whether it still tells what its last message was."""
        at_end = self.witness is not None and self.witness.position == self.last
        return at_end or self.last == 0 or self.last in self.messages


class Model:
    """JetStream, as far as it is relied on."""

    def __init__(self) -> None:
        self.stored: dict[str, Stored] = {}

    def live(self) -> Stored | None:
        return next((stream for stream in self.stored.values() if stream.live), None)

    async def streams(self) -> Sequence[StreamState]:
        await Turn()
        seen = [StreamState(name, s.log, s.last, s.live) for name, s in self.stored.items()]
        await Turn()
        return seen

    async def hash_at(self, stream: str, position: int) -> bytes | None:
        await Turn()
        if stream not in self.stored or position not in self.stored[stream].messages:
            return None
        return hash_of(self.stored[stream].messages[position].headers)

    async def create(self, log: LogEpoch) -> None:
        await Turn()
        name = ENDPOINT.stream(log.epoch)
        there = self.stored.get(name)
        if there is None and self.live() is None:
            self.stored[name] = Stored(log)
        elif there is None or not there.live or there.log != log:
            raise Unsettled("the name or the subjects are taken")
        await Turn()

    async def witness(self, stream: str) -> Link | None:
        await Turn()
        return self.stored[stream].witness if stream in self.stored else None

    async def bear_witness(self, stream: str, link: Link) -> None:
        await Turn()
        if stream not in self.stored:
            raise Unsettled("no such stream")
        self.stored[stream].witness = link
        await Turn()

    async def retire(self, stream: str) -> None:
        await Turn()
        if stream not in self.stored:
            raise Unsettled("no such stream")
        self.stored[stream].live = False
        await Turn()

    async def delete(self, stream: str) -> None:
        await Turn()
        self.stored.pop(stream, None)
        await Turn()

    async def publish(self, stream: str, after: int, messages: Sequence[Message]) -> int:
        await Turn()
        taker = self.live()
        if taker is None or taker is not self.stored.get(stream):
            raise Unsettled("no such stream")
        if taker.last != after:
            raise Outrun("wrong last sequence")
        for message in messages:
            taker.last += 1
            taker.messages[taker.last] = message
            taker.hashes[taker.last] = hash_of(message.headers)
        last = taker.last
        await Turn()
        return last


@dataclass(frozen=True, slots=True)
class Backup:
    log_id: str
    epoch: int
    events: tuple[RecordedEvent, ...]


class SteppedLog:
    """A log with backups, whose reads take a while: it may have grown, and moved on, when they are answered."""

    def __init__(self) -> None:
        self.log_id = "log"
        self.epoch = 1
        self.events: list[RecordedEvent] = []

    @property
    def position(self) -> int:
        return len(self.events)

    def add(self, count: int = 1, partition: str = "c1") -> None:
        """Appends events; no two histories have the same one at a position."""
        for _ in range(count):
            position = len(self.events) + 1
            prev = next((e.position for e in reversed(self.events) if e.partition == partition), 0)
            previous = self.events[-1].hash if self.events else GENESIS
            event = RecordedEvent(
                position=position,
                stream=f"endpoint-{position}",
                version=1,
                event_id=uuid4().bytes,
                type="endpoint_requested",
                schema_version=1,
                recorded_at=position,
                partition=partition,
                prev=prev,
                data=b"fact",
                meta=b"\x00\xff",
                hash=b"",
            )
            self.events.append(event._replace(hash=link_hash(self.log_id, previous, event)))

    def backup(self) -> Backup:
        return Backup(self.log_id, self.epoch, tuple(self.events))

    def restore(self, backup: Backup) -> None:
        self.log_id, self.epoch, self.events = backup.log_id, backup.epoch, list(backup.events)

    async def read(self, after: int, limit: int) -> Sequence[RecordedEvent]:
        await Turn()
        return self.events[after : after + limit]

    async def head(self) -> Head:
        await Turn()
        last = self.events[-1].hash if self.events else GENESIS
        return Head(self.log_id, self.epoch, len(self.events), last)

    async def begin_epoch(self, epoch: int) -> Head:
        await Turn()
        if epoch == self.epoch:
            self.epoch += 1
        return await self.head()


class Relays(RuleBasedStateMachine):
    """Of a log that is published as it is."""

    form: Form = as_it_is(cell_subject)

    @initialize()
    def begin(self) -> None:
        self.log = SteppedLog()
        self.model = Model()
        self.relays: list[Coroutine[Any, bool, None]] = [self.relay() for _ in range(RELAYS)]
        self.running = [False] * RELAYS
        self.backups: list[Backup] = []
        self.copies: list[dict[str, Stored]] = []
        self.restored = False
        self.settled, self.epoch = True, 1

    async def relay(self) -> None:
        """What a relay does, but for waiting: when there is nothing to publish, it looks again."""
        publisher = Publisher(self.log, self.model, ENDPOINT, self.form)
        while True:
            with suppress(Unsettled):
                reached, footing = await publisher.settle(), None
                while reached is not footing:
                    reached, footing = await publisher.publish(reached), reached

    @rule(count=st.integers(1, 7), partition=st.sampled_from(["c1", "c2"]))
    def events_are_appended(self, count: int, partition: str) -> None:
        self.log.add(count, partition)

    @rule(relay=st.integers(0, RELAYS - 1), steps=st.integers(1, 12), lost=st.booleans())
    def a_relay_runs(self, relay: int, steps: int, lost: bool) -> None:
        for _ in range(steps):
            self.step(relay)
        if lost:
            self.step(relay, lost=True)

    @rule(schedule=st.lists(st.integers(0, RELAYS), min_size=10, max_size=60))
    def relays_race_while_the_log_grows(self, schedule: list[int]) -> None:
        for turn in schedule:
            if turn == RELAYS:
                self.log.add()
            else:
                self.step(turn)

    @rule(relay=st.integers(0, RELAYS - 1))
    def a_relay_is_killed(self, relay: int) -> None:
        self.relays[relay].close()
        self.relays[relay], self.running[relay] = self.relay(), False

    @rule()
    def the_store_is_wiped(self) -> None:
        self.model.stored.clear()

    @rule()
    def an_operator_deletes_the_newest_stream(self) -> None:
        if self.model.stored:
            self.model.stored.pop(max(self.model.stored))

    @rule()
    def the_store_is_copied(self) -> None:
        self.copies.append(copy.deepcopy(self.model.stored))

    @rule(data=st.data())
    def the_store_is_rolled_back(self, data: st.DataObject) -> None:
        if self.copies:
            self.model.stored = copy.deepcopy(data.draw(st.sampled_from(self.copies)))
            self.settled = self.settled and not self.restored  # the copy may be of a history that is no more

    @rule(upto=st.integers(0, 40))
    def messages_grow_too_old(self, upto: int) -> None:
        for stream in self.model.stored.values():
            stream.messages = {position: m for position, m in stream.messages.items() if position > upto}
            # It would have been witnessed in time, had a relay run: without one, the new epoch is the safe way.
            self.settled = self.settled and stream.is_told

    @rule()
    def the_log_is_backed_up(self) -> None:
        self.backups.append(self.log.backup())

    @rule(data=st.data(), grown=st.sampled_from([0, 1, 4, 30]))
    def the_log_is_restored(self, data: st.DataObject, grown: int) -> None:
        """As an operator does: with everything stopped, after the stream had its say, and perhaps grown since."""
        if not self.backups:
            return
        self.run_to_the_end()
        self.log.restore(data.draw(st.sampled_from(self.backups)))
        self.log.add(grown)
        for relay in range(RELAYS):
            self.a_relay_is_killed(relay)
        self.restored, self.settled = True, False

    @rule()
    def nothing_happens_for_a_while(self) -> None:
        self.run_to_the_end()

    @invariant()
    def a_message_is_the_event_at_its_position_or_is_not_there(self) -> None:
        stream = self.model.live()
        if not self.settled or stream is None or stream.log != LogEpoch(self.log.log_id, self.log.epoch):
            return
        assert stream.last <= self.log.position * self.form.messages
        for sequence, message in stream.messages.items():
            self.check(sequence, message)
            assert message.headers[EPOCH] == str(self.log.epoch)
        for sequence, hashed in stream.hashes.items():  # also what is too old by now: somebody may have heard it
            assert hashed == self.log.events[self.form.at(sequence) - 1].hash

    def check(self, sequence: int, message: Message) -> None:
        publication = from_message(sequence, message.headers, message.data)
        assert publication.event == self.log.events[sequence - 1]

    @invariant()
    def there_is_no_new_epoch_without_a_fork(self) -> None:
        assert not self.settled or self.log.epoch == self.epoch

    @invariant()
    def the_streams_are_bounded_and_one_at_most_is_live(self) -> None:
        assert len(self.model.stored) <= KEPT + 1
        assert sum(stream.live for stream in self.model.stored.values()) <= 1

    def teardown(self) -> None:
        self.run_to_the_end()
        stream = self.model.live()
        assert stream is not None
        assert stream.log == LogEpoch(self.log.log_id, self.log.epoch)
        self.a_message_is_the_event_at_its_position_or_is_not_there()
        for relay in self.relays:
            relay.close()

    def run_to_the_end(self) -> None:
        """Without further trouble, the stream comes to where the log is, soon."""
        quiet = 0
        for _ in range(400):
            for relay in range(RELAYS):
                self.step(relay)
            quiet = quiet + 1 if self.published() else 0
            if quiet == ROUND:
                break
        assert self.published()
        self.settled, self.epoch = True, self.log.epoch

    def published(self) -> bool:
        stream = self.model.live()
        return stream is not None and stream.last == self.log.position * self.form.messages

    def step(self, relay: int, *, lost: bool = False) -> None:
        # A coroutine takes nothing but None before its first step.
        self.relays[relay].send(lost if self.running[relay] else None)  # type: ignore[arg-type] # None is to go on
        self.running[relay] = True


def views_of(event: RecordedEvent) -> list[Viewed]:
    """None, one or two of an event."""
    return [Viewed(f"sidegate.v1.p.endpoint.{n}", View(what=event.stream)) for n in range(event.position % 3)]


class ViewRelays(Relays):
    """Of a log that is published as views: two messages for each event."""

    form = view_form(ENDPOINT_VIEWS, views_of, most=2)

    @rule(data=st.data())
    def a_stream_loses_its_tail(self, data: st.DataObject) -> None:
        """Anywhere, also between two messages of one event."""
        stream = self.model.live()
        if stream is None or not self.settled:
            return
        stream.last = data.draw(st.integers(0, stream.last))
        stream.messages = {sequence: m for sequence, m in stream.messages.items() if sequence <= stream.last}
        self.settled = stream.is_told

    def check(self, sequence: int, message: Message) -> None:
        event = self.log.events[self.form.at(sequence) - 1]
        number = (sequence - 1) % 2
        if number >= event.position % 3:
            assert (message.subject, message.data) == ("sidegate.filler.endpoint", b"")
        else:
            view = View.FromString(message.data)
            assert (message.subject, view.what) == (f"sidegate.v1.p.endpoint.{number}", event.stream)
            assert (view.source_position, view.epoch) == (event.position, self.log.epoch)


Relays.TestCase.settings = settings(max_examples=200, stateful_step_count=30, deadline=None)
ViewRelays.TestCase.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
TestRelays = Relays.TestCase
TestViewRelays = ViewRelays.TestCase
