"""What a scenario tells, without playing one: what is counted on a wire, and what is shown to whom."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from tests.support.wire import IPV4, UDP, Segment, arp_request, ethernet
from tests.support.wire_tap import Talk, Talks
from tests.system.scenarios.catalogue import SCENARIOS
from tests.system.scenarios.record import Observation, Progress, Record, Screen
from tests.system.scenarios.scenario import sentence

PAGE = Path(__file__).resolve().parents[2] / "docs" / "scenarios.md"
ASKED = Observation("TCP :80", "machine 10.0.0.10", "endpoint 10.0.0.100", "the bank", 0.876, "198.19.150.230")
REFUSED = Observation("TCP :81", "machine 10.0.0.10", "endpoint 10.0.0.100", "nobody", 301.0, "")


def frame(source: str, source_port: int, destination: str, port: int, protocol: int = 6) -> bytes:
    packet = Segment(source, destination, source_port, port, protocol).pack()
    return ethernet(bytes(6), bytes(6), IPV4, packet)


def told(record: Record) -> None:
    record.open("shop", "A shop asks a bank", "shop ──▶ bank")
    record.step("The shop asks.")
    record.tell("it asks politely")
    record.observe(ASKED)
    record.observe(REFUSED)
    record.wire("shop: 10.0.0.10 → 10.0.0.100:80 tcp  5 there, 3 back")
    record.drawn("VPC shop\n└── endpoint\n")
    record.close()


def test_packets_are_counted_by_who_asks_whom_whatever_the_askers_port() -> None:
    talks = Talks()
    for port in (40_000, 40_001):
        talks.count(frame("10.0.0.10", port, "10.0.0.100", 80))
        talks.count(frame("10.0.0.100", 80, "10.0.0.10", port))
        talks.count(frame("10.0.0.10", port, "10.0.0.100", 80))
    talks.count(frame("10.0.0.10", 80, "10.0.0.100", 53, UDP))
    talks.count(arp_request(bytes(6), "10.0.0.10", "10.0.0.100"))
    talks.count(b"\0" * 14)
    web, names = Talk("10.0.0.10", "10.0.0.100", 80, "tcp"), Talk("10.0.0.10", "10.0.0.100", 53, "udp")
    assert talks.counted == {names: (1, 0), web: (4, 2)}
    assert talks.packets == 7


def test_an_answer_is_still_one_after_a_step_has_ended_and_where_both_ends_have_one_port() -> None:
    talks = Talks()
    talks.count(frame("100.64.0.1", 51_000, "100.64.0.2", 4789, UDP))
    talks.count(frame("10.0.0.10", 40_000, "10.0.0.100", 80))
    talks.begin_anew()
    assert talks.counted == {}
    talks.count(frame("100.64.0.2", 52_000, "100.64.0.1", 4789, UDP))
    talks.count(frame("10.0.0.100", 80, "10.0.0.10", 40_000))
    tunnel, web = Talk("100.64.0.1", "100.64.0.2", 4789, "udp"), Talk("10.0.0.10", "10.0.0.100", 80, "tcp")
    assert talks.counted == {web: (0, 1), tunnel: (0, 1)}


@pytest.mark.parametrize("terminal", [True, False])
def test_a_screen_shows_everything_with_colours_on_a_terminal_only(terminal: bool) -> None:
    out = io.StringIO()
    screen = Screen(Console(file=out, force_terminal=terminal, width=160, highlight=False, _environ={}))
    told(screen)
    shown = out.getvalue()
    assert ("\x1b[" in shown) == terminal
    for words in ("A shop asks a bank", "shop ──▶ bank", "1. The shop asks.", "it asks politely", "5 there, 3 back"):
        assert words in shown
    for words in ("└── endpoint", "the bank", "0.88", "198.19.150.230", "301.00", "source seen"):
        assert words in shown


def test_a_program_gets_json_and_a_person_beside_it_where_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress()
    told(progress)
    assert capsys.readouterr().err == "1. The shop asks.\n"
    document = json.loads(json.dumps(progress.as_data()))
    assert document["steps"] == [
        {
            "sentence": "The shop asks.",
            "lines": ["it asks politely"],
            "wire": ["shop: 10.0.0.10 → 10.0.0.100:80 tcp  5 there, 3 back"],
        }
    ]
    assert [each["answer"] for each in document["observations"]] == ["the bank", "nobody"]
    assert document["topology"].startswith("VPC shop")


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_scenario_is_on_its_page_and_has_a_title_a_drawing_and_sentences(name: str) -> None:
    scenario = SCENARIOS[name]
    assert f"| `{name}` |" in PAGE.read_text()
    assert scenario.title
    assert "─" in scenario.drawing
    assert max(map(len, scenario.drawing.splitlines())) <= 120, "a drawing fits on a terminal"
    assert all(sentence(step).endswith(".") for step in scenario.steps)
