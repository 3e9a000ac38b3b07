"""What the command line says when it cannot: one line, the way out, an exit code."""

import json
from pathlib import Path

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, PreconditionFailure, RetryInfo

from sidegate.cli import config
from sidegate.cli.outcome import Complaint, Exit, lines
from tests.support.command_line import CommandLine
from tests.support.fake_sidegate import FakeSidegate

CODES = {
    grpc.StatusCode.INVALID_ARGUMENT: 2,
    grpc.StatusCode.NOT_FOUND: 3,
    grpc.StatusCode.OUT_OF_RANGE: 3,
    grpc.StatusCode.ALREADY_EXISTS: 4,
    grpc.StatusCode.FAILED_PRECONDITION: 4,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 4,
    grpc.StatusCode.ABORTED: 4,
    grpc.StatusCode.PERMISSION_DENIED: 4,
    grpc.StatusCode.UNAUTHENTICATED: 4,
    grpc.StatusCode.UNAVAILABLE: 5,
    grpc.StatusCode.DEADLINE_EXCEEDED: 5,
    grpc.StatusCode.INTERNAL: 5,
    grpc.StatusCode.UNIMPLEMENTED: 5,
}


@pytest.fixture
def cli(fake: FakeSidegate) -> CommandLine:
    return CommandLine(fake)


@pytest.mark.parametrize("code", CODES, ids=lambda code: str(code.name))
def test_every_refusal_is_one_line_and_has_its_exit_code(
    fake: FakeSidegate, cli: CommandLine, code: grpc.StatusCode
) -> None:
    fake.refuse("ListVpcs", code, "it\ncannot be", ErrorInfo(reason="BECAUSE", domain="sidegate"), times=4)
    first, *others = cli.error("vpc", "list", code=CODES[code]).splitlines()
    assert first == "sidegate: error: it cannot be (BECAUSE)"
    assert all(line.startswith("hint: ") for line in others)
    assert len(others) <= 1


def test_the_field_at_fault_is_named(fake: FakeSidegate, cli: CommandLine) -> None:
    violations = [BadRequest.FieldViolation(field="vpc.cidrs[0]", description="no")]
    details = (ErrorInfo(reason="BAD_CIDR"), BadRequest(field_violations=violations))
    fake.refuse("CreateVpc", grpc.StatusCode.INVALID_ARGUMENT, "10.0.0/24 is no CIDR", *details)
    said = cli.error("vpc", "create", "shop", "--cidr", "10.0.0/24", code=2)
    assert said == "sidegate: error: 10.0.0/24 is no CIDR (BAD_CIDR; field vpc.cidrs[0])\n"


def test_what_stands_in_the_way_is_the_hint(fake: FakeSidegate, cli: CommandLine) -> None:
    cli.answer("vpc", "create", "shop", "--cidr", "10.0.0.0/24")
    violations = [PreconditionFailure.Violation(subject=f"subnet-{number}") for number in range(12)]
    fake.refuse(
        "DeleteVpc", grpc.StatusCode.FAILED_PRECONDITION, "not empty", PreconditionFailure(violations=violations)
    )
    hint = cli.error("vpc", "delete", "shop", code=4).splitlines()[1]
    assert hint.startswith("hint: in the way: subnet-0, subnet-1")
    assert hint.endswith("subnet-9 and 2 more")


