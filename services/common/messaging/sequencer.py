"""Putting what arrives into order: whether an event is the next one, and what is missing before it. Pure."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

from services.common.eventsourcing.store import RecordedEvent


class Gap(Exception):
    """Events with after < position <= upto are missing, and their owner did not give them. Begin anew."""

    def __init__(self, after: int, upto: int) -> None:
        super().__init__(f"events between {after} and {upto} are missing")
        self.after, self.upto = after, upto


@dataclass(frozen=True, slots=True)
class Cursor:
    """Everything wanted up to and with `position` was there.

    Of a whole log, the next event is the one at the next position. Of one partition, it is the one whose `prev` is
    `tail`, the last event of the partition that was there; before the first, `tail` is where the subscriber began,
    and `prev` cannot be above it.
    """

    position: int
    partition: str | None
    tail: int
    exact: bool = False

    def knows(self, event: RecordedEvent) -> bool:
        """Whether the event was there before: a repetition, or the replay of a stream that is made again."""
        return event.position <= self.position

    def expects(self, event: RecordedEvent) -> bool:
        """Whether nothing is missing between what was there and the event."""
        if self.partition is None:
            return event.position == self.position + 1
        if event.partition != self.partition:
            return False
        return event.prev == self.tail if self.exact else event.prev <= self.tail

    def after(self, event: RecordedEvent) -> "Cursor":
        return replace(self, position=event.position, tail=event.position, exact=True)

    def past(self, position: int) -> "Cursor":
        """Nothing of the partition is between here and there."""
        return replace(self, position=position)


class Sequencer:
    """Takes events as they come; `ready` has them in order. What is missing is asked for by `hole`."""

    def __init__(self, after: int, partition: str | None) -> None:
        self._cursor = Cursor(after, partition, tail=after)
        self._hole = 0
        self._held: RecordedEvent | None = None
        self.ready: deque[RecordedEvent] = deque()

    @property
    def position(self) -> int:
        """Nothing up to and with it is wanted any more."""
        return self._cursor.position

    @property
    def hole(self) -> tuple[int, int] | None:
        """What the owner of the log has to be asked for before anything else: after < position <= upto."""
        return (self._cursor.position, self._hole) if self._hole > self._cursor.position else None

    def miss(self, upto: int) -> None:
        """Nothing up to and with `upto` is going to come by itself."""
        self._hole = upto

    def take(self, event: RecordedEvent) -> None:
        """Takes an event that came; where something is missing before it, it is held back."""
        if self._cursor.knows(event):
            return
        if self._cursor.expects(event):
            self._accept(event)
        elif event.position > self._cursor.position + 1:
            self._hole, self._held = event.position - 1, event
        else:
            raise Gap(self._cursor.tail, event.position - 1)

    def fill(self, events: Sequence[RecordedEvent]) -> None:
        """Takes what the owner has in the hole, or the first of it; nothing means that there is no more.

        Raises Gap, with nothing changed, if that cannot be.
        """
        after, upto = self._cursor.position, self._hole
        cursor, found = self._cursor, []
        for event in events:
            if event.position <= upto and not cursor.knows(event):
                if not cursor.expects(event):
                    raise Gap(cursor.position, upto)
                found.append(event)
                cursor = cursor.after(event)
        if not found:
            if cursor.partition is None:
                raise Gap(after, upto)
            cursor = cursor.past(upto)
        if cursor.position >= upto and self._held is not None:
            if not cursor.expects(self._held):
                raise Gap(cursor.tail, upto)
            found.append(self._held)
            cursor, self._held = cursor.after(self._held), None
        self._cursor = cursor
        self.ready += found

    def _accept(self, event: RecordedEvent) -> None:
        self._cursor = self._cursor.after(event)
        self.ready.append(event)
