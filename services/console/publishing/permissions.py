"""Who may connect to a service."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from services.console.pages.forms import Typed, typed
from services.console.pages.problems import Problem, problem_of
from services.console.pages.rendering import to
from services.console.pages.words import gettext as _
from services.console.publishing import said
from services.console.publishing.about import tab
from services.console.publishing.permits import spoken
from services.console.publishing.placing import placed
from services.console.sessions.access import Signed
from services.console.sessions.session import Session
from sidegate import errors

router = APIRouter()


@router.get("/services/{id_}/permissions")
async def permissions(request: Request, id_: str, session: Signed) -> Response:
    return await _shown(request, session, id_, Typed())


@router.post("/services/{id_}/permissions")
async def change(request: Request, id_: str, session: Signed) -> Response:
    form = await typed(request)
    try:
        await _done(session, id_, form)
    except said.Wrong as wrong:
        return await _shown(request, session, id_, form, wrong.problem)
    except errors.SidegateError as error:
        return await _shown(request, session, id_, form, problem_of(error))
    return to(f"/services/{id_}/permissions")


async def _done(session: Session, id_: str, form: Typed) -> None:
    services = session.client.services
    match form.text("do"):
        case "add":
            if not (wanted := said.permissions(form)):
                raise said.Wrong("permissions", _("Name an account, or * for everybody."))
            description = form.text("permission_description") or None
            await services.permit(id_, wanted, description=description, request_id=form.request_id)
            session.say(_("They may connect: %(who)s.", who=", ".join(map(spoken, wanted))))
        case "remove" | "end" as what:
            gone, end = form.all("permission"), what == "end"
            await services.forbid(id_, gone, end_connections=end, request_id=form.request_id)
            session.say(_("They may connect no more: %(who)s.", who=", ".join(map(spoken, gone))))
        case _other:
            raise errors.InvalidRequest(_("This is none of the choices."))


async def _shown(request: Request, session: Session, id_: str, form: Typed, problem: Problem | None = None) -> Response:
    service = await session.client.services.get(id_)
    return tab(
        request,
        session,
        service,
        "permissions",
        problem.status if problem else 200,
        spoken=spoken,
        form=form,
        problem=placed(problem, form) if problem else None,
    )
