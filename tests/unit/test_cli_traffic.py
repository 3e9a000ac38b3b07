"""`sidegate gateway traffic`: what passes, as people and programs read it."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidegate.api.gateway.v1.traffic_pb2 import EndpointTraffic, GetTrafficRequest, GetTrafficResponse, Traffic
from sidegate.cli.traffic import reasons, share, size
from tests.support import fake_sidegate
from tests.support.command_line import CommandLine
from tests.support.fake_sidegate import FakeSidegate
from tests.unit.test_cli_terminal import show

ONE, TWO = "6f1c2a3b-5d0e-4f6a-9b1c-2d3e4f5a6b7c", "7f1c2a3b-5d0e-4f6a-9b1c-2d3e4f5a6b7c"
WEB = "0b3f1c3e-6a44-4a0e-8a5b-7a8d2d6a4c02"


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeSidegate]:
    with fake_sidegate.running(tmp_path) as running:
        running.gateway.traffic.CopyFrom(told())
        yield running


@pytest.fixture
def cli(fake: FakeSidegate) -> CommandLine:
    return CommandLine(fake)


def told() -> GetTrafficResponse:
    busy = Traffic(
        sessions=52_000,
        sessions_made=120_000,
        packets_in=9,
        bytes_in=1_234_567,
        packets_out=8,
        bytes_out=98_765_432_109,
        refused={"no_source_port": 37, "no_port": 2},
    )
    quiet = Traffic(sessions=3, sessions_made=3, packets_in=4, bytes_in=999)
    return GetTrafficResponse(
        gateway_id="gw-1",
        cell="default",
        endpoints=[
            EndpointTraffic(
                endpoint_id=ONE, service_id=WEB, address="10.0.0.20", traffic=busy, sources=1, source_capacity=64_512
            ),
            EndpointTraffic(
                endpoint_id=TWO, service_id=WEB, address="10.0.0.21", traffic=quiet, sources=4, source_capacity=258_048
            ),
        ],
        left_out=5,
        total=Traffic(sessions=52_003, bytes_in=1_235_566, bytes_out=98_765_432_109, refused=busy.refused),
        session_capacity=131_072,
    )


def test_a_table_shows_who_has_how_much(cli: CommandLine) -> None:
    summary, _, titles, busy, quiet, _, rest = cli.text("gateway", "traffic").splitlines()
    assert summary == (
        "gateway gw-1 of cell default: 52003 sessions of 131072 (40 %), 1.2 MB in, 98.8 GB out, "
        "refused: 37 no_source_port, 2 no_port"
    )
    assert titles.split() == ["ENDPOINT", "ADDRESS", "SESSIONS", "MADE", "IN", "OUT", "REFUSED", "SOURCES", "USED"]
    cells = [ONE, "10.0.0.20", "52000", "120000", "1.2 MB", "98.8 GB", "37 no_source_port, 2 no_port", "1", "81 %"]
    assert re.split(r"\s{2,}", busy) == cells
    assert re.split(r"\s{2,}", quiet) == [TWO, "10.0.0.21", "3", "3", "999 B", "0 B", "4", "<1 %"]
    assert rest == "and 5 more, with less or none: --limit shows more"
    wide = cli.text("gateway", "traffic", "-o", "wide")
    assert "SERVICE ID" in wide
    assert WEB in wide


def test_programs_get_what_the_gateway_said(cli: CommandLine) -> None:
    answer = cli.answer("gateway", "traffic")
    assert answer["endpoints"][0]["traffic"]["bytes_out"] == 98_765_432_109
    assert answer["endpoints"][0]["traffic"]["refused"] == {"no_port": 2, "no_source_port": 37}
    assert (answer["left_out"], answer["session_capacity"]) == (5, 131_072)


@pytest.mark.parametrize(
    ("by", "order"),
    [
        ("bytes", GetTrafficRequest.ORDER_BYTES),
        ("sessions", GetTrafficRequest.ORDER_SESSIONS),
        ("refused", GetTrafficRequest.ORDER_REFUSED),
        ("sources", GetTrafficRequest.ORDER_SOURCES),
    ],
)
def test_the_order_and_the_number_are_the_gateways_to_heed(
    fake: FakeSidegate, cli: CommandLine, by: str, order: "GetTrafficRequest.Order.ValueType"
) -> None:
    cli.text("gateway", "traffic", "--by", by, "--limit", "7")
    assert fake.gateway.asked_traffic[-1] == GetTrafficRequest(order=order, limit=7)


def test_a_number_that_cannot_be_is_refused(cli: CommandLine) -> None:
    assert "--limit" in cli.error("gateway", "traffic", "--limit", "0", code=2)


def test_where_nothing_has_passed_that_is_said(fake: FakeSidegate, cli: CommandLine) -> None:
    fake.gateway.traffic.Clear()
    fake.gateway.traffic.gateway_id, fake.gateway.traffic.cell = "gw-1", "default"
    done = cli.run("gateway", "traffic")
    assert done.stdout == "gateway gw-1 of cell default: 0 sessions, 0 B in, 0 B out, refused: nothing\n"
    assert "nothing has passed" in done.stderr


def test_colours_are_for_terminals(fake: FakeSidegate, cli: CommandLine, tmp_path: Path) -> None:
    assert "\x1b" not in cli.text("gateway", "traffic")
    seen = show(tmp_path, "gateway", "traffic", size=(160, 40))
    assert "\x1b[31m81 %" in seen, "nearly all of its source ports are in use"
    assert "\x1b[33m37 no_source_port" in seen
    assert "\x1b[3" not in show(tmp_path, "gateway", "traffic", size=(160, 40), NO_COLOR="1")


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (1_500, "1.5 kB"), (10**13, "10.0 TB"), (10**22, "10000.0 EB")],
)
def test_bytes_are_said_in_units_of_a_thousand(number: int, text: str) -> None:
    assert size(number) == text


def test_what_is_there_is_never_said_to_be_nothing() -> None:
    assert [share(each) for each in (0.0, 0.00001, 0.01, 1.0)] == ["0 %", "<1 %", "1 %", "100 %"]


def test_reasons_beyond_three_are_counted_together() -> None:
    passed = Traffic(refused={"ttl": 1, "no_port": 5, "options": 2, "not_allowed": 9, "fragment": 1})
    assert reasons(passed) == "9 not_allowed, 5 no_port, 2 options, 2 others"
