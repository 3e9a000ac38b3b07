"""Verbs that do not end: what they print as it comes, how they go on, how they end."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from google.protobuf.timestamp_pb2 import Timestamp

from sidegate.api.endpoint.v1 import endpoint_pb2, watch_pb2
from sidegate.api.endpoint.v1.endpoint_pb2 import Connection, Endpoint
from sidegate.api.events.v1.registry_events_pb2 import RegistryEvent, VpcCreated
from sidegate.api.registry.v1 import watch_pb2 as registry_watch_pb2
from sidegate.api.registry.v1.endpoint_service_pb2 import EndpointService
from sidegate.api.registry.v1.vpc_pb2 import Vpc
from tests.support.fake_sidegate import FakeSidegate

PROGRAM = str(Path(sys.executable).with_name("sidegate"))
LIMIT_SECONDS = 60.0
AN_ID = "7f6f1a1e-31ed-4e1b-9a62-0d3f1c3a9e11"


class Shown:
    """A command that runs, and what it prints."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        assert process.stdout is not None
        assert process.stderr is not None
        self.stdout, self.stderr = process.stdout, process.stderr

    def line(self) -> str:
        return self.stdout.readline().rstrip("\n")

    def interrupt(self) -> tuple[int, str]:
        """Ctrl-C: the exit code, and what stood on stderr."""
        self._process.send_signal(signal.SIGINT)
        return self.end()

    def code(self) -> int:
        return self._process.wait(LIMIT_SECONDS)

    def end(self) -> tuple[int, str]:
        _, errors = self._process.communicate(timeout=LIMIT_SECONDS)
        return self._process.returncode, errors


