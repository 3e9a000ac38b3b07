"""What an event is published as: always as many messages, so that a stream's sequence tells a position."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from services.common.eventsourcing.store import RecordedEvent
from services.common.messaging.envelope import Message, to_message
from services.common.messaging.stream import LogEpoch

SubjectOf = Callable[[RecordedEvent], str]
MessagesOf = Callable[[RecordedEvent, LogEpoch, bytes], Sequence[Message]]
"""The messages of an event of a log; the hash of the event before it goes with them."""


@dataclass(frozen=True, slots=True)
class Form:
    """Event p takes the sequences (p-1) * `messages` + 1 to p * `messages`. Each message has the event's hash."""

    messages: int
    of: MessagesOf

    def whole(self, sequence: int) -> int:
        """The last event of which everything is there, where the stream ends at a sequence."""
        return sequence // self.messages

    def at(self, sequence: int) -> int:
        """The event that a sequence is of."""
        return -(-sequence // self.messages)


def as_it_is(subject_of: SubjectOf) -> Form:
    """One message with the stored bytes: a sequence is a position."""
    return Form(1, lambda event, log, previous: [to_message(event, subject_of(event), log, previous)])
