"""Logs, traces and metrics of a program, and what a call leaves in them."""

import asyncio
import json
import resource
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
import structlog
from opentelemetry import trace
from structlog.testing import capture_logs

from services.common import errors
from services.common.program import CannotListen
from services.common.rpc.calls import Context
from services.common.rpc.observer import changes_something
from services.common.rpc.server import Hosted, RpcServer
from services.common.telemetry import tracing
from services.common.telemetry.exposition import exposed
from services.common.telemetry.log_file import RotatingFile
from services.common.telemetry.logs import without_secrets
from services.common.telemetry.metrics import REGISTRY
from services.gateway_agent.table import Key, Kind
from services.gateway_agent.traces import REMEMBERED, Traces
from sidegate import tracing as public
from sidegate.api.endpoint.v1 import endpoint_pb2, endpoint_service_pb2, endpoint_service_pb2_grpc
from sidegate.api.events.v1.log_pb2 import EventMeta
from sidegate.api.gateway.v1 import gateway_service_pb2 as gateway_pb
from sidegate.errors import SidegateError
from sidegate.transport import Caller
from tests.support import identity
from tests.support.metrics import scrape, value

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SERVICE = "sidegate.api.endpoint.v1.EndpointsService"
DEADLINE = 10.0
AN_ID = "7f6f1a1e-31ed-4e1b-9a62-0d3f1c3a9e11"


class Endpoints(endpoint_service_pb2_grpc.EndpointsServiceServicer):
    """Answers with the trace that it finds itself in, or fails as it was told to."""

    def __init__(self) -> None:
        self.error: Exception | None = None

    async def CreateEndpoint(self, request: Any, context: Context) -> endpoint_pb2.Endpoint:
        structlog.get_logger().info("at work")
        return endpoint_pb2.Endpoint(name=public.current())

    async def GetEndpoint(self, request: Any, context: Context) -> endpoint_pb2.Endpoint:
        if self.error:
            raise self.error
        return endpoint_pb2.Endpoint(name=public.current())

    def WatchEndpoints(self, request: Any, context: Context) -> Any: ...

    async def GetEndpointQuota(self, request: Any, context: Context) -> Any: ...

    async def TestEndpoint(self, request: Any, context: Context) -> Any: ...

    async def GetEndpointTraffic(self, request: Any, context: Context) -> Any: ...

    async def ListEndpoints(self, request: Any, context: Context) -> Any: ...

    async def UpdateEndpoint(self, request: Any, context: Context) -> Any: ...

    async def DeleteEndpoint(self, request: Any, context: Context) -> Any: ...

    async def ListEndpointTags(self, request: Any, context: Context) -> Any: ...


@pytest.fixture
async def endpoints() -> Endpoints:
    return Endpoints()


@pytest.fixture
async def caller(endpoints: Endpoints) -> AsyncIterator[Caller]:
    add = endpoint_service_pb2_grpc.add_EndpointsServiceServicer_to_server
    server = RpcServer(identity.public(), [Hosted(SERVICE, lambda at: add(endpoints, at))])
    caller = Caller(await server.start(), identity.bearer("acme", "web"))
    yield caller
    await caller.close()
    await server.stop(0)


def stub(caller: Caller) -> Any:
    return endpoint_service_pb2_grpc.EndpointsServiceStub(caller.channel)


def create(request_id: str = "") -> endpoint_service_pb2.CreateEndpointRequest:
    endpoint = endpoint_pb2.Endpoint(service=AN_ID, subnet_id=AN_ID)
    return endpoint_service_pb2.CreateEndpointRequest(endpoint=endpoint, request_id=request_id)


def get() -> endpoint_service_pb2.GetEndpointRequest:
    return endpoint_service_pb2.GetEndpointRequest(id=AN_ID)


async def line_of_the_call(lines: list[Any]) -> Any:
    """What is told of the call; one that fails is answered before that."""
    async with asyncio.timeout(DEADLINE):
        while not (told := [line for line in lines if line["event"] == "call"]):
            await asyncio.sleep(0.01)
    return told[-1]


def counted(name: str, **labels: str) -> float:
    """A number about CreateEndpoint as it is now."""
    about = {"service": SERVICE, "method": "CreateEndpoint", **labels}
    return REGISTRY.get_sample_value(name, about) or 0.0


async def test_a_call_goes_on_with_the_callers_trace_in_a_span_of_its_own(caller: Caller) -> None:
    with trace.use_span(trace.get_current_span(public.context_of(TRACEPARENT))):
        answer = await caller.ask(stub(caller).GetEndpoint, get())
    assert answer.name.startswith(f"00-{TRACE}-")
    assert answer.name.endswith("-01")
    assert answer.name != TRACEPARENT


async def test_a_call_without_a_trace_begins_one_and_calls_do_not_share_it(caller: Caller) -> None:
    first, second = [(await caller.ask(stub(caller).GetEndpoint, get())).name for _ in range(2)]
    assert first[3:35] != second[3:35]
    assert int(first[3:35], 16)


