"""The application: every room's routes, and what stands around all of them."""

from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version

from fastapi import FastAPI
from starlette.types import ASGIApp

from services.common.https.observing import Observing
from services.http_api import iam, own, vpc, vpcep
from services.http_api.auth.recognition import Recognition
from services.http_api.document import documented
from services.http_api.limits import Gate, Limits, limited
from services.http_api.observing import Numbers
from services.http_api.refusals import answer_refusals
from services.http_api.slashes import Slashes

ABOUT = "The VPCEP API as the official Huawei Cloud SDK and Terraform speak it, served by Sidegate."


@dataclass(frozen=True)
class Ports:
    """What the application works with."""

    recognition: Recognition
    region: str
    limits: Limits

    @cached_property
    def gate(self) -> Gate:
        """Where the limits are kept count of."""
        return Gate(self.limits)


def application(ports: Ports) -> FastAPI:
    """The routes and their document, with nothing around them."""
    app = FastAPI(title="Sidegate", version=version("sidegate"), description=ABOUT, docs_url=None, redoc_url=None)
    app.state.recognition, app.state.region = ports.recognition, ports.region
    app.state.gate = ports.gate
    answer_refusals(app)
    for room in (own, iam, vpc, vpcep):
        for router in room.ROUTERS:
            app.include_router(router)
    documented(app)
    return app


def build(ports: Ports) -> ASGIApp:
    """As it is served: observed, then limited."""
    return Observing(limited(Slashes(application(ports)), ports.gate), Numbers())
