"""A behavioural fake of everything that the public client calls: it keeps what it is told, in memory, on free ports."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.message import Message

from services.common.identity.certificates import Certificates
from services.common.identity.pki import CA_FILE
from sidegate.api.endpoint.v1 import (
    endpoint_service_pb2_grpc,
    gateways_service_pb2_grpc,
    trace_service_pb2_grpc,
    traffic_pb2_grpc,
)
from sidegate.api.events.v1 import history_pb2_grpc, log_pb2_grpc
from sidegate.api.gateway.v1 import gateway_service_pb2_grpc, tap_service_pb2_grpc
from sidegate.api.registry.v1 import account_service_pb2_grpc, registry_service_pb2_grpc
from sidegate.client import Client
from sidegate.credentials import FIELDS
from tests.support import identity
from tests.support.fake_sidegate.endpoint import FakeConnections, FakeEndpoints
from tests.support.fake_sidegate.gateway import FakeGateway
from tests.support.fake_sidegate.history import FakeHistory
from tests.support.fake_sidegate.logs import FakeLog
from tests.support.fake_sidegate.registry import FakeRegistry
from tests.support.fake_sidegate.script import Script, status
from tests.support.fake_sidegate.tap import FakeTap
from tests.support.fake_sidegate.tokens import CREDENTIAL, FakeTokens
from tests.support.fake_sidegate.traces import FakeTraces
from tests.support.fake_sidegate.traffic import FakeGateways, FakeTraffic

DEADLINE_SECONDS = 10.0


@dataclass
class FakeSidegate:
    """Registry, endpoint service and gateway agent, and the ready file that says where they are."""

    directory: Path
    script: Script = field(default_factory=Script)
    registry: FakeRegistry = field(default_factory=FakeRegistry)
    endpoints: FakeEndpoints = field(default_factory=FakeEndpoints)
    registry_log: FakeLog = field(default_factory=lambda: FakeLog("registry"))
    endpoint_log: FakeLog = field(default_factory=lambda: FakeLog("endpoint"))
    registry_history: FakeHistory = field(default_factory=lambda: FakeHistory("registry"))
    endpoint_history: FakeHistory = field(default_factory=lambda: FakeHistory("endpoint"))
    tokens: FakeTokens = field(default_factory=FakeTokens)
    gateway: FakeGateway = field(default_factory=FakeGateway)
    tap: FakeTap = field(default_factory=FakeTap)
    traces: FakeTraces = field(default_factory=FakeTraces)
    gateways: FakeGateways = field(default_factory=FakeGateways)
    registry_address: str = ""
    endpoint_address: str = ""

    def __post_init__(self) -> None:
        self.connections = FakeConnections(self.endpoints)
        self.traffic = FakeTraffic(self.endpoints.endpoints)
        self.socket = self.directory / "gateway.sock"
        self.ready_file = self.directory / "ready.json"
        self.credential_file = self.directory / "operator.json"

    @property
    def gateway_address(self) -> str:
        return f"unix:{self.socket}"

    def refuse(self, method: str, code: grpc.StatusCode, text: str = "no", *details: Message, times: int = 1) -> None:
        """The next calls of the method fail so."""
        self.script.refusals[method].extend([status(code, text, *details)] * times)

    def called(self, method: str) -> int:
        return sum(call.method == method for call in self.script.calls)

    async def _serve(self, started: threading.Event, stop: asyncio.Event) -> None:
        servers = [grpc.aio.server(interceptors=[self.script]) for _ in range(3)]
        registry, endpoint, gateway = servers
        registry_service_pb2_grpc.add_RegistryServiceServicer_to_server(self.registry, registry)
        log_pb2_grpc.add_AuditServiceServicer_to_server(self.registry_log, registry)
        history_pb2_grpc.add_HistoryServiceServicer_to_server(self.registry_history, registry)
        history_pb2_grpc.add_HistoryServiceServicer_to_server(self.endpoint_history, endpoint)
        endpoint_service_pb2_grpc.add_EndpointsServiceServicer_to_server(self.endpoints, endpoint)
        endpoint_service_pb2_grpc.add_ConnectionsServiceServicer_to_server(self.connections, endpoint)
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(self.traces, endpoint)
        traffic_pb2_grpc.add_TrafficServiceServicer_to_server(self.traffic, endpoint)
        gateways_service_pb2_grpc.add_GatewaysServiceServicer_to_server(self.gateways, endpoint)
        log_pb2_grpc.add_AuditServiceServicer_to_server(self.endpoint_log, endpoint)
        gateway_service_pb2_grpc.add_TableServiceServicer_to_server(self.gateway, gateway)
        tap_service_pb2_grpc.add_TapServiceServicer_to_server(self.tap, gateway)
        account_service_pb2_grpc.add_TokenServiceServicer_to_server(self.tokens, registry)
        certificates = Certificates(identity.directory_of("registry"))
        self.registry_address = (
            f"127.0.0.1:{registry.add_secure_port('127.0.0.1:0', certificates.serving(client_needed=False))}"
        )
        self.endpoint_address = (
            f"127.0.0.1:{endpoint.add_secure_port('127.0.0.1:0', certificates.serving(client_needed=False))}"
        )
        gateway.add_insecure_port(self.gateway_address)
        for server in servers:
            await server.start()
        started.set()
        await stop.wait()
        for server in servers:
            await server.stop(None)

    def write_ready_file(self) -> None:
        facts = {
            "registry": {"grpc": self.registry_address},
            "endpoint": {"grpc": self.endpoint_address},
            "ca": str(identity.authority().directory / CA_FILE),
            "credential": str(self.credential_file),
            "gateway": {"socket": str(self.socket)},
        }
        self.ready_file.write_text(json.dumps(facts))
        self.credential_file.write_text(json.dumps({name: getattr(CREDENTIAL, name) for name in FIELDS}))

    def client(self, account: str = "", project: str = "", **more: Any) -> Client:
        """The product's own client, with the operator's credential."""
        told: dict[str, Any] = {
            "registry": self.registry_address,
            "endpoint": self.endpoint_address,
            "gateway": self.gateway_address,
        }
        told |= more
        return Client(credential=CREDENTIAL, ca=identity.ca(), account=account, project=project, **told)


@contextmanager
def running(directory: Path) -> Iterator[FakeSidegate]:
    """A fake that serves from a thread of its own, with its own event loop, until the block ends."""
    fake, started = FakeSidegate(directory), threading.Event()
    loop, stop = asyncio.new_event_loop(), asyncio.Event()

    def serve() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(fake._serve(started, stop))

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        assert started.wait(DEADLINE_SECONDS), "the fake did not start"
        fake.write_ready_file()
        yield fake
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(DEADLINE_SECONDS)
