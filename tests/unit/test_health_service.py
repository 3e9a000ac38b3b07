"""Health checks are everybody's: who does not read holds up nobody, and names that nobody has are not kept."""

import asyncio
from typing import Any, NoReturn, cast

import grpc
import pytest
from grpc_health.v1 import health_pb2

from services.common.rpc.health_service import (
    NOT_SERVING,
    SERVING,
    UNKNOWN,
    WATCHERS_OF_PEER,
    HealthService,
    Status,
)

DEADLINE = 10.0


class Ended(Exception):
    pass


class Watcher:
    """A caller as the service meets him. One that does not `read` takes nothing that is written."""

    def __init__(self, peer: str = "ipv4:192.0.2.1:1000", *, reads: bool = True) -> None:
        self._peer, self._reads = peer, reads
        self.heard = asyncio.Queue[Status]()
        self.written_to = asyncio.Event()
        self.code: grpc.StatusCode | None = None

    def peer(self) -> str:
        return self._peer

    async def write(self, response: health_pb2.HealthCheckResponse) -> None:
        self.written_to.set()
        if not self._reads:
            await asyncio.Event().wait()
        self.heard.put_nowait(response.status)

    async def abort(self, code: grpc.StatusCode, _text: str = "") -> NoReturn:
        self.code = code
        raise Ended

    async def next(self) -> Status:
        async with asyncio.timeout(DEADLINE):
            return await self.heard.get()


def watching(service: HealthService, watcher: Watcher, name: str = "") -> asyncio.Task[None]:
    return asyncio.create_task(service.Watch(health_pb2.HealthCheckRequest(service=name), cast(Any, watcher)))


async def test_who_does_not_read_holds_up_neither_others_nor_the_end() -> None:
    service = HealthService([""])
    deaf, hearing = Watcher(reads=False), Watcher()
    tasks = [watching(service, deaf), watching(service, hearing)]
    try:
        async with asyncio.timeout(DEADLINE):
            await deaf.written_to.wait()
        assert await hearing.next() == NOT_SERVING
        service.tell("", SERVING)
        assert await hearing.next() == SERVING
        service.end()
        assert await hearing.next() == NOT_SERVING
        service.tell("", SERVING)
        answer = await service.Check(health_pb2.HealthCheckRequest(), cast(Any, hearing))
        assert answer.status == NOT_SERVING, "for good"
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_name_that_nobody_has_is_told_so_once_and_not_kept() -> None:
    service, watcher = HealthService([""]), Watcher()
    async with asyncio.timeout(DEADLINE):
        await watching(service, watcher, "x" * 100_000)
    assert await watcher.next() == UNKNOWN
    with pytest.raises(Ended):
        await service.Check(health_pb2.HealthCheckRequest(service="x"), cast(Any, watcher))
    assert watcher.code is grpc.StatusCode.NOT_FOUND


async def test_one_peer_watches_so_often_and_others_still_may() -> None:
    service = HealthService([""])
    many = [Watcher(f"ipv4:192.0.2.1:{port}") for port in range(WATCHERS_OF_PEER)]
    tasks = [watching(service, each) for each in many]
    try:
        for each in many:
            assert await each.next() == NOT_SERVING
        too_many, other = Watcher("ipv4:192.0.2.1:9"), Watcher("ipv6:[2001:db8::1]:9")
        with pytest.raises(Ended):
            await watching(service, too_many)
        assert too_many.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        tasks.append(watching(service, other))
        assert await other.next() == NOT_SERVING
        tasks[0].cancel()
        await asyncio.gather(tasks[0], return_exceptions=True)
        again = Watcher("ipv4:192.0.2.1:9")
        tasks.append(watching(service, again))
        assert await again.next() == NOT_SERVING
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
