"""What a service says of itself, and the private name that its owner shows to be his."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from services.console.pages import amounts
from services.console.pages.forms import typed
from services.console.pages.problems import Problem, problem_of
from services.console.pages.rendering import to
from services.console.pages.words import gettext as _
from services.console.publishing import options
from services.console.publishing.about import tab
from services.console.sessions.access import Signed
from services.console.sessions.session import Session
from sidegate import errors
from sidegate.api.registry.v1.endpoint_service_pb2 import EndpointService, PrivateName

router = APIRouter()


@router.get("/services/{id_}/settings")
async def settings(request: Request, id_: str, session: Signed) -> Response:
    return await _shown(request, session, id_)


@router.post("/services/{id_}/name/verify")
async def verify(request: Request, id_: str, session: Signed) -> Response:
    form = await typed(request)
    try:
        service = await session.client.services.verify_name(id_, request_id=form.request_id)
    except errors.SidegateError as error:
        return await _shown(request, session, id_, problem_of(error))
    session.say(_("%(name)s is shown to be yours.", name=service.private_name.name))
    return to(f"/services/{id_}/settings")


async def _shown(request: Request, session: Session, id_: str, problem: Problem | None = None) -> Response:
    service = await session.client.services.get(id_)
    return tab(
        request,
        session,
        service,
        "settings",
        problem.status if problem else 200,
        problem=problem,
        length=amounts.length,
        short=amounts.short,
        verified=service.private_name.state == PrivateName.STATE_VERIFIED,
        port_identities=dict(options.of_forms(operator=True)["port_identities"]),
        identity_name=EndpointService.ClientIdentity.Name,
    )
