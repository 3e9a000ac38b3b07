"""grpc.health.v1.Health: everybody may ask, so nobody who asks can hold up another, or have anything kept.

That of grpc_health writes to a watcher under the lock under which it hears of changes: one who does not read what is
sent him stops health checks and the program's end; and it keeps every name that somebody watches.
"""

import asyncio
from collections import Counter
from collections.abc import Collection
from typing import TypeAlias

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

WATCHERS, WATCHERS_OF_PEER = 1000, 50

Status: TypeAlias = int
"""One of those below, as the contract numbers them."""

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN

Context = grpc.aio.ServicerContext[health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse]


class HealthService(health_pb2_grpc.HealthServicer):
    """Of these names; each is NOT_SERVING until it is told otherwise."""

    def __init__(self, names: Collection[str]) -> None:
        self._statuses: dict[str, Status] = dict.fromkeys(names, NOT_SERVING)
        self._changed = asyncio.Event()
        self._watchers = Counter[str]()
        self._ended = False

    def tell(self, name: str, status: Status) -> None:
        """What is heard from now on; nothing else once it has ended."""
        if not self._ended:
            self._statuses[name] = status
            self._wake()

    def end(self) -> None:
        """All are told NOT_SERVING, for good."""
        self._ended = True
        self._statuses = dict.fromkeys(self._statuses, NOT_SERVING)
        self._wake()

    async def Check(self, request: health_pb2.HealthCheckRequest, context: Context) -> health_pb2.HealthCheckResponse:
        if request.service not in self._statuses:
            await context.abort(grpc.StatusCode.NOT_FOUND)
        return health_pb2.HealthCheckResponse(status=self._statuses[request.service])

    async def Watch(self, request: health_pb2.HealthCheckRequest, context: Context) -> None:
        """Each status that there is when the one before has been taken. A name that nobody has is told so, once."""
        name, peer = request.service, _host(context.peer())
        if name not in self._statuses:
            await context.write(health_pb2.HealthCheckResponse(status=UNKNOWN))
            return
        if self._watchers.total() >= WATCHERS or self._watchers[peer] >= WATCHERS_OF_PEER:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many watch already: use Check")
        self._watchers[peer] += 1
        try:
            await self._follow(name, context)
        finally:
            self._watchers -= Counter({peer: 1})

    async def _follow(self, name: str, context: Context) -> None:
        told: Status | None = None
        while True:
            changed, status = self._changed, self._statuses[name]
            if status == told:
                await changed.wait()
            else:
                await context.write(health_pb2.HealthCheckResponse(status=status))
                told = status

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def _host(peer: str) -> str:
    """Of "ipv4:192.0.2.1:1234"; what has no port is one."""
    return peer.rpartition(":")[0] or peer
