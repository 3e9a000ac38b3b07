"""Aggregates: a decider whose events are kept in a store."""

from asyncio import Lock
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar
from weakref import WeakValueDictionary

from services.common.eventsourcing.context import CommandContext
from services.common.eventsourcing.decider import Decider
from services.common.eventsourcing.decision import Decision, decide
from services.common.eventsourcing.recent import Recent, Seen
from services.common.eventsourcing.store import (
    Append,
    Appended,
    Conflict,
    Constraints,
    EventStore,
    Exact,
    NewEvent,
    RecordedEvent,
    Request,
)

ATTEMPTS = 10
"""How often a command is decided anew because other programs write to its stream at the same moment."""

C = TypeVar("C")
S = TypeVar("S")
E = TypeVar("E")
S_contra = TypeVar("S_contra", contravariant=True)

Render = Callable[[S, int], bytes]
"""The response to a command, from the state after it and its version."""

Revision = Callable[[S, int], int]
"""The version of what the caller means, from a state and its version: not the stream's, where others share that."""


class Codec(Protocol[S_contra, E]):
    """An aggregate's events as they are stored."""

    def encode(self, event: E, state: S_contra) -> NewEvent:
        """The event to be stored, with the state that it leaves."""

    def decode(self, event: RecordedEvent) -> E: ...

    def partition(self, state: S_contra) -> str:
        """What the log's `prev` links for an aggregate in this state."""


@dataclass(frozen=True, slots=True)
class Outcome(Generic[S]):
    """What a command did. A replayed one did it before: response, state, position and version are those of then."""

    response: bytes
    state: S
    position: int
    version: int
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class _Order(Generic[C, S]):
    """What `execute` was asked."""

    stream: str
    command: C
    context: CommandContext
    render: Render[S]
    limits: Mapping[str, int]
    extra: Constraints
    revision: Revision[S]


class Moved(Conflict):
    """What the caller means is not at the version that it expects."""


class Aggregate(Generic[C, S, E]):
    """`meta` renders what is stored beside each event of a command: who, by which call.

    A command is decided on the state that the one before it has left, where that is still known and nobody else has
    written to the log since, which the store checks as it appends; else the stream is loaded.
    """

    def __init__(
        self,
        store: EventStore,
        decider: Decider[C, S, E],
        codec: Codec[S, E],
        meta: Callable[[CommandContext], bytes],
    ) -> None:
        self._store, self._decider, self._codec, self._meta = store, decider, codec, meta
        self._turns: WeakValueDictionary[str, Lock] = WeakValueDictionary()
        self._recent: Recent[S] = Recent()

    async def load(self, stream: str, at: int | None = None) -> tuple[S, int]:
        """The state and version of a stream; as they were at the log's position `at`, if that is given."""
        events = await self._store.load(stream)
        return self._fold(event for event in events if at is None or event.position <= at)

    async def execute(
        self,
        stream: str,
        command: C,
        context: CommandContext,
        render: Render[S],
        *,
        limits: Mapping[str, int] | None = None,
        extra: Constraints | None = None,
        revision: Revision[S] | None = None,
    ) -> Outcome[S]:
        """Decides and stores, or gives the first answer to a request that is known.

        `limits` are upper bounds of counters by their kind; `extra` is checked together with what the events mean,
        and should hold conditions only, for it is not in the log. What the caller expects is compared with the
        `revision`, the stream's version where that is None. Raises what `decide` raises, Moved if it is another, and
        the store's errors.
        """
        order = _Order(
            stream,
            command,
            context,
            render,
            limits or {},
            extra or Constraints(),
            revision or (lambda _, version: version),
        )
        # In turn, so that commands of this program do not make each other decide in vain.
        async with self._turns.setdefault(stream, Lock()):
            attempts = ATTEMPTS
            while True:
                try:
                    return await self._attempt(order)
                except Moved:
                    raise
                except Conflict:
                    attempts -= 1
                    if attempts == 0:
                        raise

    def meaning(self) -> Callable[[RecordedEvent], Constraints]:
        """What recorded events of these aggregates mean to other streams; to be called with each, in order."""
        states: dict[str, S] = {}

        def constraints(recorded: RecordedEvent) -> Constraints:
            state = states.get(recorded.stream, self._decider.initial)
            event = self._codec.decode(recorded)
            states[recorded.stream] = self._decider.evolve(state, event)
            return self._decider.constraints(state, event)

        return constraints

    async def _attempt(self, order: _Order[C, S]) -> Outcome[S]:
        if (outcome := await self._at_once(order)) is not None:
            return outcome
        continuity = self._store.continuity
        # Loaded before it is recalled: a twin that was answered in between is then found, not decided once more.
        state, version = await self.load(order.stream)
        if (first := await self._recall(order.context)) is not None:
            return await self._replay(order.stream, first)
        seen = Seen(state, version, continuity)
        return await self._stored(order, seen, self._decided(order, seen))

    async def _at_once(self, order: _Order[C, S]) -> Outcome[S] | None:
        """What comes of it without loading; None where only the log can say, as of all that would be refused."""
        seen = self._recent.get(order.stream)
        if seen is None:
            return None
        try:
            decision = self._decided(order, seen)
        except Exception:  # whatever it is, it is decided again on what the log has
            return None
        try:
            return await self._stored(order, seen, decision, continuity=seen.continuity)
        except Conflict:
            self._recent.forget(order.stream)
            return None

    def _decided(self, order: _Order[C, S], seen: Seen[S]) -> Decision[S, E]:
        expected = order.context.expected_version
        if expected is not None and expected != order.revision(seen.state, seen.version):
            raise Moved(order.stream, seen.version)
        return decide(self._decider, order.command, seen.state).limited(order.limits)

    async def _stored(
        self, order: _Order[C, S], seen: Seen[S], decision: Decision[S, E], *, continuity: int | None = None
    ) -> Outcome[S]:
        """With a `continuity` only if nobody else has written since."""
        response = order.render(decision.state, seen.version + len(decision.events))
        append = self._append(order, seen.version, decision, response, continuity)
        appended = await self._store.append(append)
        if appended.replayed:
            return await self._replay(order.stream, appended)
        if not append.trial:
            self._recent.keep(order.stream, Seen(decision.state, appended.version, seen.continuity))
        return Outcome(response, decision.state, appended.position, appended.version)

    async def _recall(self, context: CommandContext) -> Appended | None:
        key = context.request_key
        return None if key is None else await self._store.recall(key, context.command_hash)

    async def _replay(self, stream: str, first: Appended) -> Outcome[S]:
        state, _ = await self.load(stream, at=first.position)
        return Outcome(first.response, state, first.position, first.version, replayed=True)

    def _append(
        self, order: _Order[C, S], version: int, decision: Decision[S, E], response: bytes, continuity: int | None
    ) -> Append:
        context = order.context
        key = context.request_key
        return Append(
            stream=order.stream,
            expected=Exact(version),
            events=[self._codec.encode(event, state) for event, state in decision.events],
            at=context.at_ns,
            partition=self._codec.partition(decision.state),
            meta=self._meta(context),
            constraints=decision.constraints + order.extra,
            request=None if key is None else Request(key, context.command_hash, response),
            trial=context.validate_only,
            continuity=continuity,
        )

    def _fold(self, events: Iterable[RecordedEvent]) -> tuple[S, int]:
        state, version = self._decider.initial, 0
        for event in events:
            state, version = self._decider.evolve(state, self._codec.decode(event)), event.version
        return state, version
