"""Events as messages: what comes back is what was sent, and nothing else passes for it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.eventsourcing.store import GENESIS, MAX_EVENT_BYTES, RecordedEvent
from services.common.messaging import envelope
from services.common.messaging.envelope import EventTooLarge, NotAnEvent, from_message, to_message
from services.common.messaging.stream import LogEpoch
from sidegate.evidence import link_hash

LOG = LogEpoch("log-1", 3)
number = st.integers(0, 2**63 - 1)
text = st.text(max_size=30).filter(lambda value: value.isprintable())


@st.composite
def recorded(draw: st.DrawFn) -> RecordedEvent:
    event = RecordedEvent(
        position=draw(st.integers(1, 2**63 - 1)),
        stream=draw(text),
        version=draw(number),
        event_id=draw(st.binary(min_size=16, max_size=16)),
        type=draw(text),
        schema_version=draw(st.integers(0, 2**31)),
        recorded_at=draw(number),
        partition=draw(text),
        prev=draw(number),
        data=draw(st.binary(max_size=100)),
        meta=draw(st.binary(max_size=100)),
        hash=b"",
    )
    return event._replace(hash=link_hash(LOG.log_id, GENESIS, event))


an_event = RecordedEvent(7, "endpoint-1", 2, bytes(16), "accepted", 1, 5, "cell 1", 3, b"data", b"meta", b"")
an_event = an_event._replace(hash=link_hash(LOG.log_id, GENESIS, an_event))


def on_the_wire(headers: dict[str, str]) -> dict[str, str]:
    """What a client makes of header values: trimmed, in one line."""
    return {name: value.strip().replace("\r", " ").replace("\n", " ") for name, value in headers.items()}


@given(recorded())
def test_every_event_comes_back_whole(event: RecordedEvent) -> None:
    message = to_message(event, "s", LOG, GENESIS)
    publication = from_message(event.position, on_the_wire(dict(message.headers)), message.data)
    assert publication == envelope.Publication(event, LOG, GENESIS)


@pytest.mark.parametrize("name", [name for name in dir(envelope) if name.isupper() and name != "MAX_EVENT_BYTES"])
@given(st.text(max_size=12))
def test_a_message_with_any_header_altered_is_not_an_event(name: str, value: str) -> None:
    header = getattr(envelope, name)
    message = to_message(an_event, "s", LOG, GENESIS)
    headers = {**message.headers, header: value}
    try:
        publication = from_message(an_event.position, headers, message.data)
    except NotAnEvent:
        return
    # The epoch names a history of the log and is no part of an event; anything else reads as it did.
    assert publication.event == an_event
    assert header == envelope.EPOCH or publication.log == LOG


@pytest.mark.parametrize("missing", list(to_message(an_event, "s", LOG, GENESIS).headers))
def test_a_message_without_one_of_the_headers_is_not_an_event(missing: str) -> None:
    message = to_message(an_event, "s", LOG, GENESIS)
    headers = {name: value for name, value in message.headers.items() if name != missing}
    with pytest.raises(NotAnEvent, match=missing):
        from_message(an_event.position, headers, message.data)


def test_a_message_with_other_data_or_at_another_position_is_not_an_event() -> None:
    message = to_message(an_event, "s", LOG, GENESIS)
    with pytest.raises(NotAnEvent):
        from_message(an_event.position, message.headers, b"datA")
    with pytest.raises(NotAnEvent):
        from_message(an_event.position + 1, message.headers, message.data)
    with pytest.raises(NotAnEvent):
        from_message(an_event.position, None, b"")


def test_an_event_that_is_too_large_is_refused_by_name() -> None:
    event = an_event._replace(data=bytes(MAX_EVENT_BYTES))
    with pytest.raises(EventTooLarge, match=r"event 7 \(accepted of endpoint-1\) has 262148 bytes"):
        to_message(event, "s", LOG, GENESIS)
