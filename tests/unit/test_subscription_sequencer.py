"""Whatever is lost, repeated, reordered or replayed on the way: every event once, in order."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.eventsourcing.store import RecordedEvent
from services.common.messaging.sequencer import Gap, Sequencer


def log(partitions: Sequence[str]) -> list[RecordedEvent]:
    events: list[RecordedEvent] = []
    for position, partition in enumerate(partitions, 1):
        prev = next((e.position for e in reversed(events) if e.partition == partition), 0)
        events.append(RecordedEvent(position, "s", position, b"", "t", 1, 0, partition, prev, b"", b"", b""))
    return events


def follow(
    sequencer: Sequencer, arrivals: Sequence[RecordedEvent], owner: Sequence[RecordedEvent], page: int = 1000
) -> list[RecordedEvent]:
    """Gives the sequencer what arrives, and what it asks of the owner."""
    given_out: list[RecordedEvent] = []
    for arrival in arrivals:
        sequencer.take(arrival)
        while hole := sequencer.hole:
            after, upto = hole
            sequencer.fill([event for event in owner if after < event.position <= upto][:page])
        while sequencer.ready:
            given_out.append(sequencer.ready.popleft())
    return given_out


partitions = st.lists(st.sampled_from("ab"), min_size=1, max_size=30)


@given(partitions, st.sampled_from([None, "a"]), st.integers(0, 30), st.integers(1, 3), st.data())
def test_losses_repeats_and_reorderings_change_nothing(
    layout: list[str], partition: str | None, after: int, page: int, data: st.DataObject
) -> None:
    events = log(layout)
    wanted = [e for e in events if partition in (None, e.partition)]
    arrivals = data.draw(st.lists(st.sampled_from(wanted), max_size=60)) if wanted else []
    given_out = follow(Sequencer(after, partition), arrivals, wanted, page)
    upto = max((e.position for e in arrivals), default=0)
    assert given_out == [e for e in wanted if after < e.position <= upto]


@given(partitions, st.sampled_from([None, "a"]), st.data())
def test_what_the_owner_does_not_give_either_is_a_gap_and_nothing_else_is(
    layout: list[str], partition: str | None, data: st.DataObject
) -> None:
    events = log(layout)
    wanted = [e for e in events if partition in (None, e.partition)]
    lost = data.draw(st.sets(st.sampled_from(wanted))) if wanted else set()
    rest = [e for e in wanted if e not in lost]
    noticed = any(e.position < rest[-1].position for e in lost) if rest else False
    if noticed:
        with pytest.raises(Gap):
            follow(Sequencer(0, partition), rest, rest)
    else:
        assert follow(Sequencer(0, partition), rest, rest) == rest


def test_a_gap_leaves_everything_as_it_was_so_that_it_may_be_filled_later() -> None:
    events = log("aaaa")
    sequencer = Sequencer(0, None)
    sequencer.take(events[3])
    with pytest.raises(Gap) as gap:
        sequencer.fill([])
    assert (gap.value.after, gap.value.upto) == (0, 3)
    assert sequencer.hole == (0, 3)
    sequencer.fill(events[:3])
    assert list(sequencer.ready) == events


def test_a_partition_may_have_nothing_where_the_stream_no_longer_reaches() -> None:
    events = log("abbba")
    sequencer = Sequencer(1, "a")
    sequencer.miss(4)
    sequencer.fill([])
    sequencer.take(events[4])
    assert list(sequencer.ready) == [events[4]]


def test_an_event_of_another_partition_is_a_gap() -> None:
    with pytest.raises(Gap):
        follow(Sequencer(0, "a"), log("b"), [])


def test_a_chain_that_leads_behind_what_was_given_is_a_gap() -> None:
    first, second = log("aa")
    with pytest.raises(Gap):
        follow(Sequencer(0, "a"), [first, second._replace(prev=0)], [])
