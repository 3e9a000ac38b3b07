"""A gRPC server as every program runs it: guarded methods, health that is true, reflection."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import grpc
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from services.common.identity.certificates import Certificates
from services.common.program import CannotListen
from services.common.rpc.auth import Admission, Doorman, Unserved
from services.common.rpc.guard import Guard
from services.common.rpc.health_service import NOT_SERVING, SERVING, HealthService
from services.common.rpc.observer import Observer

GRACE_SECONDS = 10.0
LIVENESS, READINESS = "liveness", "readiness"
"""Names for health checks: it runs; it can do what it is for. The empty name is the second, as usual."""

OPTIONS = (
    # A client that keeps an idle connection alive pings every 20 s; the default minimum would send it away.
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.max_receive_message_length", 4 * 1024 * 1024),
)


def _nothing() -> None:
    pass


@dataclass(frozen=True, slots=True)
class Hosted:
    """A service to serve: its full name, what adds it to a server, and what ends its streams when that stops."""

    name: str
    add: Callable[[grpc.aio.Server], None]
    end: Callable[[], None] = _nothing


@dataclass(frozen=True, slots=True)
class Entrance:
    """Where a server listens, who is let in, and with which certificate.

    `listen` is "host:port", where port 0 is a free one, with TLS; or "unix:/path", for whoever may open that. With
    `programs_only` TLS wants a certificate of our authority from the caller, too.
    """

    listen: str
    doorman: Doorman
    certificates: Certificates | None = None
    programs_only: bool = False


class RpcServer:
    """Serves what is hosted at an entrance."""

    def __init__(self, entrance: Entrance, hosted: Sequence[Hosted]) -> None:
        self._entrance, self._listen = entrance, entrance.listen
        self._hosted = hosted
        self._names = [each.name for each in hosted]
        doorman = entrance.doorman
        interceptors = [Unserved(doorman), Observer(), Admission(doorman), Guard()]
        self._server = grpc.aio.server(interceptors=interceptors, options=OPTIONS)
        for each in hosted:
            each.add(self._server)
        self._health = HealthService(["", LIVENESS, READINESS, *self._names])
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection([*self._names, health.SERVICE_NAME, reflection.SERVICE_NAME], self._server)

    async def start(self, *, serving: bool = True) -> str:
        """Listens; gives the address with the port that was taken. Without `serving` health checks hear no yet."""
        try:
            port = self._open()
        except RuntimeError as error:
            raise CannotListen(f"cannot listen on {self._listen}: is it taken by another program?") from error
        self._health.tell(LIVENESS, SERVING)
        await self.tell_health(serving=serving)
        await self._server.start()
        if self._listen.startswith("unix:"):
            return self._listen
        return f"{self._listen.rpartition(':')[0]}:{port}"

    def _open(self) -> int:
        if self._listen.startswith("unix:"):
            return self._server.add_insecure_port(self._listen)
        if self._entrance.certificates is None:
            raise CannotListen(f"{self._listen} is a network address: it needs a certificate (--tls)")
        credentials = self._entrance.certificates.serving(client_needed=self._entrance.programs_only)
        return self._server.add_secure_port(self._listen, credentials)

    async def tell_health(self, *, serving: bool) -> None:
        """Says what health checks hear, of the whole program and of each service; `liveness` stays SERVING."""
        for name in ("", READINESS, *self._names):
            self._health.tell(name, SERVING if serving else NOT_SERVING)

    async def stop(self, grace: float = GRACE_SECONDS) -> None:
        """Refuses new calls, lets those under way finish within `grace` seconds."""
        self._health.end()
        for hosted in self._hosted:
            hosted.end()
        await self._server.stop(grace)
