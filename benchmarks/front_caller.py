"""A client in a process of its own: the same calls by the HTTPS API, signed as the SDK does, and by gRPC.

Takes a JSON line with `https` and `grpc` (host:port), `ca` (PEM), `access`, `secret`, `token`, `project_id`, `vpc_id`,
`port_id`; says `{"ready": true}`. Then each line is a job: `way` ("https" or "grpc"), `do` ("list" or "create"),
`in_flight`, and `seconds` or `calls`, whichever ends it first. It says the job's calls per second, and each call's
milliseconds in `took`.
"""

import asyncio
import hmac
import json
import ssl
import sys
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Protocol

import grpc
import uvloop

from benchmarks.caller import DEADLINE_SECONDS, measured
from services.http_api.auth.signature import ALGORITHM, DATE_FORM, Request, Signature, string_to_sign
from sidegate.api.registry.v1 import endpoint_service_pb2 as service_pb
from sidegate.api.registry.v1 import registry_service_pb2 as rpc
from sidegate.api.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from sidegate.channels import OPTIONS

PAGE = 10
PORTS = iter(range(1000, 65536))
OK = 200


class Way(Protocol):
    """How the two calls are made."""

    async def list(self) -> object: ...
    async def create(self) -> object: ...


class ByGrpc:
    def __init__(self, told: Mapping[str, Any], channel: grpc.aio.Channel) -> None:
        self._told, self._stub = told, RegistryServiceStub(channel)
        self._said: Mapping[str, Any] = {
            "metadata": (("authorization", f"Bearer {told['token']}"),),
            "timeout": DEADLINE_SECONDS,
        }

    async def list(self) -> object:
        request = rpc.ListEndpointServicesRequest(page_size=PAGE, want_total=True)
        return await self._stub.ListEndpointServices(request, **self._said)

    async def create(self) -> object:
        service = service_pb.EndpointService(
            name=f"s{uuid.uuid4().hex[:12]}",
            vpc_id=self._told["vpc_id"],
            backends=[service_pb.Backend(port_id=self._told["port_id"])],
            port_mappings=[service_pb.PortMapping(client_port=80, server_port=_port())],
        )
        request = rpc.CreateEndpointServiceRequest(endpoint_service=service, request_id=str(uuid.uuid4()))
        return await self._stub.CreateEndpointService(request, **self._said)


class ByHttps:
    """Connections are kept, as the SDK keeps them; a busy one is not waited for."""

    def __init__(self, told: Mapping[str, Any]) -> None:
        self._told = told
        self._tls = ssl.create_default_context(cadata=told["ca"])
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._services = f"/v1/{told['project_id']}/vpc-endpoint-services"

    async def list(self) -> object:
        return await self._ask("GET", self._services, f"limit={PAGE}", b"")

    async def create(self) -> object:
        ports = [{"client_port": 80, "server_port": _port(), "protocol": "TCP"}]
        body = {
            "service_name": f"s{uuid.uuid4().hex[:12]}",
            "vpc_id": self._told["vpc_id"],
            "port_id": self._told["port_id"],
            "server_type": "VM",
            "ports": ports,
        }
        return await self._ask("POST", self._services, "", json.dumps(body).encode())

    async def _ask(self, method: str, path: str, query: str, body: bytes) -> object:
        reader, writer = self._idle.pop() if self._idle else await self._connect()
        writer.write(self._request(method, path, query, body))
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = next(int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"content-length:"))
        answer = json.loads(await reader.readexactly(length))
        if int(head.split()[1]) != OK:
            raise RuntimeError(f"{method} {path}: {answer}")
        self._idle.append((reader, writer))
        return answer

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, _, port = self._told["https"].rpartition(":")
        return await asyncio.open_connection(host, int(port), ssl=self._tls)

    def _request(self, method: str, path: str, query: str, body: bytes) -> bytes:
        headers = [
            ("content-type", "application/json;charset=utf-8"),
            ("host", self._told["https"]),
            ("x-sdk-date", datetime.now(UTC).strftime(DATE_FORM)),
        ]
        names = [name for name, _ in headers]
        asked = Request(method, path.encode(), query.encode(), headers, body)
        text = string_to_sign(asked, Signature(self._told["access"], names, ""))
        mac = hmac.new(self._told["secret"].encode(), text, sha256).hexdigest()
        signed = f"{ALGORITHM} Access={self._told['access']}, SignedHeaders={';'.join(names)}, Signature={mac}"
        lines = [f"{method} {path}{'?' if query else ''}{query} HTTP/1.1", f"authorization: {signed}"]
        lines += [f"{name}: {value}" for name, value in headers] + [f"content-length: {len(body)}", "", ""]
        return "\r\n".join(lines).encode() + body


def _port() -> int:
    """One that no other service has of the machine."""
    return next(PORTS)


async def main() -> None:
    told = json.loads(sys.stdin.readline())
    credentials = grpc.ssl_channel_credentials(told["ca"].encode())
    async with grpc.aio.secure_channel(told["grpc"], credentials, options=OPTIONS) as channel:
        await channel.channel_ready()
        ways: Mapping[str, Way] = {"https": ByHttps(told), "grpc": ByGrpc(told, channel)}
        print(json.dumps({"ready": True}), flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            job = json.loads(line)
            call = getattr(ways[job["way"]], job["do"])
            print(json.dumps(await measured(call, job["in_flight"], job["seconds"], job["calls"])), flush=True)


if __name__ == "__main__":
    uvloop.run(main())
