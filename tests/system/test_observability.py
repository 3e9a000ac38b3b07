"""What a running Sidegate tells of itself: one trace from the command to the kernel, numbers, no secrets."""

import asyncio
import json
import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from services.common.rpc.probe import is_healthy
from services.common.rpc.server import LIVENESS
from sidegate.nkeys import UserCredential
from tests.support import namespaces
from tests.support.metrics import families, scrape, value
from tests.support.standalone import ROOT, Standalone, require_root, until
from tests.support.world import site

pytestmark = [pytest.mark.root, pytest.mark.asyncio(loop_scope="module")]

PROGRAMS = ("registry", "endpoint", "http_api", "console", "gateway")
TALKING = ("registry", "endpoint", "gateway")
"""Those that have a log or follow one, by NATS."""

PAGE = ROOT / "docs" / "metrics.md"
SECTIONS = {
    "Every program": PROGRAMS,
    "Registry and endpoint service": PROGRAMS[:2],
    "Endpoint service": PROGRAMS[1:2],
    "The HTTPS API": PROGRAMS[2:3],
    "The console": PROGRAMS[3:4],
    "Gateway agent": PROGRAMS[4:],
}
ID_OF_A_TENANT = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-|\d+\.\d+\.\d+\.\d+")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sidegate(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Standalone]:
    require_root()
    async with Standalone(tmp_path_factory.mktemp("sidegate"), http=True, console=True) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def accepted(sidegate: Standalone) -> AsyncIterator[str]:
    """The trace id of the `endpoint create` of an endpoint that forwards since; nobody had to approve of it."""
    with namespaces.make("anna", "pia") as (anna, pia):
        async with site(sidegate, "anna", anna) as consumer, site(sidegate, "pia", pia) as provider:
            service = await provider.publish("web", approval=False)
            await provider.client.services.permit(service.id, ["iam:domain::anna"])
            wanted = ("--service", service.full_name, "--subnet", consumer.subnet_id, "--wait")
            done = await asyncio.to_thread(sidegate.cli, "-v", "endpoint", "create", *wanted, account="anna")
            assert done.returncode == 0, done.stderr
            said = re.search(r"^trace: ([0-9a-f]{32})$", done.stderr, re.MULTILINE)
            assert said is not None, done.stderr
            await until("both to have logged the report", lambda: is_reported(sidegate, said[1]))
            yield said[1]


async def is_reported(sidegate: Standalone, trace_id: str) -> bool:
    """Whether it is in the logs of both: each writes it down when it has ended, which is after what it leads to."""
    taken = any(line.get("method") == "ReportState" for line in of_trace(sidegate, "endpoint", trace_id))
    return taken and any(line["event"] == "reported" for line in of_trace(sidegate, "gateway", trace_id))


def lines(sidegate: Standalone, program: str) -> Iterator[Mapping[str, Any]]:
    """What is being written just now is not yet one."""
    written, _, _ = (sidegate.data / "logs" / f"{program}.log").read_text().rpartition("\n")
    for line in written.splitlines():
        yield json.loads(line)


def of_trace(sidegate: Standalone, program: str, trace_id: str) -> list[Mapping[str, Any]]:
    return [line for line in lines(sidegate, program) if line.get("trace_id") == trace_id]


async def test_one_trace_id_leads_from_the_command_to_the_kernel_and_back(sidegate: Standalone, accepted: str) -> None:
    call = next(line for line in of_trace(sidegate, "endpoint", accepted) if line.get("method") == "CreateEndpoint")
    assert (call["account"], call["project"], call["code"]) == ("anna", "default", "OK")
    assert call["request_id"]
    assert call["duration"] > 0
    reserved = [line for line in of_trace(sidegate, "registry", accepted) if line["event"] == "call"]
    assert [(line["method"], line["account"]) for line in reserved] == [("ReserveEndpointPort", "system")]
    programmed = [line for line in of_trace(sidegate, "gateway", accepted) if line["event"] == "forwarding"]
    assert [line["kind"] for line in programmed] == ["service", "endpoint"], "what it needs is a step of it, too"
    reported = [line for line in of_trace(sidegate, "gateway", accepted) if line["event"] == "reported"]
    assert reported
    assert len({line["span_id"] for line in (call, *reserved, *programmed, *reported)}) > 3, (
        "each step has its own span"
    )


async def test_the_log_keeps_the_trace_with_what_was_done(sidegate: Standalone, accepted: str) -> None:
    records = await asyncio.to_thread(sidegate.answer, "audit", "list", "--limit", "0")
    kept = {record["what"]: record["trace_id"] for record in records if record["log"] == "endpoint"}
    assert kept["endpoint requested"] == accepted
    assert kept["endpoint activated"] == accepted, "what follows from the gateway's report is a step of the same trace"


