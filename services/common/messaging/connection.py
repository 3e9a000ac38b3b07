"""A connection to NATS that outlives the server, and the one place where the client's errors become ours."""

import asyncio
import base64
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import nats.errors
import structlog
from nats.aio.client import Client, Server
from nats.js import JetStreamContext

from services.common.identity.nats.rights import inbox
from services.common.messaging import metrics
from sidegate.nkeys import UserCredential

logger = structlog.get_logger(__name__)

REQUEST_TIMEOUT = 2.0
"""Seconds that an answer may take; after that the outcome is unknown."""

CONNECT_TIMEOUT = 2
PING_INTERVAL = 10
RETRY_FLOOR, RETRY_CAP = 0.05, 2.0


class NoCredential(Exception):
    """There is no file to connect with, or nothing useful in it; the text names the file."""


class Unsettled(Exception):
    """The server is away, refused, or did not answer in time: what was asked may or may not have happened."""


class Connection:
    """One client. `changes` counts how often it was lost or made: a server that was away may have forgotten things.

    `credential` is the file that says which user it is; it is read again at each attempt. Raises NoCredential, but not
    once it has been connected: the file may be there again.
    """

    def __init__(self, url: str, name: str, credential: Path) -> None:
        self._servers = parse(url)
        self._name = name
        self._credential = credential
        self._inbox = inbox(credential_of(credential).name)
        self._client = Client()
        self._closing = False
        self._reopening: asyncio.Task[None] | None = None
        self._limits: set[asyncio.Timeout] = set()
        self._complaint = ""
        self.changes = 0

    def __repr__(self) -> str:
        return f"Connection({self._name!r}, {self._servers!r})"

    @property
    def connected(self) -> bool:
        return self._client.is_connected

    @property
    def client(self) -> Client:
        """The client while it is connected. Raises Unsettled otherwise: at once, not after a timeout."""
        if not self._client.is_connected:
            raise Unsettled("NATS is away")
        return self._client

    @asynccontextmanager
    async def undisturbed(self, seconds: float, since: int | None = None) -> AsyncIterator[None]:
        """A time limit that ends early, with TimeoutError too, when the connection changes.

        With `since` it ends at once if `changes` is not that any more.
        """
        with cancellable():
            async with asyncio.timeout(0 if since not in (None, self.changes) else seconds) as limit:
                self._limits.add(limit)
                try:
                    yield
                finally:
                    self._limits.discard(limit)

    @asynccontextmanager
    async def exchange(self) -> AsyncIterator[JetStreamContext]:
        """JetStream for some requests. Raises Unsettled when they take too long or the connection is lost."""
        with settled():
            async with self.undisturbed(REQUEST_TIMEOUT):
                yield self.client.jetstream(timeout=REQUEST_TIMEOUT)

    async def pause(self, failures: int) -> None:
        """Waits before another attempt, longer after more failures; not beyond a change of the connection."""
        seconds = min(RETRY_CAP, RETRY_FLOOR * 2 ** min(failures, 8)) * _jitter()
        with suppress(TimeoutError):
            async with self.undisturbed(seconds):
                await asyncio.get_running_loop().create_future()

    async def open(self) -> None:
        """Connects; tries until it succeeds or is cancelled."""
        client = self._client
        try:
            with cancellable():
                await self._connect(client)
        except BaseException:
            self._closing = True
            await client.close()
            raise
        await self._on_connected()

    async def _connect(self, client: Client) -> None:
        await client.connect(
            self._servers,
            name=self._name,
            user_jwt_cb=self._jwt,
            signature_cb=self._sign,
            error_cb=self._on_error,
            disconnected_cb=self._on_disconnected,
            reconnected_cb=self._on_connected,
            closed_cb=self._on_closed,
            reconnect_to_server_handler=_next_server,
            max_reconnect_attempts=-1,
            reconnect_time_wait=1,
            connect_timeout=CONNECT_TIMEOUT,
            ping_interval=PING_INTERVAL,
            # Nothing is kept for later: what cannot be sent now, its caller decides again.
            pending_size=0,
            inbox_prefix=self._inbox,
        )

    def _jwt(self) -> bytes:
        return self._read().jwt.encode()

    def _sign(self, nonce: str) -> bytes:
        return base64.b64encode(self._read().key.sign(nonce.encode()))

    def _read(self) -> UserCredential:
        try:
            return credential_of(self._credential)
        except NoCredential as error:
            if not self.changes:
                raise
            # Of other errors the client would end for good, and say so to nobody: after this it tries again.
            raise nats.errors.Error(str(error)) from error

    async def close(self) -> None:
        """Ends the connection for good."""
        self._closing = True
        if self._reopening is not None:
            self._reopening.cancel()
            await asyncio.gather(self._reopening, return_exceptions=True)
        await self._client.close()

    async def __aenter__(self) -> "Connection":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _on_connected(self) -> None:
        self._complaint = ""
        metrics.tell_connected(True)
        logger.info("connected to NATS", connection=self._name)
        self._disturb()

    async def _on_disconnected(self) -> None:
        metrics.tell_connected(False)
        if not self._closing:
            logger.warning("lost NATS, reconnecting", connection=self._name)
        self._disturb()

    def _disturb(self) -> None:
        self.changes += 1
        metrics.CHANGES.inc()
        now = asyncio.get_running_loop().time()
        for limit in self._limits:
            if not limit.expired():
                limit.reschedule(now)

    async def _on_error(self, error: Exception) -> None:
        # Whoever connects is told of each failure here. A cancellation that came with it was swallowed by `wait_for`,
        # and the client would go on trying for ever.
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise asyncio.CancelledError
        complaint = str(error) or type(error).__name__
        if complaint != self._complaint and not self._closing:  # a server that is away says the same at each attempt
            self._complaint = complaint
            logger.warning("trouble with NATS", connection=self._name, error=complaint)

    async def _on_closed(self) -> None:
        # After some errors of the server the client gives up for ever, whatever its options say.
        if not self._closing:
            logger.error("NATS closed the connection, opening another", connection=self._name)
            self._client = Client()
            self._reopening = asyncio.get_running_loop().create_task(self.open())