@contextmanager
def running(fake: FakeSidegate, *arguments: str) -> Iterator[Shown]:
    command = [PROGRAM, "--config", str(fake.ready_file), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield Shown(process)
        finally:
            process.kill()


def endpoint_told(
    position: int, what: str, name: str = "to-web", deleted: bool = False
) -> watch_pb2.WatchEndpointsResponse:
    resource = Endpoint(id=AN_ID, name=name, address="10.0.0.2", state=endpoint_pb2.CONNECTION_STATE_ACCEPTED)
    change = watch_pb2.EndpointChange(
        position=position, time=Timestamp(seconds=1_700_000_000), what=what, deleted=deleted, endpoint=resource
    )
    return watch_pb2.WatchEndpointsResponse(position=position, log_id="log", epoch=1, changes=[change])


def test_a_line_comes_for_each_change_and_ctrl_c_ends_it_quietly(fake: FakeSidegate) -> None:
    with running(fake, "endpoint", "watch") as shown:
        assert shown.line().split() == ["TIME", "WHAT", "ID", "NAME", "STATE"]
        fake.endpoints.watched.answers.append(endpoint_told(3, "deletion_requested"))
        assert shown.line().split()[2:] == ["deletion", "requested", AN_ID, "to-web", "accepted"]
        fake.endpoints.watched.answers.append(watch_pb2.WatchEndpointsResponse(position=4))
        fake.endpoints.watched.answers.append(endpoint_told(5, "deleted", name="\x1b[2J", deleted=True))
        assert shown.line().split()[2:] == ["deleted", AN_ID, "?[2J", "deleted"]
        assert shown.interrupt() == (130, "")


def test_programs_read_an_object_on_each_line(fake: FakeSidegate) -> None:
    fake.endpoints.watched.answers.append(endpoint_told(3, "approved"))
    with running(fake, "endpoint", "watch", AN_ID, "--from", "2", "-o", "json") as shown:
        told = json.loads(shown.line())
        assert (told["position"], told["what"], told["deleted"]) == (3, "approved", False)
        assert told["endpoint"]["state"] == "accepted"
        assert shown.interrupt() == (130, "")
    (asked,) = fake.endpoints.watched.asked
    assert (asked.after, asked.id) == (2, AN_ID)


def test_an_interruption_is_told_and_it_goes_on_where_it_was(fake: FakeSidegate) -> None:
    fake.endpoints.watched.answers += [endpoint_told(3, "requested"), endpoint_told(4, "approved")]
    fake.endpoints.watched.cuts = 1
    with running(fake, "endpoint", "watch", "--from", "0", "-o", "json") as shown:
        assert [json.loads(shown.line())["position"] for _ in range(2)] == [3, 4]
        assert "watching endpoints was interrupted, trying again" in shown.stderr.readline()
        fake.endpoints.watched.answers.append(endpoint_told(5, "activated"))
        assert json.loads(shown.line())["position"] == 5
        assert "watching endpoints goes on where it was" in shown.stderr.readline()
        assert shown.interrupt() == (130, "")
    assert [(each.after, each.log_id, each.epoch) for each in fake.endpoints.watched.asked] == [
        (0, "", 0),
        (4, "log", 1),
    ]


def test_services_and_connections_are_watched_too(fake: FakeSidegate) -> None:
    service = registry_watch_pb2.ResourceChange(
        position=1, what="opened", service=EndpointService(id=AN_ID, name="web")
    )
    fake.registry.watched.answers.append(registry_watch_pb2.WatchResponse(position=1, changes=[service]))
    connection = Connection(endpoint_id=AN_ID, account="shop", marker_id=7)
    seen = watch_pb2.ConnectionChange(position=1, what="requested", connection=connection)
    fake.connections.watched.answers.append(watch_pb2.WatchConnectionsResponse(position=1, changes=[seen]))
    for noun, words in (("service", ["opened", AN_ID, "web"]), ("connection", ["requested", AN_ID, "shop"])):
        with running(fake, noun, "watch", AN_ID, "-o", "wide", "--from", "0") as shown:
            assert shown.line().split()[-2:] == ["POSITION", "ABOUT"]
            assert shown.line().split()[2:5] == words
            assert shown.interrupt()[0] == 130


def test_a_reader_that_goes_away_ends_it(fake: FakeSidegate) -> None:
    with running(fake, "endpoint", "watch") as shown:
        shown.line()
        shown.stdout.close()
        fake.endpoints.watched.answers += [endpoint_told(number, "changed") for number in range(1, 3)]
        shown.stderr.read()
        assert shown.code() == 0


def appended(fake: FakeSidegate, name: str) -> None:
    event = RegistryEvent(vpc_created=VpcCreated(), vpc=Vpc(id=AN_ID, name=name))
    log = fake.registry_log
    log.append(f"vpc-{AN_ID}", "registry.v1.VpcCreated", event, at=len(log.records) + 1, method="CreateVpc")


def test_the_logs_are_followed_record_by_record(fake: FakeSidegate) -> None:
    appended(fake, "old")
    with running(fake, "audit", "follow", "--log", "registry", "--from", "0", "-o", "json") as shown:
        assert json.loads(shown.line())["resource_name"] == "old"
        appended(fake, "new")
        told = json.loads(shown.line())
        assert (told["who"], told["what"], told["resource_name"]) == ("shop/default", "vpc created", "new")
        assert shown.interrupt() == (130, "")
    with running(fake, "audit", "follow") as shown:
        assert shown.line().split()[:4] == ["TIME", "WHO", "WHAT", "RESOURCE"]
        while fake.called("FollowLog") < 3:
            time.sleep(0.01)
        appended(fake, "newest")
        assert "newest" in shown.line()
        assert shown.interrupt() == (130, "")


def test_a_record_that_does_not_fit_ends_following_with_a_no(fake: FakeSidegate) -> None:
    appended(fake, "one")
    appended(fake, "two")
    with running(fake, "audit", "follow", "--log", "registry", "--from", "1") as shown:
        assert shown.line().startswith("TIME")
        assert "two" in shown.line()
        appended(fake, "three")
        assert "three" in shown.line()
        fake.registry_log.records[-1].hash = bytes(32)
        appended(fake, "four")
        code, errors = shown.end()
    assert code == 1
    assert "the registry's log does not verify: position 4" in errors


def test_a_position_is_one_of_one_log(fake: FakeSidegate) -> None:
    with running(fake, "audit", "follow", "--from", "7") as shown:
        code, errors = shown.end()
    assert code == 2
    assert "give --log registry or --log endpoint" in errors
