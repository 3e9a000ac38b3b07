"""`sidegate audit`: the logs in words, and as evidence."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sidegate.api.endpoint.v1.endpoint_pb2 import Endpoint
from sidegate.api.events.v1 import endpoint_events_pb2 as happened
from sidegate.api.events.v1.endpoint_events_pb2 import EndpointEvent
from sidegate.api.events.v1.registry_events_pb2 import PermissionsAdded, RegistryEvent, SubnetCreated, VpcCreated
from sidegate.api.registry.v1.endpoint_service_pb2 import EndpointService
from sidegate.api.registry.v1.vpc_pb2 import Subnet, Vpc
from sidegate.cli import exports
from sidegate.evidence import Verifier
from sidegate.proof import recorded
from tests.support.command_line import CommandLine
from tests.support.fake_sidegate import FakeSidegate
from tests.support.fake_sidegate.logs import FakeLog

SECOND = 1_000_000_000
BEGIN = 1_700_000_000 * SECOND


@pytest.fixture
def cli(fake: FakeSidegate) -> CommandLine:
    return CommandLine(fake)


def tell(log: FakeLog, event: Message, second: int, who: str = "shop", method: str = "") -> None:
    log.append("vpc-1", "registry.v1.Something", event, at=BEGIN + second * SECOND, who=who, method=method)


def vpc_created(name: str) -> RegistryEvent:
    return RegistryEvent(vpc_created=VpcCreated(), vpc=Vpc(id="v-1", name=name))


@pytest.fixture
def story(fake: FakeSidegate) -> FakeSidegate:
    """Two logs whose records alternate in time."""
    tell(fake.registry_log, vpc_created("shop"), 0, method="CreateVpc")
    tell(fake.endpoint_log, EndpointEvent(requested=happened.EndpointRequested(), endpoint=Endpoint(id="e-1")), 1)
    tell(fake.registry_log, RegistryEvent(subnet_created=SubnetCreated(), subnet=Subnet(id="n-1", name="front")), 2)
    approved = EndpointEvent(approved=happened.ConnectionApproved(), endpoint=Endpoint(id="e-1", name="to-web"))
    tell(fake.endpoint_log, approved, 3, who="payments", method="AcceptConnection")
    permissions = PermissionsAdded(permissions=["iam:domain::a", "iam:domain::b"])
    service = EndpointService(id="s-1", name="web")
    tell(fake.registry_log, RegistryEvent(permissions_added=permissions, service=service), 4, who="payments")
    failed = happened.EndpointFailed(reason="service deleted")
    tell(fake.endpoint_log, EndpointEvent(failed=failed, endpoint=Endpoint(id="e-1", address="10.0.0.3")), 5)
    joined = happened.GatewayJoined(gateway_id="gw-1", cell="default")
    fake.endpoint_log.append(
        "gateway-gw-1", "endpoint.v1.Joined", EndpointEvent(gateway_joined=joined), at=BEGIN + 6 * SECOND
    )
    return fake


def test_both_logs_are_told_in_words_in_order_of_time(story: FakeSidegate, cli: CommandLine) -> None:
    told = cli.answer("audit", "list")
    assert [
        (each["log"], each["position"], each["what"], each["resource"], each["resource_name"]) for each in told
    ] == [
        ("registry", 1, "vpc created", "vpc/v-1", "shop"),
        ("endpoint", 1, "endpoint requested", "endpoint/e-1", ""),
        ("registry", 2, "subnet created", "subnet/n-1", "front"),
        ("endpoint", 2, "connection approved", "endpoint/e-1", "to-web"),
        ("registry", 3, "permissions added: iam:domain::a, iam:domain::b", "service/s-1", "web"),
        ("endpoint", 3, "endpoint failed: service deleted", "endpoint/e-1", "10.0.0.3"),
        ("endpoint", 4, "gateway joined: gw-1", "gateway/gw-1", ""),
    ]


def test_a_record_says_who_when_by_which_method_and_has_the_whole_event(story: FakeSidegate, cli: CommandLine) -> None:
    told = cli.answer("audit", "list")[3]
    assert told["time"] == "2023-11-14T22:13:23Z"
    assert (told["who"], told["account"], told["project"]) == ("payments/default", "payments", "default")
    assert (told["method"], told["request_id"]) == ("AcceptConnection", "r-1")
    assert told["hash"] == story.endpoint_log.records[1].hash.hex()
    assert told["event"]["approved"] == {"until": 0}
    assert told["event"]["endpoint"]["name"] == "to-web"


def test_people_read_a_line_for_each_record(story: FakeSidegate, cli: CommandLine) -> None:
    title, *rows = cli.text("audit", "list").splitlines()
    assert title.split() == ["TIME", "WHO", "WHAT", "RESOURCE", "METHOD", "LOG", "POSITION"]
    assert len(rows) == 7
    local = datetime.fromtimestamp(BEGIN // SECOND).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    assert rows[0].startswith(f"{local}  shop/default")
    assert "endpoint to-web e-1" in rows[3]
    assert "registry.v1.Something" in cli.text("audit", "list", "-o", "wide")


@pytest.mark.parametrize(("limit", "positions"), [("2", [3, 4]), ("3", [3, 3, 4]), ("0", [1, 1, 2, 2, 3, 3, 4])])
def test_a_limit_keeps_the_newest(story: FakeSidegate, cli: CommandLine, limit: str, positions: list[int]) -> None:
    assert [each["position"] for each in cli.answer("audit", "list", "--limit", limit)] == positions


def test_without_a_filter_only_the_end_of_a_log_is_read(story: FakeSidegate, cli: CommandLine) -> None:
    cli.answer("audit", "list", "--limit", "1")
    assert (story.called("ListRecords"), story.called("ReadLog")) == (0, 2)


def test_records_are_filtered_by_account_stream_and_time(story: FakeSidegate, cli: CommandLine) -> None:
    assert [each["who"] for each in cli.answer("audit", "list", "--account", "payments")] == ["payments/default"] * 2
    (joined,) = cli.answer("audit", "list", "--stream", "gateway-gw-1")
    assert joined["stream"] == "gateway-gw-1"
    since = datetime.fromtimestamp(BEGIN // SECOND + 4, UTC).isoformat()
    assert len(cli.answer("audit", "list", "--since", since)) == 3
    assert len(cli.answer("audit", "list", "--since", since, "--limit", "1")) == 1


def test_time_can_be_told_from_now(fake: FakeSidegate, cli: CommandLine) -> None:
    now = datetime.now(UTC)
    for ago in (timedelta(hours=2), timedelta(minutes=1)):
        at = int((now - ago).timestamp()) * SECOND
        fake.registry_log.append("vpc-1", "registry.v1.VpcCreated", vpc_created("x"), at=at)
    assert len(cli.answer("audit", "list", "--since", "10m")) == 1
    assert len(cli.answer("audit", "list", "--since", "1d")) == 2


def test_an_event_that_cannot_be_read_is_still_told(fake: FakeSidegate, cli: CommandLine) -> None:
    tell(fake.registry_log, vpc_created("shop"), 0)
    fake.registry_log.records[0].data = b"\xff\xff"
    (told,) = cli.answer("audit", "list")
    assert (told["what"], told["resource"], told["event"]) == ("registry.v1.Something, unreadable", "vpc/1", None)


def test_what_was_said_cannot_move_the_readers_cursor(fake: FakeSidegate, cli: CommandLine) -> None:
    failed = happened.EndpointFailed(reason="\x1b[2Jgone")
    tell(fake.endpoint_log, EndpointEvent(failed=failed, endpoint=Endpoint(id="e-1")), 0)
    assert "\x1b" not in cli.text("audit", "list")


def test_an_empty_log_has_nothing_to_tell_and_verifies(cli: CommandLine) -> None:
    done = cli.run("audit", "list")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "no records\n")
    assert [each["ok"] for each in cli.answer("audit", "verify")] == [True, True]


def test_both_logs_verify_to_their_heads(story: FakeSidegate, cli: CommandLine) -> None:
    registry, endpoint = cli.answer("audit", "verify")
    assert registry == {
        "source": "server",
        "log": "registry",
        "log_id": story.registry_log.log_id,
        "epoch": 1,
        "ok": True,
        "records": 3,
        "head": story.registry_log.records[-1].hash.hex(),
        "position": None,
        "flaw": None,
        "text": None,
    }
    assert (endpoint["log"], endpoint["ok"], endpoint["records"]) == ("endpoint", True, 4)
    assert cli.text("audit", "verify").count("verified") == 2


@pytest.mark.parametrize("position", [1, 2, 3])
def test_an_altered_record_of_a_live_log_is_named(story: FakeSidegate, cli: CommandLine, position: int) -> None:
    story.registry_log.records[position - 1].data += b"\x00"
    registry, endpoint = cli.answer("audit", "verify", code=1)
    assert (registry["ok"], registry["position"], registry["flaw"], registry["records"]) == (
        False,
        position,
        "hash",
        position - 1,
    )
    assert endpoint["ok"]
    assert f"  position {position}: " in cli.text("audit", "verify", code=1)


def test_a_log_that_is_shorter_than_its_head_says_is_noticed(
    story: FakeSidegate, cli: CommandLine, tmp_path: Path
) -> None:
    registry, _ = export(cli, tmp_path)
    registry.write_bytes(b"".join(registry.read_bytes().splitlines(keepends=True)[:-1]))
    (told,) = cli.answer("audit", "verify", str(registry), code=1)
    assert (told["position"], told["flaw"]) == (3, "position")


def export(cli: CommandLine, directory: Path) -> tuple[Path, Path]:
    written = cli.answer("audit", "export", str(directory / "evidence"))
    assert [each["log"] for each in written] == ["registry", "endpoint"]
    registry, endpoint = (Path(each["file"]) for each in written)
    return registry, endpoint


def test_an_export_has_every_column_and_verifies_offline(story: FakeSidegate, cli: CommandLine, tmp_path: Path) -> None:
    registry, endpoint = export(cli, tmp_path)
    header, *records = map(json.loads, registry.read_text().splitlines())
    assert (header["log"], header["log_id"], header["epoch"]) == ("registry", story.registry_log.log_id, 1)
    assert list(records[0]) == [field.name for field in story.registry_log.records[0].DESCRIPTOR.fields]
    calls = len(story.script.calls)
    told = cli.answer("audit", "verify", str(registry), str(endpoint))
    assert [(each["source"], each["ok"], each["records"]) for each in told] == [
        (str(registry), True, 3),
        (str(endpoint), True, 4),
    ]
    assert len(story.script.calls) == calls


def test_an_empty_log_can_be_exported(cli: CommandLine, tmp_path: Path) -> None:
    assert cli.answer("audit", "verify", *map(str, export(cli, tmp_path)))[0]["ok"]


def test_an_export_replaces_nothing_and_leaves_no_half(story: FakeSidegate, cli: CommandLine, tmp_path: Path) -> None:
    there = tmp_path / "evidence" / "endpoint.jsonl"
    there.parent.mkdir()
    there.write_text("mine")
    assert "endpoint.jsonl is there already" in cli.error("audit", "export", str(there.parent), code=4)
    assert [path.name for path in there.parent.iterdir()] == ["endpoint.jsonl"]
    assert there.read_text() == "mine"


def test_an_export_to_where_nothing_can_be_written_is_refused(
    story: FakeSidegate, cli: CommandLine, tmp_path: Path
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert "cannot write to" in cli.error("audit", "export", str(blocked / "below"), code=4)


def test_a_flipped_byte_of_an_exported_event_is_named_by_its_hash(
    story: FakeSidegate, cli: CommandLine, tmp_path: Path
) -> None:
    registry, _ = export(cli, tmp_path)
    lines = registry.read_bytes().splitlines(keepends=True)
    record = exports.read_record(lines[2])
    altered = record._replace(data=bytes([record.data[0] ^ 1]) + record.data[1:])
    lines[2] = exports.record_line(altered)
    registry.write_bytes(b"".join(lines))
    (told,) = cli.answer("audit", "verify", str(registry), code=1)
    assert (told["position"], told["flaw"]) == (2, "hash")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_flipped_bit_of_an_export_is_found_where_it_is(tmp_path: Path, data: st.DataObject) -> None:
    whole = exported_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    altered = bytearray(whole)
    altered[at] ^= 1 << data.draw(st.integers(0, 7))
    path = tmp_path / "altered.jsonl"
    path.write_bytes(altered)
    line = whole[:at].count(b"\n")
    if line == 0:
        with pytest.raises(exports.NotALog):
            exports.verify(path, lambda header: Verifier(header.log_id))
    else:
        _, verdict = exports.verify(path, lambda header: Verifier(header.log_id))
        assert verdict.fault is not None
        assert verdict.fault.position == line


def exported_bytes() -> bytes:
    log = FakeLog("registry")
    for number in range(5):
        tell(log, vpc_created(f"vpc-{number}"), number)
    last = log.records[-1]
    header = exports.Header("registry", log.log_id, 1, last.position, last.hash.hex())
    lines = [exports.record_line(recorded(record)) for record in log.records]
    return exports.header_line(header) + b"".join(lines)


@pytest.mark.parametrize("content", [b"", b"\n", b"{}\n", b"[]\n", b"null\n", b"\xff\n", b"[" * 100_000])
def test_a_file_that_is_no_exported_log_does_not_verify(cli: CommandLine, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "foreign.jsonl"
    path.write_bytes(content)
    assert "foreign.jsonl does not verify" in cli.error("audit", "verify", str(path), code=1)


def test_a_file_that_is_not_there_is_named(cli: CommandLine, tmp_path: Path) -> None:
    assert "nothing.jsonl: No such file" in cli.error("audit", "verify", str(tmp_path / "nothing.jsonl"), code=3)
    assert "cannot read" in cli.error("audit", "verify", str(tmp_path), code=4)