async def connect(url: str, name: str, credential: Path) -> Connection:
    """Connects to `nats://host:port[,...]`; waits for a server for as long as it takes. Raises NoCredential."""
    connection = Connection(url, name, credential)
    await connection.open()
    return connection


def credential_of(path: Path) -> UserCredential:
    """Raises NoCredential."""
    try:
        credential = UserCredential.parse(path.read_text())
        _ = credential.name
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise NoCredential(f"{path} is no credential of NATS: {why}") from None
    return credential


def parse(url: str) -> list[str]:
    """The servers of a URL. Raises ValueError, which shows no credential that is in it."""
    parts = [urlsplit(one if "://" in one else f"nats://{one}") for one in url.split(",")]
    servers = [f"{part.scheme}://{part.netloc.rpartition('@')[2]}" for part in parts]
    for part, server in zip(parts, servers, strict=True):
        if part.scheme not in ("nats", "tls") or not part.hostname or not part.netloc.rpartition(":")[2].isdecimal():
            raise ValueError(f"{server} is not the address of a NATS server: nats://host:port")
        if "@" in part.netloc:
            raise ValueError(f"{server} has a user or token before it: users of NATS have credentials in files")
    return servers


@contextmanager
def settled() -> Iterator[None]:
    """Turns what the client raises about the world outside into Unsettled."""
    try:
        yield
    except (nats.errors.Error, OSError, TimeoutError) as error:
        raise Unsettled(str(error) or "the connection was lost, or NATS takes too long") from error


@contextmanager
def cancellable() -> Iterator[None]:
    """Raises a cancellation again that was swallowed: `wait_for` does so when an answer comes at that very moment."""
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    try:
        yield
    finally:
        if task is not None and task.cancelling() > before:
            raise asyncio.CancelledError


def _next_server(servers: list[Server], _info: dict[str, Any]) -> tuple[Server | None, float]:
    chosen = min(servers, key=lambda server: server.reconnects)
    wait = min(RETRY_CAP, RETRY_FLOOR * 2 ** min(chosen.reconnects, 8))
    return chosen, wait * _jitter()


def _jitter() -> float:
    return random.uniform(0.2, 1.0)  # noqa: S311 - it spreads load, it hides nothing
