"""Spans go to a collector where the environment names one, by OTLP, as steps of the caller's trace."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as otlp
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as otlp_grpc
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from services.common.offspring import ends_with_us
from sidegate import tracing
from tests.support import identity
from tests.support.identity import Known
from tests.support.standalone import ROOT

DEADLINE = 30.0


class Collector(otlp_grpc.TraceServiceServicer):
    """Keeps what it is sent."""

    def __init__(self) -> None:
        self.spans: dict[str, Span] = {}
        self.services: set[str] = set()
        self.came = asyncio.Event()

    async def Export(self, request: Any, context: Any) -> Any:
        for resource in request.resource_spans:
            self.services |= {e.value.string_value for e in resource.resource.attributes if e.key == "service.name"}
            self.spans |= {span.name: span for scope in resource.scope_spans for span in scope.spans}
        self.came.set()
        return otlp.ExportTraceServiceResponse()


@asynccontextmanager
async def collecting() -> AsyncIterator[tuple[Collector, str]]:
    server, collector = grpc.aio.server(), Collector()
    otlp_grpc.add_TraceServiceServicer_to_server(collector, server)  # type: ignore[no-untyped-call] # generated so
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield collector, f"http://127.0.0.1:{port}"
    await server.stop(0)


@asynccontextmanager
async def registry(directory: Path, **environment: str) -> AsyncIterator[str]:
    """The address of a registry of its own, without NATS and endpoint service."""
    ready = directory / "ready.json"
    places = [
        "--database",
        str(directory / "r.sqlite"),
        "--ready-file",
        str(ready),
        "--endpoint-address",
        "127.0.0.1:9",
        *identity.arguments(directory),
    ]
    process = await asyncio.create_subprocess_exec(
        *ends_with_us([sys.executable, "-m", "services.registry", *places, "--metrics", ""]),
        cwd=ROOT,
        env={**os.environ, "SIDEGATE_NATS_URL": "nats://127.0.0.1:9", **environment},
    )
    try:
        async with asyncio.timeout(DEADLINE):
            while not ready.exists():
                assert process.returncode is None
                await asyncio.sleep(0.02)
        told = json.loads(ready.read_text())
        assert told["metrics"] == "", "they are turned off"
        yield told["grpc"]
    finally:
        process.terminate()
        await asyncio.wait_for(process.wait(), DEADLINE)


async def test_a_call_is_exported_as_a_step_of_its_callers_trace(tmp_path: Path) -> None:
    async with collecting() as (collector, endpoint):
        wanted = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_BSP_SCHEDULE_DELAY": "50"}
        async with registry(tmp_path, **wanted) as address, Known(address, account="acme", project="web") as sidegate:
            with tracing.begun() as trace_id:
                caller = tracing.current()
                vpc = await sidegate.vpcs.create("shop", ["10.0.0.0/24"])
            await asyncio.wait_for(collector.came.wait(), DEADLINE)
    span = collector.spans["sidegate.api.registry.v1.RegistryService/CreateVpc"]
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (trace_id, caller[36:52])
    assert (span.kind, collector.services) == (Span.SPAN_KIND_SERVER, {"sidegate-registry"})
    assert vpc.id not in str(span), "spans name methods and codes, never what they are about"
