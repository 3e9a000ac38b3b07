"""The application: every room's routes, and what stands around all of them."""

from dataclasses import dataclass, field

from fastapi import Depends, FastAPI
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp

from services.console.endpoints import routes as endpoints
from services.console.finding import routes as finding
from services.console.live import routes as live
from services.console.networks import routes as networks
from services.console.operators import routes as operators
from services.console.overview import routes as overview
from services.console.pages.answers import answer_refusals
from services.console.pages.around import Around
from services.console.pages.files import Files
from services.console.pages.rendering import STATIC
from services.console.past import routes as past
from services.console.publishing import routes as publishing
from services.console.sessions.access import genuine
from services.console.sessions.store import Bounds, Sessions
from services.console.signing_in import routes as signing_in
from services.console.signing_in.by_provider import ByProvider
from services.console.signing_in.keys import Attempts, Door, Places

SMALLEST_COMPRESSED = 1000

ROOMS = (signing_in, live, finding, overview, publishing, endpoints, networks, past, operators)


@dataclass(frozen=True)
class Ports:
    """What the application works with."""

    places: Places
    region: str
    bounds: Bounds = field(default_factory=Bounds)
    attempts: Attempts = field(default_factory=Attempts)
    public_url: str = ""
    by_provider: ByProvider | None = None


class Console:
    """`asgi` is what is served; `run` goes on beside it until it is cancelled."""

    def __init__(self, ports: Ports) -> None:
        self.sessions, self._by_provider = Sessions(ports.bounds), ports.by_provider
        self.app = application(ports, self.sessions)
        self.asgi: ASGIApp = Around(GZipMiddleware(self.app, SMALLEST_COMPRESSED))

    async def run(self) -> None:
        await self.sessions.sweep()

    async def close(self) -> None:
        """Ends all sessions, and with them the streams of their pages."""
        await self.sessions.close()
        if self._by_provider is not None:
            await self._by_provider.provider.close()


def application(ports: Ports, sessions: Sessions) -> FastAPI:
    app = FastAPI(title="Sidegate", openapi_url=None, docs_url=None, redoc_url=None, dependencies=[Depends(genuine)])
    app.state.sessions, app.state.region = sessions, ports.region
    app.state.public_url, app.state.by_provider = ports.public_url, ports.by_provider
    app.state.door = Door(ports.places, sessions, ports.attempts)
    answer_refusals(app)
    for room in ROOMS:
        app.include_router(room.router)
    app.mount("/static", Files(directory=STATIC))
    return app
