"""A connection before there is a request: its head is bounded in size and time, and so is what comes unasked for."""

import asyncio
import json
from collections import Counter
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from services.http_api.error_codes import CODES, Code
from services.http_api.errors import body
from services.http_api.limits.gate import TOO_SLOW, met
from services.http_api.limits.values import Limits

HEAD_TOO_LARGE = Code("EndPoint.0002", 431, CODES["0002"].text)
HEAD_TOO_SLOW = Code("EndPoint.0013", 408, CODES["0013"].text)
MALFORMED = Code("EndPoint.0002", 400, CODES["0002"].text)
FRAMING = 3
"""How often the size of a body its chunks may come to: each may have as little as a byte."""


class Connections:
    """Who is connected."""

    def __init__(self) -> None:
        self.by_address = Counter[str]()

    def __len__(self) -> int:
        return self.by_address.total()


class BoundedProtocol(HttpToolsProtocol):
    """HTTP/1.1 as uvicorn speaks it, with limits. See `bounded`."""

    limits: Limits
    connected: Connections

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._address = ""
        self._in_head, self._message_open = False, False
        self._head = self._message = 0
        self._timer: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None
        self._ended: Code | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        super().connection_made(transport)
        self._address = self.client[0] if self.client else ""
        here = self.connected.by_address
        here[self._address] += 1
        if len(self.connected) > self.limits.connections or here[self._address] > self.limits.connections_of_address:
            met("connections", MALFORMED, "")
            transport.abort()
            return
        self._await_head()

    def shutdown(self) -> None:
        """The program ends. Who is not waiting for an answer is not asked for a farewell: TLS would wait for it."""
        if self.cycle is None or self.cycle.response_complete:
            self.transport.abort()
        else:
            super().shutdown()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        self._read_on()
        self._sign_off()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._ended is not None or self.transport.is_closing():
            return
        if self._timer is None and not self._message_open:
            self._await_head()
        self._message += len(data)
        if self._message_open and self._message > self.limits.head + FRAMING * self.limits.body and not self._lingers():
            self._end(HEAD_TOO_LARGE, "body_size", "The request is too large.")
            return
        super().data_received(data)
        if self._in_head:
            self._head += len(data)
            self._check_head()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head, self._message_open = True, True
        self._head = self._message = 0

    def on_url(self, url: bytes) -> None:
        self._head += len(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head += len(name) + len(value) + 4
        self._check_head()
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._disarm()
        if self._ended is None:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if self._ended is None:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._message_open = False
        self._disarm()
        if self._ended is None:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """An answer before the whole request was there: the rest is thrown away for some time, so that it is read."""
        super().on_response_complete()
        if self._message_open and not self.transport.is_closing():
            self._unset_keepalive_if_required()
            self._arm(self.limits.linger_seconds, self.transport.abort)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = self.loop.call_later(self.limits.send_seconds, self._give_up)

    def resume_writing(self) -> None:
        self._read_on()
        super().resume_writing()

    def handle_websocket_upgrade(self) -> None:
        """From here on another protocol has the connection, which counts with the streams of its project."""
        self._disarm()
        self._sign_off()
        super().handle_websocket_upgrade()

    def send_400_response(self, msg: str) -> None:
        """What cannot be read, in the form in which everything else is refused."""
        if self._ended is None:
            self._say(MALFORMED, msg)

    def _sign_off(self) -> None:
        here = self.connected.by_address
        here[self._address] -= 1
        if not here[self._address]:
            del here[self._address]

    def _await_head(self) -> None:
        text = f"The request's head did not come within {self.limits.head_seconds:g} seconds."
        self._arm(self.limits.head_seconds, lambda: self._end(HEAD_TOO_SLOW, "head_time", text))

    def _check_head(self) -> None:
        if self._head > self.limits.head:
            self._end(HEAD_TOO_LARGE, "head_size", f"A request's head has up to {self.limits.head} bytes.")

    def _give_up(self) -> None:
        met("slow_reader", TOO_SLOW, "")
        self.transport.abort()

    def _read_on(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _lingers(self) -> bool:
        return self.cycle is not None and self.cycle.response_complete

    def _end(self, code: Code, limit: str, text: str) -> None:
        if self._ended is None:
            met(limit, code, text)
            self._say(code, text)

    def _say(self, code: Code, text: str) -> None:
        """The last words on this connection, unless an answer is on its way already."""
        self._disarm()
        self._ended = code
        if self.cycle is None or self.cycle.response_complete:
            said = json.dumps(body(code, text)).encode()
            head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(said)
            self.transport.write(STATUS_LINE[code.status] + head + said)
        self.transport.close()
        self._arm(self.limits.linger_seconds, self.transport.abort)

    def _arm(self, seconds: float, then: Any) -> None:  # noqa: ANN401 # whatever it gives is nobody's
        self._disarm()
        self._timer = self.loop.call_later(seconds, then)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def bounded(limits: Limits) -> type[HttpToolsProtocol]:
    """The protocol with these limits, for uvicorn."""
    return type("Bounded", (BoundedProtocol,), {"limits": limits, "connected": Connections()})
