"""A connection before there is a request: its head is bounded in size and time, and so is what comes unasked for."""

import asyncio
from collections import Counter, deque
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from services.common.https.bounds import Bounds

if TYPE_CHECKING:
    from services.common.https.sockets import BoundedSocket

FRAMING = 3
"""How often the size of a body its chunks may come to: each may have as little as a byte."""
NO_HANDSHAKE = "A WebSocket begins with a GET without a body, and with up to 128 headers of 8 KB each."


class Farewell(NamedTuple):
    """The last words on a connection."""

    content_type: str
    body: bytes


class Manners(Protocol):
    """How a program says what its connections end with, and counts it."""

    def met(self, limit: str) -> None: ...

    def farewell(self, status: int, text: str) -> Farewell: ...


class Connections:
    """Who is connected."""

    def __init__(self) -> None:
        self.by_address = Counter[str]()

    def __len__(self) -> int:
        return self.by_address.total()

    def come(self, address: str) -> None:
        self.by_address[address] += 1

    def go(self, address: str) -> None:
        """Of one that has come. Fewer than none would keep everybody out."""
        self.by_address -= Counter((address,))

    def room(self, address: str, limits: Bounds) -> bool:
        """Whether there may be one more, of all and of the address."""
        return len(self) < limits.connections and self.by_address[address] < limits.connections_of_address


