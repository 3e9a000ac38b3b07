"""Views: what projects hear of a log, one change in each message, and nothing else of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from services.common.eventsourcing.store import RecordedEvent
from services.common.messaging.envelope import EPOCH, HASH, LOG_ID, EventTooLarge, Message
from services.common.messaging.form import Form
from services.common.messaging.stream import LogEpoch, Topic
from services.common.messaging.subjects import FILLER
from sidegate.api.events.v1.view_pb2 import View

SOURCE_LOG = "source_log"
SOURCE_POSITION = "source_position"

LARGEST_VIEW = 512 * 1024


@dataclass(frozen=True, slots=True)
class Viewed:
    """A view, yet without its source, and where it goes."""

    subject: str
    view: View


ViewsOf = Callable[[RecordedEvent], Sequence[Viewed]]

SERVICE_VIEWS = Topic("VIEW-REG", "registry", taken=("sidegate.v1.*.service.*", f"{FILLER}.registry"))
ENDPOINT_VIEWS = Topic(
    "VIEW-EP",
    "endpoint",
    taken=("sidegate.v1.*.endpoint.*", "sidegate.v1.*.connection.*", f"{FILLER}.endpoint"),
)


def view_form(topic: Topic, views_of: ViewsOf, most: int) -> Form:
    """An event as `most` messages: its views, then fillers, which nobody hears and which keep the count.

    They all carry the event's hash: by it a relay sees whether the stream tells of the log's present history.
    """

    def messages(event: RecordedEvent, log: LogEpoch, _previous: bytes) -> Sequence[Message]:
        headers = {
            LOG_ID: log.log_id,
            EPOCH: str(log.epoch),
            HASH: event.hash.hex(),
            SOURCE_LOG: topic.program,
            SOURCE_POSITION: str(event.position),
        }
        viewed = views_of(event)
        if len(viewed) > most:
            raise ValueError(f"event {event.position} has {len(viewed)} views, where {most} are foreseen")
        made = [Message(each.subject, headers, _sourced(each.view, topic.program, log, event)) for each in viewed]
        filler = Message(f"{FILLER}.{topic.program}", headers, b"")
        return [*made, *[filler] * (most - len(made))]

    return Form(most, messages)


def _sourced(view: View, program: str, log: LogEpoch, event: RecordedEvent) -> bytes:
    view.source_log, view.log_id, view.epoch, view.source_position = program, log.log_id, log.epoch, event.position
    data = view.SerializeToString(deterministic=True)
    if len(data) > LARGEST_VIEW:
        raise EventTooLarge(f"the view of event {event.position} has {len(data)} bytes of {LARGEST_VIEW}")
    return data
