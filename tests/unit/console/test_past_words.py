"""What the past says: every fact has a sentence; addresses say what is wanted; exports let nothing be computed."""

import csv
import io
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from services.console.pages.chronicle import SAID
from services.console.past import exporting, words
from services.console.past.deeds import BEGINNING, Entry, Place
from services.console.past.moments import logs_of
from services.console.past.wanted import NoMoment, at_nanoseconds, moment_of, text_of
from services.endpoint.wire import sights as endpoint_sights
from services.registry.wire import sights as registry_sights
from sidegate.api.events.v1.history_pb2 import ReadStateRequest

AT = 1_764_000_000_123_456_789
ENTRY = Entry(
    "registry", AT, at_nanoseconds(AT), "created", "vpc", "v-1", name="main", account="shop", project="default"
)


def test_every_fact_of_both_logs_has_a_sentence() -> None:
    untold = {*registry_sights.UNTOLD, *endpoint_sights.UNTOLD}
    assert untold == set(words.FACTS)
    assert not set(words.FACTS) & set(SAID)


def test_a_moment_is_read_to_the_nanosecond_as_it_was_written() -> None:
    assert text_of(at_nanoseconds(AT)) == "2025-11-24T16:00:00.123456789Z"
    found = moment_of(text_of(at_nanoseconds(AT)))
    assert found is not None
    assert found.ToNanoseconds() == AT
    assert moment_of("") is None


@pytest.mark.parametrize(
    ("text", "hour"), [("2026-11-26 08:30", 8), ("2026-11-26T08:30:00Z", 8), ("2026-11-26T08:30:00+02:00", 6)]
)
def test_a_moment_is_what_browsers_and_people_write(text: str, hour: int) -> None:
    found = moment_of(text)
    assert found is not None
    assert found.ToDatetime(UTC) == datetime(2026, 11, 26, hour, 30, tzinfo=UTC)


@pytest.mark.parametrize("text", ["yesterday", "2026-13-01 00:00", "2026-11-26", "0000-01-01T00:00:00Z", "1e9", "\x00"])
def test_what_is_no_moment_is_said_to_be_none(text: str) -> None:
    with pytest.raises(NoMoment):
        moment_of(text)


@pytest.mark.parametrize("text", ["", "1", "1.2", "a.b.c", "1.2.3.4", f"{'9' * 40}.1.1"])
def test_a_place_that_nobody_wrote_is_the_beginning(text: str) -> None:
    assert Place.read(text) == BEGINNING
    assert Place.read(Place(5, -1, AT).text) == Place(5, -1, AT)


def test_logs_are_read_as_they_were_written_and_nothing_else_is() -> None:
    assert logs_of("registry:id:3,endpoint:other:1") == {"registry": ("id", 3), "endpoint": ("other", 1)}
    assert logs_of("registry:id:x,:,a") == {}


def test_an_export_shows_a_formula_and_does_not_let_a_spreadsheet_compute_it() -> None:
    line = exporting.csv_line(exporting.row(replace(ENTRY, name='=HYPERLINK("https://evil.test")')))
    (row,) = csv.DictReader(io.StringIO(exporting.FORMATS["csv"][1] + line))
    assert row["name"] == '\'=HYPERLINK("https://evil.test")'
    assert (row["time"], row["account"], row["position"]) == (text_of(ENTRY.time), "shop", "0")


@pytest.mark.parametrize("number", ["9" * 18, "9" * 19, "9" * 30, "-1", "\u0663", ""])
def test_numbers_of_an_address_fit_the_contract_or_are_not_there(number: str) -> None:
    """Larger ones met the contract's own check of ranges: their reader got an error of the console's."""
    for _log, epoch in logs_of(f"registry:log:{number}").values():
        ReadStateRequest(epoch=epoch)
    ReadStateRequest(position=max(0, Place.read(f"{number}.{number}.{number}").registry))
