"""Where connections come in: counted from when they are accepted, and with little time until they speak TLS."""

import asyncio
import socket
import ssl
from collections.abc import Callable

import structlog

from services.common.https.protocol import BoundedProtocol

AT_ONCE = 100
AGAIN_SECONDS = 1.0
"""Until it is tried again where the machine has no room for a connection more."""

log = structlog.get_logger(__name__)


class Entrance:
    """Listens on a socket that is bound. To uvicorn it is one of its servers.

    A server of the event loop's own tells of a connection when TLS is there: until then it would count nowhere.
    """

    def __init__(
        self, ear: socket.socket, backlog: int, context: ssl.SSLContext, made: Callable[[], BoundedProtocol]
    ) -> None:
        self._ear, self._context, self._made = ear, context, made
        self._loop = asyncio.get_running_loop()
        self._again: asyncio.TimerHandle | None = None
        self._securing = set[asyncio.Task[None]]()
        ear.listen(backlog)
        ear.setblocking(False)
        self._open()

    def close(self) -> None:
        """Takes nobody more. Whoever does not speak TLS yet has not asked for anything."""
        self._loop.remove_reader(self._ear)
        if self._again is not None:
            self._again.cancel()
        for task in self._securing:
            task.cancel()

    async def wait_closed(self) -> None:
        await asyncio.gather(*self._securing, return_exceptions=True)

    def _open(self) -> None:
        self._again = None
        self._loop.add_reader(self._ear, self._accept)

    def _accept(self) -> None:
        try:
            for _ in range(AT_ONCE):
                self._admit(*self._ear.accept())
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError as error:
            log.warning("no connection can be accepted", why=str(error))
            self._loop.remove_reader(self._ear)
            self._again = self._loop.call_later(AGAIN_SECONDS, self._open)

    def _admit(self, peer: socket.socket, address: tuple[str, int]) -> None:
        protocol = self._made()
        if not protocol.admitted(address[0]):
            peer.close()
            return
        peer.setblocking(False)
        task = self._loop.create_task(self._secure(peer, protocol))
        self._securing.add(task)
        task.add_done_callback(self._securing.discard)

    async def _secure(self, peer: socket.socket, protocol: BoundedProtocol) -> None:
        """Tells the protocol of its connection when TLS is there."""
        limit = protocol.limits.tls_seconds
        try:
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await self._loop.connect_accepted_socket(
                lambda: protocol, peer, ssl=self._context, ssl_handshake_timeout=limit
            )
        except (OSError, asyncio.CancelledError):  # it speaks something else, took too long, went away; or we end
            protocol.turned_away()
