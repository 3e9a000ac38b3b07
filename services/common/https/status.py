"""How the program is doing: said on a unix socket, as a gateway says it."""

import os
from collections.abc import Mapping
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2

from services.common.identity.access_log import AccessLog
from services.common.rpc.auth import Doorman
from services.common.rpc.health import Difficulty, Health
from services.common.rpc.machine import Machine
from services.common.rpc.server import LIVENESS, Entrance, RpcServer
from services.common.rpc.status import Progress, StatusServicer

PATIENCE_SECONDS = 2.0


def reachable(name: str, channel: grpc.aio.Channel) -> Difficulty:
    """Asks whether a service behind the program runs: one that cannot write can still be asked."""
    check = channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )

    async def difficulty() -> str:
        try:
            answer = await check(health_pb2.HealthCheckRequest(service=LIVENESS), timeout=PATIENCE_SECONDS)
        except grpc.aio.AioRpcError:
            return f"{name} does not answer"
        return "" if answer.status == health_pb2.HealthCheckResponse.SERVING else f"{name} does not serve"

    return difficulty


class Status:
    """The socket is for its owner alone."""

    def __init__(self, program: str, socket: Path, behind: Mapping[str, grpc.aio.Channel]) -> None:
        self.servicer = StatusServicer(program, lambda: Progress(0))
        self._server = RpcServer(Entrance(f"unix:{socket}", Doorman(Machine(), AccessLog())), [self.servicer.hosted()])
        parts = [reachable(name, channel) for name, channel in behind.items()]
        self.health = self.servicer.health = Health(self._server, parts)

    async def start(self) -> None:
        before = os.umask(0o177)
        try:
            await self._server.start(serving=False)
        finally:
            os.umask(before)

    async def stop(self) -> None:
        await self._server.stop()
