"""How much of everything a request, a client and all of them together may take."""

from starlette.types import ASGIApp

from services.http_api.limits.gate import Gate
from services.http_api.limits.limited import Limited
from services.http_api.limits.values import Limits

__all__ = ["Gate", "Limits", "limited"]


def limited(app: ASGIApp, gate: Gate) -> ASGIApp:
    """The application behind its limits."""
    return Limited(app, gate)
