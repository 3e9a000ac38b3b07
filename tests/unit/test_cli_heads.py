"""Signed heads on the command line: taken from live logs, kept elsewhere, held against what the logs say later."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from sidegate.api.events.v1.registry_events_pb2 import RegistryEvent, VpcCreated
from sidegate.api.registry.v1.vpc_pb2 import Vpc
from sidegate.signed_heads import SigningKey, read_heads
from tests.support import fake_sidegate
from tests.support.command_line import CommandLine
from tests.support.fake_sidegate import FakeSidegate
from tests.support.fake_sidegate.logs import FakeLog


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeSidegate]:
    with fake_sidegate.running(tmp_path) as running:
        for log in (running.registry_log, running.endpoint_log):
            grow(log, 3)
        yield running


@pytest.fixture
def cli(fake: FakeSidegate) -> CommandLine:
    return CommandLine(fake)


def grow(log: FakeLog, events: int) -> None:
    for number in range(events):
        event = RegistryEvent(vpc_created=VpcCreated(), vpc=Vpc(id=f"v-{number}"))
        log.append("vpc-1", "registry.v1.VpcCreated", event, at=len(log.records))


@pytest.fixture
def kept(cli: CommandLine, tmp_path: Path) -> list[str]:
    """Options that name the heads as they were signed before anything happened, and both keys."""
    options = []
    for log in ("registry", "endpoint"):
        key = tmp_path / f"{log}.pem"
        key.write_text(cli.text("audit", "key", log))
        options += ["--key", str(key)]
    heads = tmp_path / "kept" / "heads.jsonl"
    heads.parent.mkdir()
    cli.answer("audit", "head", "--append", str(heads))
    return [*options, "--heads", str(heads)]


def test_a_log_that_is_empty_has_no_head_and_keeps_no_other_from_its_own(
    fake: FakeSidegate, cli: CommandLine, tmp_path: Path
) -> None:
    fake.endpoint_log.records.clear()
    done = cli.run("audit", "head", "--append", str(tmp_path / "heads.jsonl"))
    assert done.exit_code == 0
    assert done.stderr == "the endpoint's log is empty: it has no head yet\n"
    assert [head.log for head in read_heads(tmp_path / "heads.jsonl")] == ["registry"]
    fake.registry_log.records.clear()
    assert "the registry's log is empty" in cli.error("audit", "head", code=3)


def rewrite(log: FakeLog) -> None:
    """Somebody who can write to the database makes another history, with a chain that is right."""
    length, log.records = len(log.records), []
    log.append("vpc-1", "registry.v1.VpcCreated", RegistryEvent(vpc=Vpc(id="v-other")), at=0)
    grow(log, length - 1)


def test_a_log_that_grew_leads_to_its_earlier_heads(fake: FakeSidegate, cli: CommandLine, kept: list[str]) -> None:
    grow(fake.registry_log, 5)
    told = cli.answer("audit", "verify", *kept)
    assert [(each["ok"], each["records"]) for each in told] == [(True, 8), (True, 3)]


def test_a_history_that_was_rewritten_with_a_right_chain_is_found(
    fake: FakeSidegate, cli: CommandLine, kept: list[str]
) -> None:
    rewrite(fake.registry_log)
    assert all(each["ok"] for each in cli.answer("audit", "verify"))  # the chain alone cannot tell
    registry, endpoint = cli.answer("audit", "verify", *kept, code=1)
    assert (registry["position"], registry["flaw"]) == (3, "signed")
    assert endpoint["ok"]


def test_a_log_that_was_cut_short_is_found(fake: FakeSidegate, cli: CommandLine, kept: list[str]) -> None:
    fake.endpoint_log.records.pop()
    _, endpoint = cli.answer("audit", "verify", *kept, code=1)
    assert (endpoint["position"], endpoint["flaw"]) == (3, "signed")
    assert "a head at position 3 was signed" in endpoint["text"]


def test_a_log_that_was_made_anew_is_not_the_one_whose_heads_were_signed(
    fake: FakeSidegate, cli: CommandLine, kept: list[str]
) -> None:
    fake.registry_log.log_id = "another"
    rewrite(fake.registry_log)
    assert "this is another" in cli.error("audit", "verify", *kept, code=1)


def test_verification_begins_at_any_signed_head(fake: FakeSidegate, cli: CommandLine, kept: list[str]) -> None:
    grow(fake.registry_log, 4)
    (told,) = cli.answer("audit", "verify", *kept, "--log", "registry", "--from", "3")
    assert (told["ok"], told["records"]) == (True, 4)
    said = cli.error("audit", "verify", *kept, "--log", "registry", "--from", "5", code=2)
    assert "no head of registry was signed at position 5" in said
    assert "the last are: 3" in said


def test_an_export_is_verified_offline_from_a_signed_head(
    fake: FakeSidegate, cli: CommandLine, kept: list[str], tmp_path: Path
) -> None:
    grow(fake.registry_log, 4)
    cli.answer("audit", "export", str(tmp_path / "copy"))
    copy = str(tmp_path / "copy" / "registry.jsonl")
    (told,) = cli.answer("audit", "verify", copy, *kept, "--from", "3")
    assert (told["ok"], told["records"]) == (True, 4)
    (told,) = cli.answer("audit", "verify", copy, *kept)
    assert (told["ok"], told["records"]) == (True, 7)


def test_a_head_of_somebody_else_proves_nothing(cli: CommandLine, kept: list[str], tmp_path: Path) -> None:
    heads = Path(kept[-1])
    stranger = SigningKey.new()
    forged = [stranger.sign(each.log, each.log_id, each.epoch, each.link, 2) for each in read_heads(heads)]
    heads.write_bytes(b"".join(each.line for each in forged))
    assert "is not signed by a key that was given" in cli.error("audit", "verify", *kept, code=1)


def test_heads_without_a_key_are_refused_with_the_way_out(cli: CommandLine, kept: list[str]) -> None:
    assert "sidegate audit key" in cli.error("audit", "verify", *kept[-2:], code=2)
    assert "--heads FILE" in cli.error("audit", "verify", "--from", "3", code=2)


@pytest.mark.parametrize(
    ("option", "code", "words"), [("--heads", 1, "line 1: it is no signed head"), ("--key", 2, "it is no public key")]
)
def test_a_file_of_another_kind_is_named(cli: CommandLine, tmp_path: Path, option: str, code: int, words: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"{}\n")
    assert words in cli.error("audit", "verify", option, str(path), code=code)
    assert "nothing" in cli.error("audit", "verify", option, str(tmp_path / "nothing"), code=3)


def test_a_program_that_signs_nothing_says_how_to_have_it(fake: FakeSidegate, cli: CommandLine) -> None:
    fake.endpoint_log.key = None
    assert "--evidence DIRECTORY" in cli.error("audit", "head", code=4)
    assert "--evidence DIRECTORY" in cli.error("audit", "key", "endpoint", code=4)
