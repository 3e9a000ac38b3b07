"""The hash chain: what it covers, and what verification finds."""

import hashlib
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidegate.evidence import GENESIS, ORIGIN, Flaw, Link, RecordedEvent, Verifier, link_hash, verify

LOG = "0b8f7a52-3c1d-4b54-9d6c-0d3f5a1f7a11"
STREAMS = ("endpoint-1", "endpoint-12", "service-1")
CELLS = ("cell-1", "", "cell-2")


def chained(records: Sequence[RecordedEvent], log_id: str = LOG) -> list[RecordedEvent]:
    """The records with the hashes that they must carry."""
    linked, previous = [], GENESIS
    for record in records:
        previous = link_hash(log_id, previous, record)
        linked.append(record._replace(hash=previous))
    return linked


def with_column(record: RecordedEvent, column: str, value: Any) -> RecordedEvent:
    return record._replace(**{column: value})


def a_log(length: int = 12) -> list[RecordedEvent]:
    versions, partitions = dict.fromkeys(STREAMS, 0), dict.fromkeys(CELLS, 0)
    records = []
    for position in range(1, length + 1):
        stream, cell = STREAMS[position % 3], CELLS[position % 2]
        versions[stream] += 1
        record = RecordedEvent(
            position=position,
            stream=stream,
            version=versions[stream],
            event_id=position.to_bytes(16, "big"),
            type="endpoint.changed",
            schema_version=1,
            recorded_at=1000 + position // 2,
            partition=cell,
            prev=partitions[cell],
            data=b"data %d" % position,
            meta=b"meta",
            hash=b"",
        )
        partitions[cell] = position
        records.append(record)
    return chained(records)


def test_an_unaltered_log_verifies_to_its_head() -> None:
    log = a_log()
    verdict = verify(LOG, log)
    assert verdict.ok
    assert verdict.head == Link(12, log[-1].hash)
    assert verdict.count == 12


def test_an_empty_log_verifies() -> None:
    verdict = verify(LOG, [])
    assert verdict.ok
    assert verdict.head == ORIGIN
    assert verdict.count == 0


def test_a_log_verifies_from_any_trusted_link_on() -> None:
    log = a_log()
    for start in range(12):
        link = Link(log[start - 1].position, log[start - 1].hash) if start else ORIGIN
        verdict = verify(LOG, log[start:], link)
        assert verdict.ok, verdict.fault
        assert (verdict.head.position, verdict.count) == (12, 12 - start)


def test_another_logs_events_do_not_verify() -> None:
    fault = verify("another log", a_log()).fault
    assert fault is not None
    assert (fault.position, fault.flaw) == (1, Flaw.HASH)


OTHER_VALUES = {
    "position": 99,
    "stream": "endpoint-2",
    "version": 99,
    "event_id": bytes(16),
    "type": "endpoint.created",
    "schema_version": 2,
    "recorded_at": 1004,
    "partition": "cell-9",
    "prev": 1,
    "data": b"data 8",
    "meta": b"",
    "hash": bytes(32),
}


@pytest.mark.parametrize("column", RecordedEvent._fields)
def test_an_altered_column_is_found_at_its_position(column: str) -> None:
    log = a_log()
    log[6] = with_column(log[6], column, OTHER_VALUES[column])
    verdict = verify(LOG, log)
    assert verdict.fault is not None
    assert verdict.fault.position == 7
    assert verdict.head == Link(6, log[5].hash)
    assert str(verdict.fault).startswith("position 7: ")


@pytest.mark.parametrize("column", RecordedEvent._fields)
def test_a_column_of_another_type_is_found_and_not_raised(column: str) -> None:
    log = a_log()
    altered: object = 5 if isinstance(getattr(log[6], column), str | bytes) else "five"
    log[6] = with_column(log[6], column, altered)
    verdict = verify(LOG, log)
    assert verdict.fault is not None
    assert verdict.fault.position == 7


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1])
def test_a_number_beyond_64_bits_is_malformed(number: int) -> None:
    log = a_log()
    log[6] = log[6]._replace(recorded_at=number)
    fault = verify(LOG, log).fault
    assert fault is not None
    assert (fault.position, fault.flaw) == (7, Flaw.MALFORMED)


