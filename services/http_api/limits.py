"""How much of everything a request, a client and all of them together may take."""

from dataclasses import dataclass

from starlette.types import ASGIApp


@dataclass(frozen=True, slots=True)
class Limits:
    """See the settings."""


def limited(app: ASGIApp, _limits: Limits) -> ASGIApp:
    """The application behind its limits."""
    return app