@pytest.mark.parametrize("told", ["", "nonsense", TRACEPARENT.replace("4bf9", "zzzz"), f"00-{'0' * 32}-{'0' * 16}-01"])
async def test_a_trace_that_is_none_is_not_gone_on_with(caller: Caller, told: str) -> None:
    metadata = (*identity.metadata("acme", "web"), ("traceparent", told))
    answer = await stub(caller).GetEndpoint(get(), metadata=metadata)
    assert int(answer.name[3:35], 16)
    assert answer.name != told


async def test_a_write_is_told_with_who_asked_which_request_and_what_came_of_it(caller: Caller) -> None:
    before = counted("sidegate_grpc_server_handled_total", code="OK")
    processors = [structlog.contextvars.merge_contextvars]
    with capture_logs(processors=processors) as lines:
        await caller.write(stub(caller).CreateEndpoint, create())
    at_work, told = lines
    ids = {"account": "acme", "project": "web", "method": "CreateEndpoint"}
    assert ids.items() <= at_work.items(), "what is logged on the way is of the call, too"
    assert {**ids, "event": "call", "code": "OK", "log_level": "info"}.items() <= told.items()
    assert told["request_id"] == at_work["request_id"] != ""
    assert told["duration"] > 0
    assert counted("sidegate_grpc_server_handled_total", code="OK") == before + 1
    assert counted("sidegate_grpc_server_in_flight") == 0


@pytest.mark.parametrize(("request_id", "told_length"), [("x" * 100_000, 64), ("\x1b[2J", 0)], ids=["long", "control"])
async def test_a_request_id_that_is_none_neither_fills_the_log_nor_moves_its_readers_cursor(
    caller: Caller, request_id: str, told_length: int
) -> None:
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        with suppress(SidegateError):
            await caller.write(stub(caller).CreateEndpoint, create(request_id))
        told = await line_of_the_call(lines)
    assert len(told.get("request_id", "")) == told_length


@pytest.mark.parametrize(
    ("error", "code", "level"),
    [
        (None, "OK", "debug"),
        (errors.NotFound("endpoint", AN_ID), "NOT_FOUND", "info"),
        (errors.Unavailable("AWAY", "away"), "UNAVAILABLE", "warning"),
        (LookupError("surprise"), "INTERNAL", "error"),
    ],
)
async def test_a_read_is_told_when_it_fails_as_loud_as_it_matters(
    caller: Caller, endpoints: Endpoints, error: Exception | None, code: str, level: str
) -> None:
    endpoints.error = error
    metadata = identity.metadata("acme", "web")
    with capture_logs() as lines:
        try:
            await stub(caller).GetEndpoint(get(), metadata=metadata)
        except grpc.aio.AioRpcError as failed:
            assert failed.code().name == code
        told = await line_of_the_call(lines)
    assert (told["code"], told["log_level"]) == (code, level)


@pytest.mark.parametrize(
    ("method", "request_", "is_write"),
    [
        ("CreateVpc", create(), True),
        ("GetVpc", get(), False),
        ("ListVpcs", get(), False),
        ("Watch", get(), False),
        ("Join", gateway_pb.JoinRequest(), True),
        ("ReportState", gateway_pb.ReportStateRequest(), False),
        ("ReportState", gateway_pb.ReportStateRequest(endpoints=[gateway_pb.EndpointReport()]), True),
    ],
)
def test_what_changes_something_is_worth_a_line(method: str, request_: object, is_write: bool) -> None:
    assert changes_something(method, request_) is is_write


def test_secrets_do_not_get_out_whatever_a_line_says() -> None:
    line = {
        "nats_token": "hush",
        "url": "nats://hush@127.0.0.1:4222,nats://u:hush@b:1",
        "Password": "hush",
        "why": "no",
    }
    told = without_secrets(None, "info", dict(line))
    assert "hush" not in json.dumps(told)
    assert (told["why"], told["url"]) == ("no", "nats://***@127.0.0.1:4222,nats://***@b:1")


A_PROGRAM = """
import logging, sys
from pathlib import Path
import structlog
from services.common.telemetry import tracing
from services.common.telemetry.logs import configure_logging
configure_logging("tried", "info", Path(sys.argv[1]))
with tracing.span("work"):
    structlog.get_logger().info("ours", number=1)
logging.getLogger("theirs").warning("word of %s", "a library")
structlog.get_logger().debug("not said")
print("a stray word", flush=True)
raise LookupError("the last word")
"""


def test_a_log_file_has_all_that_a_program_says_in_json_lines(tmp_path: Path) -> None:
    file = tmp_path / "tried.log"
    done = subprocess.run(
        [sys.executable, "-c", A_PROGRAM, str(file)], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.stdout, done.stderr) == ("", "")
    ours, theirs, stray, *rest = file.read_text().splitlines()
    told = json.loads(ours)
    assert (told["event"], told["program"], told["number"], told["level"]) == ("ours", "tried", 1, "info")
    assert (len(told["trace_id"]), len(told["span_id"])) == (32, 16)
    assert {"event": "word of a library", "logger": "theirs", "level": "warning"}.items() <= json.loads(theirs).items()
    assert (stray, rest[-1]) == ("a stray word", "LookupError: the last word")


