"""Metrics by HTTP, for Prometheus to scrape: any path gives them all."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prometheus_client import start_http_server

from services.common.program import CannotListen
from services.common.telemetry.metrics import REGISTRY


@asynccontextmanager
async def exposed(address: str) -> AsyncIterator[str]:
    """Serves on "host:port" while the block runs; gives the address with the port that was taken.

    Nothing is served where the address is empty. A thread of its own answers: a busy event loop can be looked at, too.
    Raises CannotListen.
    """
    if not address:
        yield ""
        return
    host, _, port = address.rpartition(":")
    try:
        server, thread = start_http_server(int(port), host.strip("[]"), REGISTRY)
    except (OSError, ValueError, OverflowError) as error:
        raise CannotListen(f"cannot serve metrics on {address}: {error}") from error
    try:
        yield f"{host}:{server.server_port}"
    finally:
        await asyncio.to_thread(server.shutdown)  # it looks up twice a second
        server.server_close()
        await asyncio.to_thread(thread.join)
