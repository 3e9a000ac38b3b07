"""What a relay concludes from what it sees."""

import pytest

from services.common.eventsourcing.store import GENESIS, Head, RecordedEvent
from services.common.messaging.publisher import BATCH_BYTES, chunks
from services.common.messaging.stream import ENDPOINT, LogEpoch, StreamState
from services.common.messaging.verdict import Create, Fork, Sound, Survey, judge
from sidegate.evidence import Link

A, B = b"a" * 32, b"b" * 32
HEAD = Head("log", 2, 10, A)
LOG = LogEpoch("log", 2)


def stream(epoch: int = 2, last: int = 10, log_id: str = "log", live: bool = True) -> StreamState:
    return StreamState(f"EP-{epoch}", LogEpoch(log_id, epoch), last, live)


def seen(
    *streams: StreamState, published: bytes | None = None, witness: Link | None = None, recorded: bytes | None = A
) -> Survey:
    return Survey(streams, published, witness, HEAD, recorded)


def test_where_there_is_no_stream_it_is_made() -> None:
    assert judge(seen(recorded=GENESIS)) == Create(LOG)


def test_a_stream_with_the_same_event_at_its_end_is_sound() -> None:
    assert judge(seen(stream(), published=A)) == Sound(LOG, 10, A, witnessed=False)


def test_a_stream_that_is_behind_is_sound() -> None:
    assert judge(seen(stream(last=4), published=B, recorded=B)) == Sound(LOG, 4, B, witnessed=False)


def test_a_last_message_that_is_not_there_is_no_fork_where_a_witness_tells_what_it_was() -> None:
    assert judge(seen(stream(), witness=Link(10, A))) == Sound(LOG, 10, A, witnessed=True)


def test_an_empty_stream_needs_no_witness() -> None:
    assert judge(seen(stream(last=0), recorded=GENESIS)) == Sound(LOG, 0, GENESIS, witnessed=True)


def test_an_older_witness_is_to_be_written_anew() -> None:
    assert judge(seen(stream(), published=A, witness=Link(9, B))) == Sound(LOG, 10, A, witnessed=False)


@pytest.mark.parametrize(
    ("found", "published", "recorded", "why"),
    [
        (stream(last=11), A, None, "EP-2 is at 11, the log only at 10"),
        (stream(last=11), None, None, "EP-2 is at 11, the log only at 10"),
        (stream(), B, A, "EP-2 has another event at 10 than the log"),
        (stream(), b"", A, "EP-2 has another event at 10 than the log"),
        (stream(log_id="other"), A, A, "EP-2 is of log other, not log"),
        (stream(log_id=""), A, A, "EP-2 is of log unknown, not log"),
        (stream(epoch=3), A, A, "EP-3 is there, the log only in epoch 2"),
        (stream(live=False), A, A, "EP-2 was retired"),
        (stream(), None, A, "nothing tells which event EP-2 had at 10"),
    ],
)
def test_a_stream_that_tells_another_history_is_a_fork(
    found: StreamState, published: bytes | None, recorded: bytes | None, why: str
) -> None:
    assert judge(seen(found, published=published, recorded=recorded)) == Fork(found.log.epoch, why)


@pytest.mark.parametrize(
    ("published", "witness", "why"),
    [
        (None, Link(9, A), "nothing tells which event EP-2 had at 10"),
        (None, Link(10, B), "EP-2 has another event at 10 than the log"),
        (B, Link(10, A), "EP-2 has another event at 10 than the log"),
    ],
)
def test_a_witness_counts_for_its_position_and_less_than_the_message(
    published: bytes | None, witness: Link, why: str
) -> None:
    assert judge(seen(stream(), published=published, witness=witness)) == Fork(2, why)


def test_streams_of_earlier_epochs_are_retired_and_the_oldest_deleted() -> None:
    head = Head("log", 7, 10, A)
    earlier = [stream(epoch=2, live=False), stream(epoch=6), stream(epoch=4, live=False), stream(epoch=5, live=False)]
    assert judge(Survey(earlier, A, None, head, A)) == Create(
        LogEpoch("log", 7), retire=("EP-6", "EP-5", "EP-4"), delete=("EP-2",)
    )


@pytest.mark.parametrize("name", ["EP-0", "EP-01", "EP-", "EP-1x", "EP-1\n", "XEP-1", "EP--1", "EP-٣", "REG-1", ""])
def test_a_stream_of_another_name_is_not_ours(name: str) -> None:
    assert ENDPOINT.epoch_of(name) is None


def event(position: int, size: int = 10) -> RecordedEvent:
    return RecordedEvent(position, "s", 1, b"", "t", 1, 0, "", 0, bytes(size), b"", b"")


def lengths(events: list[RecordedEvent]) -> list[int]:
    return [len(chunk) for chunk in chunks(events)]


def test_three_events_go_one_by_one_and_four_together() -> None:
    assert lengths([]) == []
    assert lengths([event(p) for p in (1, 2, 3)]) == [1, 1, 1]
    assert lengths([event(p) for p in (1, 2, 3, 4)]) == [4]


def test_a_batch_is_bounded_in_bytes() -> None:
    third = BATCH_BYTES // 3
    assert lengths([event(p, third) for p in range(1, 8)]) == [3, 3, 1]
    assert lengths([event(p, BATCH_BYTES + 1) for p in range(1, 5)]) == [1, 1, 1, 1]