async def test_an_error_for_programs_names_the_trace_that_the_log_has(sidegate: Standalone) -> None:
    done = await asyncio.to_thread(sidegate.cli, "vpc", "get", "5d0e4f6a-0000-4000-8000-000000000000", "-o", "json")
    told = json.loads(done.stderr)
    assert (done.returncode, told["exit_code"], told["reason"]) == (3, 3, "NOT_FOUND")
    trace_id = told["trace_id"]

    async def logged() -> list[Mapping[str, Any]]:
        return of_trace(sidegate, "registry", trace_id)

    (line,) = await until("the call to be logged, which is after its answer", logged)
    assert (line["method"], line["code"]) == ("GetVpc", "NOT_FOUND")


def documented() -> dict[str, dict[str, tuple[str, frozenset[str]]]]:
    """By section: each metric's type and labels."""
    found: dict[str, dict[str, tuple[str, frozenset[str]]]] = {}
    for part in PAGE.read_text().split("\n## ")[1:]:
        rows = re.findall(r"^\| `(\w+)` \| (\w+) \| ([^|]*)\|", part, re.MULTILINE)
        title = part.splitlines()[0]
        found[title] = {name: (kind, frozenset(re.findall(r"\w+", labels))) for name, kind, labels in rows}
    return found


async def scraped(sidegate: Standalone) -> dict[str, str]:
    ready = sidegate.ready
    return {program: await asyncio.to_thread(scrape, ready[program]["metrics"]) for program in PROGRAMS}


async def test_every_metric_is_documented_and_every_documented_one_is_there(
    sidegate: Standalone, accepted: str
) -> None:
    pages = documented()
    assert set(pages) == set(SECTIONS)
    for program, text in (await scraped(sidegate)).items():
        there = {}
        for family in families(text):
            if family.name.startswith("sidegate_"):
                name = f"{family.name}_total" if family.type == "counter" else family.name
                labels = frozenset(key for sample in family.samples for key in sample.labels) - {"le"}
                there[name] = (family.type, labels)
        told = {name: of for title, page in pages.items() if program in SECTIONS[title] for name, of in page.items()}
        assert there.keys() == told.keys(), program
        for name, (kind, labels) in there.items():
            assert kind == told[name][0], name
            assert labels <= told[name][1], name


def labels_of(text: str, beginning: str) -> list[dict[str, str]]:
    """The labels of every sample of the families whose names begin so."""
    return [each.labels for family in families(text) if family.name.startswith(beginning) for each in family.samples]


async def ids_of_the_table(sidegate: Standalone) -> set[tuple[str, str]]:
    """As labels have them."""
    table = await asyncio.to_thread(sidegate.answer, "gateway", "show")
    entries = [each["entry"] for each in table["entries"]]
    services = {("service_id", each["service"]["service_id"]) for each in entries if "service" in each}
    return services | {("endpoint_id", each["endpoint"]["endpoint_id"]) for each in entries if "endpoint" in each}


async def test_metrics_say_what_is_so_and_name_no_tenant(sidegate: Standalone, accepted: str) -> None:
    text = await scraped(sidegate)
    endpoint, gateway = text["endpoint"], text["gateway"]
    calls = {"service": "sidegate.api.endpoint.v1.EndpointsService", "method": "CreateEndpoint"}
    assert value(endpoint, "sidegate_grpc_server_handled_total", code="OK", **calls) == 1
    assert value(endpoint, "sidegate_grpc_server_handling_seconds_count", **calls) == 1
    assert value(gateway, "sidegate_gateway_entries", kind="endpoint") == 1
    assert value(gateway, "sidegate_gateway_in_sync") == 1
    assert value(gateway, "sidegate_gateway_fenced") == 0
    counters = await asyncio.to_thread(sidegate.answer, "gateway", "status")
    outcomes = [
        s.labels["outcome"] for f in families(gateway) if f.name == "sidegate_gateway_packets" for s in f.samples
    ]
    assert sorted(outcomes) == sorted(counters["counters"])
    for program, each in text.items():
        assert value(each, "sidegate_nats_connected") == (program in TALKING)
        labels = {pair for labels in labels_of(each, "sidegate_") for pair in labels.items()}
        ids = {(name, label) for name, label in labels if ID_OF_A_TENANT.search(label)}
        known = await ids_of_the_table(sidegate) if program == "gateway" else set()
        assert ids == known

    async def is_published() -> bool:
        now = await scraped(sidegate)
        return all(value(now[each], "sidegate_relay_lag_events") == 0 for each in PROGRAMS[:2])

    await until("all to be published", is_published)


async def test_no_secret_is_in_logs_metrics_or_arguments(sidegate: Standalone, accepted: str) -> None:
    credentials = [path.read_text() for path in (sidegate.data / "tls").glob("*/nats.creds")]
    seeds = [UserCredential.parse(each).key.seed for each in credentials]
    assert len(seeds) == 3
    said = {str(path): path.read_text() for path in (sidegate.data / "logs").iterdir()}
    said |= {path.name: path.read_text() for path in (sidegate.data / "nats").glob("*.log")}
    said |= await scraped(sidegate)
    said["standalone's output"] = sidegate.output
    for program, pid in sidegate.ready["pids"].items():
        said[f"arguments of {program}"] = Path(f"/proc/{pid}/cmdline").read_text()
    assert len(said) > 10
    assert [where for where, text in said.items() if any(seed in text for seed in seeds)] == []


