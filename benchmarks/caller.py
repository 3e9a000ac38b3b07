"""A client of the endpoint service in a process of its own: so many calls in flight for so long, and how they went.

Takes a JSON line with `address`, `ca` (PEM), `metadata` (pairs) and `ids` of endpoints; says `{"ready": true}`. Then
each line is a job: `do` (a method of Calls), `in_flight`, and `seconds` or `calls`, whichever ends it first. It says
the job's calls per second, and each call's milliseconds in `took`.
"""

import asyncio
import json
import sys
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from itertools import cycle
from typing import Any

import grpc
import uvloop
from google.protobuf.field_mask_pb2 import FieldMask

from sidegate.api.endpoint.v1 import endpoint_pb2 as endpoint_pb
from sidegate.api.endpoint.v1 import endpoint_service_pb2 as rpc
from sidegate.api.endpoint.v1.endpoint_service_pb2_grpc import EndpointsServiceStub
from sidegate.channels import OPTIONS

DEADLINE_SECONDS = 30.0
NAME = FieldMask(paths=["name"])
WAITING_SECONDS = 3600.0

Call = Callable[[], Awaitable[object]]


class Calls:
    """What a job may do, each time with the next of the endpoints."""

    def __init__(self, stub: EndpointsServiceStub, ids: Sequence[str], metadata: Sequence[tuple[str, str]]) -> None:
        self._stub, self._ids = stub, cycle(ids)
        self._said: Mapping[str, Any] = {"metadata": tuple(map(tuple, metadata)), "timeout": DEADLINE_SECONDS}

    async def update(self) -> object:
        """Another name, under a request id: a command with one event."""
        renamed = endpoint_pb.Endpoint(id=next(self._ids), name=f"name-{uuid.uuid4().hex[:8]}")
        request = rpc.UpdateEndpointRequest(endpoint=renamed, update_mask=NAME, request_id=str(uuid.uuid4()))
        return await self._stub.UpdateEndpoint(request, **self._said)

    async def get(self) -> object:
        return await self._stub.GetEndpoint(rpc.GetEndpointRequest(id=next(self._ids)), **self._said)

    async def list(self) -> object:
        return await self._stub.ListEndpoints(rpc.ListEndpointsRequest(page_size=100), **self._said)


async def measured(call: Call, in_flight: int, seconds: float, calls: int) -> Mapping[str, Any]:
    took: list[float] = []
    began = time.perf_counter()
    numbers: Iterator[int] = iter(range(calls))

    async def one_after_another() -> None:
        for _ in numbers:
            start = time.perf_counter()
            if start - began > seconds:
                return
            await call()
            took.append((time.perf_counter() - start) * 1000)

    await asyncio.gather(*[one_after_another() for _ in range(in_flight)])
    return {"rate": len(took) / (time.perf_counter() - began), "took": took}


async def main() -> None:
    told = json.loads(sys.stdin.readline())
    credentials = grpc.ssl_channel_credentials(told["ca"].encode())
    async with grpc.aio.secure_channel(told["address"], credentials, options=OPTIONS) as channel:
        await channel.channel_ready()
        calls = Calls(EndpointsServiceStub(channel), told["ids"], told["metadata"])
        print(json.dumps({"ready": True}), flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            job = json.loads(line)
            call: Call = getattr(calls, job["do"])
            said = await measured(
                call, job["in_flight"], job.get("seconds", WAITING_SECONDS), job.get("calls", sys.maxsize)
            )
            print(json.dumps(said), flush=True)


if __name__ == "__main__":
    uvloop.run(main())
