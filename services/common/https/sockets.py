"""A WebSocket: counted as the connection that it was before, bounded in the time that its handshake and reader take."""

import asyncio
from collections.abc import Callable
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState

from services.common.https.bounds import Bounds


class BoundedSocket(WebSocketsSansIOProtocol):
    """WebSocket as uvicorn speaks it, with limits. Says `unread` of a client that does not read, `lost` at the end."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        *,
        limits: Bounds,
        unread: Callable[[], None],
        lost: Callable[[], None],
    ) -> None:
        super().__init__(config, server_state, app_state)
        self._limits, self._tell_unread, self._tell_lost = limits, unread, lost
        self._handshake: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._handshake = self.loop.call_later(self._limits.handshake_seconds, self._require_handshake)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._handshake is not None:
            self._handshake.cancel()
        self._read_on()
        self._tell_lost()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if not self.transport.is_closing():
            super().data_received(data)

    def shutdown(self) -> None:
        """The program ends. What began no handshake has been answered already."""
        if self.handshake_initiated:
            super().shutdown()
        else:
            self.transport.abort()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = self.loop.call_later(self._limits.send_seconds, self._tell_unread)

    def resume_writing(self) -> None:
        self._read_on()
        super().resume_writing()

    def _require_handshake(self) -> None:
        """Whoever was refused is not let in, and has been told so."""
        if not self.handshake_complete and not self.close_sent:
            self.transport.abort()

    def _read_on(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None
