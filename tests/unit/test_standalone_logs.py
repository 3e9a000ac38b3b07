"""`make logs`: lines of every form, rotations, and what it says where nothing runs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from services.common.telemetry.log_file import RotatingFile
from services.standalone.data_directory import DataDirectory, is_held
from services.standalone.logs.files import LogTail, LogTails
from services.standalone.logs.lines import Choice, parse, shown
from tests.support.standalone import ROOT


def said(event: str, time: str = "2026-11-25T10:00:00.000001Z", **fields: str) -> str:
    return json.dumps({"event": event, "timestamp": time, "level": "info", "program": "registry", **fields})


def test_a_line_is_shown_with_its_fields_and_cannot_move_the_cursor() -> None:
    line = parse("registry", said("call", account="shop", why="two words\x1b[2J"), None)
    text = shown(line).plain
    assert text[12:] == ' registry   info    call account=shop why="two words\\u001b[2J"'


def test_nats_words_are_read_with_their_level_and_time() -> None:
    line = parse("nats", "[77] 2026/11/25 10:00:00.123456 [WRN] slow consumer", None)
    assert (line.level, line.event) == ("warning", "slow consumer")
    assert line.time.endswith(".123456Z")


def test_a_traceback_that_nobody_caught_stays_with_the_line_before_it() -> None:
    before = parse("registry", said("call", trace_id="abc"), None)
    stray = parse("registry", "Traceback (most recent call last):", before)
    assert (stray.time, stray.level) == (before.time, "error")
    assert Choice(trace_id="abc").takes(stray)
    assert shown(stray).plain.endswith("Traceback (most recent call last):")


@pytest.mark.parametrize(
    ("choice", "is_taken"),
    [
        (Choice(), True),
        (Choice(programs=["gateway"]), False),
        (Choice(programs=["registry", "nats"]), True),
        (Choice(level="warning"), False),
        (Choice(request_id="r-"), True),
        (Choice(request_id="x"), False),
        (Choice(trace_id="abc"), False),
    ],
)
def test_lines_are_chosen_by_program_level_and_ids(choice: Choice, is_taken: bool) -> None:
    assert choice.takes(parse("registry", said("call", request_id="r-1"), None)) is is_taken


def test_a_log_is_read_through_its_rotations_without_losing_or_repeating_a_line(tmp_path: Path) -> None:
    path = tmp_path / "registry.log"
    written = RotatingFile(path, largest=2000, kept=9)
    tail, seen = LogTail("registry", path), []
    for number in range(100):
        written.write(said(str(number)) + "\n")
        if number == 40:
            seen += list(tail.history())
        elif number > 40 and number % 7 == 0:
            seen += list(tail.read())
    seen += list(tail.read())
    assert [int(line.event) for line in seen] == list(range(100))
    tail.close()
    written.close()


def test_half_a_line_is_waited_for(tmp_path: Path) -> None:
    path, whole = tmp_path / "registry.log", said("whole")
    path.write_text(whole[:20])
    tail = LogTail("registry", path)
    assert list(tail.read()) == []
    with path.open("a") as file:
        file.write(whole[20:] + "\n")
    assert [line.event for line in tail.read()] == ["whole"]
    tail.close()


def test_all_programs_make_one_story_those_that_begin_later_too(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "registry.log").write_text(said("second", "2026-11-25T10:00:02Z") + "\n")
    (tmp_path / "logs" / "endpoint.log").write_text(said("first", "2026-11-25T10:00:01Z") + "\n")
    tails = LogTails(tmp_path)
    assert [line.event for line in tails.history()] == ["first", "second"]
    (tmp_path / "logs" / "gateway.log").write_text(said("third", "2026-11-25T10:00:03Z") + "\n")
    assert [(line.program, line.event) for line in tails.read()] == [("gateway", "third")]
    tails.close()


def logs(data: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "services.standalone.logs", "--data-dir", str(data)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)


def test_where_nothing_ever_ran_it_says_what_to_do(tmp_path: Path) -> None:
    done = logs(tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "make up" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_where_nothing_runs_any_more_it_shows_what_was_said_last_and_ends(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "registry.log").write_text(said("the last word") + "\n")
    done = logs(tmp_path)
    assert done.returncode == 0
    assert "the last word" in done.stdout
    assert "make up" in done.stderr


def test_whether_a_standalone_runs_is_told_by_its_lock(tmp_path: Path) -> None:
    data = DataDirectory(tmp_path / "data")
    assert not is_held(data.path)
    data.open()
    assert is_held(data.path)
    data.close()
    assert not is_held(data.path)