def test_a_missing_record_is_a_gap() -> None:
    log = a_log()
    del log[4]
    fault = verify(LOG, log).fault
    assert fault is not None
    assert (fault.position, fault.flaw) == (5, Flaw.POSITION)


def test_a_repeated_record_is_found() -> None:
    log = a_log()
    log.insert(4, log[3])
    fault = verify(LOG, log).fault
    assert fault is not None
    assert (fault.position, fault.flaw) == (5, Flaw.POSITION)


@pytest.mark.parametrize(
    ("column", "value", "flaw"),
    [
        ("position", 8, Flaw.POSITION),
        ("version", 9, Flaw.VERSION),
        ("stream", "endpoint-77", Flaw.VERSION),
        ("prev", 6, Flaw.PREV),
        ("partition", "cell-9", Flaw.PREV),
        ("recorded_at", 1, Flaw.TIME),
        ("data", b"", Flaw.HASH),
    ],
)
def test_a_log_that_was_chained_anew_still_has_to_make_sense(column: str, value: object, flaw: Flaw) -> None:
    log = a_log()
    log[6] = with_column(log[6], column, value)
    fault = verify(LOG, log if flaw is Flaw.HASH else chained(log)).fault
    assert fault is not None
    assert (fault.position, fault.flaw) == (7, flaw)


def test_a_log_that_was_chained_anew_does_not_fit_a_link_that_was_kept() -> None:
    log = a_log()
    kept = Link(8, log[7].hash)
    log[2] = log[2]._replace(data=b"forged")
    forged = chained(log)
    assert verify(LOG, forged).ok
    fault = verify(LOG, forged[8:], kept).fault
    assert fault is not None
    assert (fault.position, fault.flaw) == (9, Flaw.HASH)


def test_after_a_fault_nothing_is_taken_any_more() -> None:
    log = a_log()
    verifier = Verifier(LOG)
    assert verifier.follow(log[0]) is None
    fault = verifier.follow(log[2])
    assert fault is not None
    assert verifier.follow(log[1]) == fault
    assert verifier.verdict.head.position == 1


def test_fields_that_run_together_hash_differently() -> None:
    record = a_log(1)[0]
    assert link_hash(LOG, GENESIS, record._replace(data=b"ab", meta=b"c")) != link_hash(
        LOG, GENESIS, record._replace(data=b"a", meta=b"bc")
    )


def test_the_hash_can_be_computed_from_its_description_alone() -> None:
    def field(value: str | int | bytes) -> bytes:
        if isinstance(value, int):
            value = value.to_bytes(8, "big")
        content = value.encode() if isinstance(value, str) else value
        return len(content).to_bytes(4, "big") + content

    log = a_log(2)
    columns = b"".join(field(column) for column in log[1][:-1])
    assert hashlib.sha256(b"sidegate.event.1\n" + log[0].hash + field(LOG) + columns).digest() == log[1].hash


def test_the_hash_of_an_event_never_changes_between_releases() -> None:
    record = RecordedEvent(1, "vpc-1", 1, bytes(16), "vpc.created", 1, 1000, "", 0, b"data", b"meta", b"")
    assert link_hash(LOG, GENESIS, record).hex() == "1dd8f0a05ded5d5b8b76018e602e7a3105dfa7cc003d39eb1972e11578949af7"


texts = st.text(st.characters(codec="utf-8"), max_size=12)
numbers = st.integers(0, 2**63 - 1)
blobs = st.binary(max_size=24)
records = st.builds(
    RecordedEvent, numbers, texts, numbers, blobs, texts, numbers, numbers, texts, numbers, blobs, blobs, st.just(b"")
)


@given(records, records)
def test_different_records_hash_differently(one: RecordedEvent, other: RecordedEvent) -> None:
    assert (link_hash(LOG, GENESIS, one) == link_hash(LOG, GENESIS, other)) == (one == other)


@given(records, st.sampled_from(RecordedEvent._fields[:-1]), st.data())
def test_every_column_is_in_the_hash(record: RecordedEvent, column: str, data: st.DataObject) -> None:
    kinds: dict[type, st.SearchStrategy[object]] = {int: numbers, str: texts, bytes: blobs}
    value = data.draw(kinds[type(getattr(record, column))].filter(lambda value: value != getattr(record, column)))
    assert link_hash(LOG, GENESIS, record) != link_hash(LOG, GENESIS, with_column(record, column, value))