@pytest.mark.parametrize(
    ("code", "way_out"),
    [
        (grpc.StatusCode.PERMISSION_DENIED, "without --account"),
        (grpc.StatusCode.ABORTED, "read it again"),
        (grpc.StatusCode.UNAVAILABLE, "make up"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "not known"),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_way_out_is_named(fake: FakeSidegate, cli: CommandLine, code: grpc.StatusCode, way_out: str) -> None:
    fake.refuse("ListVpcs", code, times=4)
    assert way_out in cli.error("vpc", "list", code=CODES[code])


@pytest.mark.parametrize(("reason", "hinted"), [("OPERATOR_ONLY", True), ("FORWARDER_NOT_ALLOWED", False)])
def test_an_operator_is_named_as_the_way_out_of_what_an_operator_may(
    fake: FakeSidegate, cli: CommandLine, reason: str, hinted: bool
) -> None:
    fake.refuse("ListVpcs", grpc.StatusCode.PERMISSION_DENIED, "no", ErrorInfo(reason=reason), times=4)
    assert ("an operator may" in cli.error("vpc", "list", code=4)) is hinted


def test_when_to_try_again_is_the_hint(fake: FakeSidegate, cli: CommandLine) -> None:
    fake.refuse("ListVpcs", grpc.StatusCode.UNAVAILABLE, "busy", RetryInfo(retry_delay=Duration(seconds=2)), times=4)
    assert cli.error("vpc", "list", code=5).endswith("hint: try again in 2 s\n")


def test_a_program_that_is_away_is_named_by_its_address(fake: FakeSidegate, cli: CommandLine, tmp_path: Path) -> None:
    away = f"unix:{tmp_path / 'nobody.sock'}"
    fake.ready_file.write_text(json.dumps({"registry": {"grpc": away}}))
    assert f"no answer from {away} (UNAVAILABLE)" in cli.error("vpc", "list", code=5)


def test_without_a_gateway_it_says_why(fake: FakeSidegate, cli: CommandLine) -> None:
    facts = json.loads(fake.ready_file.read_text()) | {"gateway": None, "no_gateway_because": "not root"}
    fake.ready_file.write_text(json.dumps(facts))
    assert "runs no gateway: not root" in cli.error("gateway", "show", code=5)
    assert cli.text("vpc", "list") == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ("vpc", "lst"),
        ("nothing",),
        ("vpc", "list", "--jsno"),
        ("vpc", "create", "shop"),
        ("vpc", "list", "-o", "yaml"),
        ("service", "create", "web", "--vpc", "v", "--backend", "10.0.0.1", "--port", "80:0"),
        ("service", "create", "web", "--vpc", "v", "--backend", "10.0.0.1", "--port", "80:99999/tcp"),
        ("service", "create", "web", "--vpc", "v", "--backend", "10.0.0.1", "--port", "80/sctp"),
        ("service", "create", "web", "--vpc", "v", "--backend", "10.0.0.1"),
        ("service", "create", "web", "--vpc", "v", "--port", "80"),
        ("service", "create", "web", "--vpc", "v", "--backend", "10.0.0.1=0", "--port", "80"),
        ("service", "create", "web", "--vpc", "v", "--backend", "10.0.0.1=101", "--port", "80"),
        ("service", "create", "web", "--vpc", "v", "--backend", "10.0.0.1=", "--port", "80"),
        ("service", "create", "web", "--vpc", "v", "--backend", "10.0.0.1/drained", "--port", "80"),
        ("service", "create", "web", "--vpc", "v", "--backend-port", "a=b", "--port", "80"),
        ("service", "weigh", "web", "10.0.0.1"),
        ("service", "weigh", "web", "10.0.0.1=3/draining"),
        ("service", "drain", "web"),
        ("service", "update", "web"),
        ("endpoint", "update", "x"),
        ("endpoint", "update", "x", "--allow", "10.0.0.0/24", "--allow-everybody"),
        ("endpoint", "create", "--service", "x", "--subnet", "y", "--wait", "--timeout", "-1"),
        ("audit", "replay", "--at", "yesterday"),
        ("audit", "replay", "--at", "0"),
        ("audit", "replay", "--at", str(2**63)),
        ("audit", "list", "--since", "9999999d"),
        ("audit", "list", "--limit", "-1"),
        ("gateway", "show", "--source", "replay"),
        ("--account", "no spaces", "vpc", "list"),
        ("--data-dir", "x", "vpc", "list"),
    ],
    ids=" ".join,
)
def test_a_wrong_command_line_is_a_usage_error_and_calls_nobody(
    fake: FakeSidegate, cli: CommandLine, arguments: tuple[str, ...]
) -> None:
    assert cli.error(*arguments, code=2)
    assert fake.script.calls == []


def test_a_word_that_is_almost_right_is_suggested(cli: CommandLine) -> None:
    assert "Did you mean 'list'?" in cli.error("vpc", "lst", code=2)
    assert "--output" in cli.error("vpc", "list", "--ouput", "json", code=2)


def test_without_a_ready_file_it_says_how_to_start_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: CommandLine
) -> None:
    monkeypatch.chdir(tmp_path)
    done = cli.run("vpc", "list", environment={"SIDEGATE_ACCOUNT": "shop"})
    assert (done.exit_code, done.stdout) == (5, "")
    first, second = done.stderr.splitlines()
    assert str(tmp_path / "data" / "ready.json") in first
    assert "make up" in second
    assert "SIDEGATE_CONFIG" in second


@pytest.mark.parametrize("content", ["", "{", "\xff", "[" * 100_000])
def test_a_file_that_is_no_ready_file_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "ready.json"
    path.write_text(content, encoding="latin-1")
    with pytest.raises(Complaint, match="is not a ready file") as caught:
        config.read(path)
    assert caught.value.code is Exit.USAGE


@pytest.mark.parametrize("content", ["[]", "null", "{}", '{"registry": null}', '{"registry": {"grpc": 7}}'])
def test_an_address_that_is_not_in_the_ready_file_is_not_there(tmp_path: Path, content: str) -> None:
    path = tmp_path / "ready.json"
    path.write_text(content)
    assert config.read(path) == config.Addresses("", "", "", b"", None)


def test_a_directory_is_no_ready_file(tmp_path: Path) -> None:
    with pytest.raises(Complaint, match="cannot read"):
        config.read(tmp_path)


def test_the_command_line_comes_before_the_environment_and_that_before_the_default() -> None:
    environment = {"SIDEGATE_CONFIG": "/env.json"}
    assert config.locate(Path("/a.json"), None, environment) == Path("/a.json")
    assert config.locate(None, Path("/b"), environment) == Path("/b/ready.json")
    assert config.locate(None, None, environment) == Path("/env.json")
    assert config.locate(None, None, {}) == Path("data/ready.json")


def test_an_error_cannot_move_the_terminals_cursor() -> None:
    said = lines(Complaint("a\x1b[2Jb\x9b1mc\nd", Exit.NO, "\x07bell"))
    assert said == ["sidegate: error: a?[2Jb?1mc d", "hint: ?bell"]
