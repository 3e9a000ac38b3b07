"""What is Sidegate's own, under /sidegate/v1 and in headers of its own."""

from collections.abc import Sequence

from fastapi import APIRouter

from services.http_api.own import audit, connections, events, past

ROUTERS: Sequence[APIRouter] = (audit.router, events.router, events.sockets, past.router, connections.router)