async def test_one_command_says_how_every_program_is_doing_and_which_is_silent(
    sidegate: Standalone, accepted: str
) -> None:
    told = await asyncio.to_thread(sidegate.answer, "health")
    assert [(each["program"], each["health"]) for each in told] == [(program, "serving") for program in PROGRAMS]
    for each in told:
        assert each["version"] == sidegate.ready["version"]
        assert each["metrics_address"] == sidegate.ready[each["program"]]["metrics"]
        assert each["nats_connected"] == (each["program"] in TALKING)
        assert (each["position"] > 0) == (each["program"] in TALKING)
    assert told[-1]["in_sync"]
    endpoint = sidegate.pid_of("endpoint")
    os.kill(endpoint, signal.SIGSTOP)
    try:
        done = await asyncio.to_thread(sidegate.cli, "health")
    finally:
        os.kill(endpoint, signal.SIGCONT)
    registry, silent, *_, gateway = done.stdout.splitlines()[1:]
    assert done.returncode == 5
    assert "endpoint  silent" in " ".join(silent.split()).replace(" ", "  ", 1)
    assert "serving" in registry
    assert "in sync" in gateway


async def test_health_is_for_the_operator(sidegate: Standalone) -> None:
    done = await asyncio.to_thread(sidegate.cli, "health", account="shop")
    assert done.returncode == 4
    assert "OPERATOR_ONLY" in done.stderr


def logs(sidegate: Standalone, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "services.standalone.logs", "--data-dir", str(sidegate.data), *arguments]


async def test_make_logs_tells_one_traces_story_in_order_over_all_programs(sidegate: Standalone, accepted: str) -> None:
    command = logs(sidegate, "--no-follow", "--trace-id", accepted[:12], "--level", "info", "--lines", "0", "--json")
    done = await asyncio.to_thread(
        subprocess.run, command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert {line["trace_id"] for line in told} == {accepted}
    assert [line["timestamp"] for line in told] == sorted(line["timestamp"] for line in told)
    steps = {("registry", "call"), ("endpoint", "call"), ("gateway", "forwarding"), ("gateway", "reported")}
    assert {(line["program"], line["event"]) for line in told} == steps


async def test_make_logs_follows_what_comes_until_ctrl_c(sidegate: Standalone, accepted: str) -> None:
    following = await asyncio.create_subprocess_exec(
        *logs(sidegate, "--program", "registry", "--lines", "1"), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert following.stdout is not None
    try:
        async with asyncio.timeout(60):
            await following.stdout.readline()
            await asyncio.to_thread(sidegate.cli, "vpc", "create", "late", "--cidr", "10.9.0.0/24", account="zoe")
            while "account=zoe" not in (line := (await following.stdout.readline()).decode()):
                assert line, "it has ended"
            assert re.match(r"\d\d:\d\d:\d\d\.\d{3} registry +info +call .*method=CreateVpc", line)
            following.send_signal(signal.SIGINT)
            assert await following.wait() == 0
    finally:
        if following.returncode is None:
            following.kill()
            await following.wait()


async def test_a_database_that_cannot_be_written_to_makes_its_program_unhealthy_and_nothing_else(
    sidegate: Standalone,
) -> None:
    registry = sidegate.pid_of("registry")

    async def healths() -> list[tuple[str, int]]:
        done = await asyncio.to_thread(sidegate.cli, "health", "-o", "json")
        return [
            *((each["health"], len(each["difficulties"])) for each in json.loads(done.stdout)),
            ("", done.returncode),
        ]

    before = resource.prlimit(registry, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))  # as on a full disk
    try:
        wanted = [("not serving", 1), *[("serving", 0)] * (len(PROGRAMS) - 1), ("", 1)]
        await until("the registry to say so", lambda: _is(healths, wanted))
        assert not is_healthy(sidegate.ready["registry"]["grpc"], ca=sidegate.ca)
        assert is_healthy(sidegate.ready["registry"]["grpc"], LIVENESS, ca=sidegate.ca)
        refused = await asyncio.to_thread(sidegate.cli, "vpc", "create", "x", "--cidr", "10.0.0.0/24", account="zoe")
        assert refused.returncode == 5
    finally:
        resource.prlimit(registry, resource.RLIMIT_FSIZE, before)
    await until("the registry to serve again", lambda: _is(healths, [*[("serving", 0)] * len(PROGRAMS), ("", 0)]))
    assert is_healthy(sidegate.ready["registry"]["grpc"], ca=sidegate.ca)
    assert sidegate.pid_of("registry") == registry, "it has not ended for want of a place for its log"


async def _is(ask: Callable[[], Awaitable[object]], wanted: object) -> bool:
    return await ask() == wanted