class BoundedProtocol(HttpToolsProtocol):
    """HTTP/1.1 as uvicorn speaks it, with limits. See `bounded`."""

    limits: Bounds
    manners: Manners
    connected: Connections
    sockets: "type[BoundedSocket]"
    """What speaks WebSocket, of a program that does: it needs a package that others do not have."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._address = ""
        self._silent, self._in_head, self._message_open = False, False, False
        self._begun = self._head = self._came = self._message = 0
        self._timer: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None
        self._ended, self._counted = False, False
        self._asked = deque[RequestResponseCycle]()
        """What is not answered: more than one where a client asks on before it is."""

    def admitted(self, address: str) -> bool:
        """Counts the connection, which may not be there yet, with those of its address; False where it is too many."""
        if not self.connected.room(address, self.limits):
            self.manners.met("connections")
            return False
        self._address, self._counted = address, True
        self.connected.come(address)
        return True

    def turned_away(self) -> None:
        """There is no connection to come: it does not count any more."""
        if self._counted:
            self._counted = False
            self.connected.go(self._address)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        super().connection_made(transport)
        if self._counted or self.admitted(self.client[0] if self.client else ""):
            self._await_anything()
        else:
            transport.abort()

    def shutdown(self) -> None:
        """The program ends. Who is not waiting for an answer is not asked for a farewell: TLS would wait for it."""
        if self.cycle is None or self.cycle.response_complete:
            self.transport.abort()
        else:
            super().shutdown()

    def connection_lost(self, exc: Exception | None) -> None:
        """All that is not answered hears of it; uvicorn tells what was asked last."""
        self._lost()
        for each in self._asked:
            each.disconnected = True
            each.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._ended or self.transport.is_closing():
            return
        if self._silent or (self._timer is None and not self._message_open):
            self._silent = False
            self._await_head()
        self._message += len(data)
        if self._message_open and self._message > self.limits.head + FRAMING * self.limits.body and not self._lingers():
            self._end(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "body_size", "The request is too large.")
            return
        first, begun = not self._message_open, self._begun
        super().data_received(data)
        if self._in_head:
            if self._begun - begun == first:
                self._came += len(data)
            else:  # behind something else: where it began is not known, only what has been read of it
                self._came = self._head
            self._check_head()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head, self._message_open = True, True
        self._begun += 1
        self._head = self._came = self._message = 0

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
        if not self._ended:
            before = self.cycle
            super().on_headers_complete()
            if self.cycle is not before:
                self._asked.append(self.cycle)

    def on_body(self, body: bytes) -> None:
        if not self._ended:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._message_open = False
        self._disarm()
        if not self._ended:
            super().on_message_complete()
            if self._lingers():
                self._await_anything()

    def on_response_complete(self) -> None:
        """An answer before the whole request was there: the rest is thrown away for some time, so that it is read."""
        super().on_response_complete()
        while self._asked and self._asked[0].response_complete:
            self._asked.popleft()
        if self._message_open and not self._in_head and self._lingers() and not self.transport.is_closing():
            self._unset_keepalive_if_required()
            self._arm(self.limits.linger_seconds, self.transport.abort)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = self.loop.call_later(self.limits.send_seconds, self._give_up)

    def resume_writing(self) -> None:
        self._read_on()
        super().resume_writing()

    def handle_websocket_upgrade(self) -> None:
        """From here on another protocol has the connection, which counts as before until that loses it.

        The parser says so of a head that was refused, too, and before what was asked first is answered.
        """
        if self._ended:
            return
        if self._asked or self._unread is not None:
            self._say(HTTPStatus.BAD_REQUEST, "A connection is upgraded when what was asked on it is answered.")
            return
        self._disarm()
        socket = self.sockets(
            self.config, self.server_state, self.app_state, limits=self.limits, unread=self._give_up, lost=self._lost
        )
        self.ws_protocol_class = lambda **_known: socket  # type: ignore[assignment] # uvicorn calls it, and no more
        super().handle_websocket_upgrade()
        if not socket.handshake_initiated:
            self._say(HTTPStatus.BAD_REQUEST, NO_HANDSHAKE)

    def send_400_response(self, msg: str) -> None:
        """What cannot be read, in the form in which everything else is refused."""
        if not self._ended:
            self._say(HTTPStatus.BAD_REQUEST, msg)

    def _lost(self) -> None:
        self._disarm()
        self._read_on()
        self.turned_away()

    def _await_anything(self) -> None:
        """For as long as a connection may be idle; after most answers uvicorn does that."""
        self._silent = True
        self._arm(self.limits.idle_seconds, self._leave)

    def _await_head(self) -> None:
        text = f"The request's head did not come within {self.limits.head_seconds:g} seconds."
        self._arm(self.limits.head_seconds, lambda: self._end(HTTPStatus.REQUEST_TIMEOUT, "head_time", text))

    def _check_head(self) -> None:
        """By what the parser has told of it, or by what has come: that tells of a header when it has all of it."""
        if max(self._head, self._came) > self.limits.head:
            self._end(
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                "head_size",
                f"A request's head has up to {self.limits.head} bytes.",
            )

    def _leave(self) -> None:
        """Without a word, which a browser would read as the answer to what it asks just then."""
        self._ended = True
        self.transport.close()
        self._arm(self.limits.linger_seconds, self.transport.abort)

    def _give_up(self) -> None:
        self.manners.met("slow_reader")
        self.transport.abort()

    def _read_on(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _lingers(self) -> bool:
        return self.cycle is not None and self.cycle.response_complete

    def _end(self, status: int, limit: str, text: str) -> None:
        if not self._ended:
            self.manners.met(limit)
            self._say(status, text)

    def _say(self, status: int, text: str) -> None:
        """The last words on this connection, unless an answer is on its way already."""
        self._disarm()
        self._ended = True
        if self.cycle is None or self.cycle.response_complete:
            kind, said = self.manners.farewell(status, text)
            head = f"content-type: {kind}\r\ncontent-length: {len(said)}\r\nconnection: close\r\n\r\n".encode()
            self.transport.write(STATUS_LINE[status] + head + said)
        self.transport.close()
        self._arm(self.limits.linger_seconds, self.transport.abort)

    def _arm(self, seconds: float, then: Any) -> None:  # noqa: ANN401 # whatever it gives is nobody's
        self._disarm()
        self._timer = self.loop.call_later(seconds, then)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def bounded(limits: Bounds, manners: Manners, sockets: "type[BoundedSocket] | None" = None) -> type[BoundedProtocol]:
    """The protocol with these limits, for uvicorn; with `sockets` where that is told to speak WebSocket, too."""
    told = {"limits": limits, "manners": manners, "connected": Connections(), "sockets": sockets}
    return type("Bounded", (BoundedProtocol,), told)