def test_a_log_file_that_cannot_be_made_is_named_in_one_sentence(tmp_path: Path) -> None:
    command = [sys.executable, "-c", A_PROGRAM, str(tmp_path / "nothing" / "tried.log")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith("tried: cannot write logs to ")
    assert len(done.stderr.splitlines()) == 1


A_TALKER = """
import sys
from pathlib import Path
from services.common.telemetry.log_file import LogFile
log = LogFile(Path(sys.argv[1]), largest=1000, kept=3)
for number in range(200):
    log.write(f"line {number:03}" + "." * 40 + "\\n")
"""


def test_log_files_are_bounded_and_lose_no_line_that_they_still_have_room_for(tmp_path: Path) -> None:
    file = tmp_path / "talker.log"
    subprocess.run([sys.executable, "-c", A_TALKER, str(file)], check=True, timeout=60)
    files = sorted(tmp_path.iterdir(), reverse=True)
    assert [each.name for each in files] == ["talker.log.3", "talker.log.2", "talker.log.1", "talker.log"]
    assert all(each.stat().st_size <= 1000 for each in files)
    numbers = [int(line[5:8]) for each in files for line in each.read_text().splitlines()]
    assert numbers == list(range(numbers[0], 200))


@contextmanager
def no_file_can_be_opened() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_log_that_cannot_turn_over_goes_on_and_turns_over_as_soon_as_it_can(tmp_path: Path) -> None:
    log = RotatingFile(tmp_path / "talker.log", largest=100, kept=3)
    lines = [f"line {number}" + "." * 33 + "\n" for number in range(8)]
    for line in lines[:2]:
        log.write(line)
    with no_file_can_be_opened():
        log.write(lines[2])
    assert not (tmp_path / "talker.log").exists(), "it was moved, and there is no other"
    for line in lines[3:]:
        log.write(line)
    log.close()
    newest_last = sorted(tmp_path.iterdir(), reverse=True)
    assert newest_last[-1].name == "talker.log"
    assert "".join(each.read_text() for each in newest_last) == "".join(lines)


def test_a_log_that_somebody_has_deleted_is_made_again(tmp_path: Path) -> None:
    log = RotatingFile(tmp_path / "talker.log", largest=100, kept=3)
    log.write("lost with the file" + "." * 80 + "\n")
    (tmp_path / "talker.log").unlink()
    log.write("kept\n")
    log.close()
    assert {each.name: each.read_text() for each in tmp_path.iterdir()} == {"talker.log": "kept\n"}


async def test_metrics_are_served_on_a_free_port_until_the_end() -> None:
    async with exposed("127.0.0.1:0") as address:
        text = await asyncio.to_thread(scrape, address)
        assert value(text, "sidegate_build_info") == 1
        assert "process_resident_memory_bytes" in text
        with pytest.raises(CannotListen, match=address):
            async with exposed(address):
                pass
    with pytest.raises(OSError, match="refused"):
        await asyncio.to_thread(scrape, address)


async def test_metrics_can_be_turned_off_and_a_wrong_place_is_named() -> None:
    async with exposed("") as address:
        assert address == ""
    with pytest.raises(CannotListen, match="nowhere"):
        async with exposed("nowhere"):
            pass


def test_traces_are_remembered_for_the_newest_news_and_no_more_than_some() -> None:
    traces, keys = Traces(), [Key(Kind.ENDPOINT, str(number)) for number in range(REMEMBERED + 1)]
    for key in keys:
        traces.hear(key, f"trace of {key.id}")
    assert traces.of(keys[0]) == ""
    assert traces.among(keys[-2:] * 2) == [f"trace of {key.id}" for key in keys[-2:]]
    traces.hear(keys[-1], "")
    assert traces.of(keys[-1]) == ""


def test_the_trace_of_an_event_is_stored_as_it_always_was() -> None:
    meta = EventMeta(account="acme", project="web", method="CreateVpc", request_id="r-1", traceparent=TRACEPARENT)
    golden = Path(__file__).with_name("golden").joinpath("event_meta.txt").read_text().strip()
    assert meta.SerializeToString(deterministic=True).hex() == golden
    assert EventMeta.FromString(bytes.fromhex(golden)) == meta


async def test_a_failed_call_outside_of_a_trace_carries_none(caller: Caller, endpoints: Endpoints) -> None:
    endpoints.error = errors.NotFound("endpoint", AN_ID)
    with pytest.raises(SidegateError):
        await caller.ask(stub(caller).GetEndpoint, get())
    assert public.current() == ""


def test_a_step_of_nothing_is_the_beginning_of_a_trace() -> None:
    with tracing.span("one"):
        outer = public.trace_id()
        with tracing.span("two", public.current()):
            assert public.trace_id() == outer
        with tracing.span("three"):
            assert public.trace_id() != outer
    assert public.trace_id() == ""
