"""uvicorn as a part of our program: TLS, a port that may be reserved for us, an end when we say so."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import structlog
import uvicorn
from starlette.types import ASGIApp

from services.common.https.bounds import IDLE_SECONDS
from services.common.https.entrance import Entrance
from services.common.https.protocol import BoundedProtocol
from services.common.identity.certificates import NoCertificate
from services.common.identity.pki import CERTIFICATE_FILE, KEY_FILE
from services.common.program import CannotListen

GRACE_SECONDS = 10
LOOK_SECONDS = 10.0
LARGEST_MESSAGE = 1024
"""Of a client on a WebSocket, in bytes: none of them has anything to say."""

log = structlog.get_logger(__name__)


class _Server(uvicorn.Server):
    """With an entrance of ours in the place of the event loop's."""

    def __init__(self, config: uvicorn.Config, context: ssl.SSLContext, protocol: type[BoundedProtocol]) -> None:
        super().__init__(config)
        self._context, self._protocol = context, protocol

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        entrances = [Entrance(ear, self.config.backlog, self._context, self._made) for ear in sockets or []]
        await super().startup(sockets=[])
        self.servers = entrances  # type: ignore[assignment] # of which uvicorn asks no more than that they close

    def _made(self) -> BoundedProtocol:
        return self._protocol(self.config, self.server_state, self.lifespan.state)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The program has handlers of its own."""
        yield


class HttpsServer:
    """Serves an application at "host:port" with the certificate in the directory. Raises NoCertificate."""

    def __init__(
        self, app: ASGIApp, listen: str, tls: Path, protocol: type[BoundedProtocol], *, websockets: bool = False
    ) -> None:
        self._listen, self._files = listen, (tls / CERTIFICATE_FILE, tls / KEY_FILE)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._seen = self._load()
        self._server = _Server(
            uvicorn.Config(
                app,
                http=protocol,
                ws="websockets-sansio" if websockets else "none",
                ws_max_size=LARGEST_MESSAGE,
                ws_per_message_deflate=False,
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=IDLE_SECONDS,
                timeout_graceful_shutdown=GRACE_SECONDS,
            ),
            self._context,
            protocol,
        )
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> str:
        """Listens; gives the address with the port that was taken. Raises CannotListen."""
        ear = self._bound()
        self._serving = asyncio.create_task(self._server.serve(sockets=[ear]))
        while not self._server.started:
            if self._serving.done():
                self._serving.result()
                raise CannotListen(f"cannot serve on {self._listen}")
            await asyncio.sleep(0.01)
        return f"{self._listen.rpartition(':')[0]}:{ear.getsockname()[1]}"

    def _bound(self) -> socket.socket:
        host, _, port = self._listen.rpartition(":")
        ear = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        try:
            ear.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            ear.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # standalone keeps the port for us
            ear.bind((host.strip("[]"), int(port)))
        except (OSError, ValueError, OverflowError) as error:
            ear.close()
            raise CannotListen(f"cannot listen on {self._listen}: {error}") from error
        return ear

    async def run(self) -> None:
        """Until cancelled: takes a new certificate as soon as there is one."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                if self._stamp() != self._seen:
                    self._seen = self._load()
            except (OSError, NoCertificate) as error:
                log.warning("the certificate cannot be read, the one before stays", why=str(error))

    def _load(self) -> list[tuple[int, int]]:
        try:
            stamp = self._stamp()
            self._context.load_cert_chain(*self._files)
        except OSError as error:  # ssl's errors are some of them
            text = f"no certificate in {self._files[0].parent}: {error}"
            raise NoCertificate(f"{text}; `python -m services.common.identity` makes one") from error
        return stamp

    def _stamp(self) -> list[tuple[int, int]]:
        return [(found.st_mtime_ns, found.st_ino) for found in (path.stat() for path in self._files)]

    async def stop(self) -> None:
        """Takes no new connections, and lets requests under way finish for some seconds."""
        if self._serving is not None:
            self._server.should_exit = True
            await self._serving
