"""The door's pages."""

from typing import Annotated

import structlog
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from services.console.pages.forms import Typed, typed
from services.console.pages.paths import inside
from services.console.pages.problems import Problem
from services.console.pages.rendering import THEMES, to
from services.console.pages.words import TAGS
from services.console.pages.words import gettext as _
from services.console.sessions.access import Operator, Signed, session_of
from services.console.sessions.session import Session
from services.console.signing_in import by_provider
from services.console.signing_in.entering import door, entered, forget, peer_of
from services.console.signing_in.keys import Door, TooMany
from sidegate import errors

YEAR = 31_536_000

router = APIRouter()
router.include_router(by_provider.router)
log = structlog.get_logger(__name__)

Next = Annotated[str, Query(alias="next", max_length=2000)]


@router.get("/sign-in")
async def ask(request: Request, onward: Next = "/") -> Response:
    if session_of(request) is not None:
        return to(inside(onward))
    return door(request, Typed(), inside(onward))


@router.post("/sign-in")
async def enter(request: Request) -> Response:
    form = await typed(request)
    onward, key, secret = inside(form.text("next", "/")), form.text("access_key"), form.text("secret_key")
    keys: Door = request.app.state.door
    peer = peer_of(request)
    try:
        if not key or not secret:
            raise errors.InvalidRequest("", field="secret_key" if key else "access_key")
        session, cookie = await keys.enter(key, secret, peer)
    except (errors.SidegateError, TooMany) as error:
        log.warning("nobody was let in", access_key=key[:64], peer=peer, why=type(error).__name__)
        return door(request, form, onward, _why_not(error))
    log.info("signed in", access_key=key, account=session.account, project=session.project, peer=peer)
    return entered(request, cookie, onward)


def _why_not(error: errors.SidegateError | TooMany) -> Problem:
    match error:
        case TooMany():
            text = _("Too many attempts in vain. Wait a minute, then try again.")
            return Problem(text, 429, "TOO_MANY_ATTEMPTS")
        case errors.Unauthenticated():
            text = _(
                "This access key and secret do not let anybody in: one of them is mistyped, or the key is revoked."
            )
            return Problem(text, 401, error.reason)
        case errors.InvalidRequest() if not error.text:
            return Problem(_("Both are needed."), 422, "BAD_FIELD", field=error.field)
        case errors.InvalidRequest():
            return Problem(_("This is no access key."), 422, error.reason, field="access_key")
        case _:
            text = _("The registry does not answer, and only it knows who you are. Try again in a moment.")
            return Problem(text, 503, error.reason, detail=error.text)


@router.post("/sign-out")
async def leave(request: Request, session: Signed) -> Response:
    request.app.state.sessions.end(session)
    answer = to("/sign-in")
    forget(answer)
    answer.headers["clear-site-data"] = '"cache"'
    return answer


@router.post("/choose")
async def choose(request: Request) -> Response:
    """A language or a theme: kept in the browser, for a year."""
    form = await typed(request)
    answer = to(inside(form.text("next", "/")))
    for name, known in (("language", tuple(TAGS.values())), ("theme", THEMES)):
        if (value := form.text(name)) in known:
            answer.set_cookie(f"sidegate-{name}", value, YEAR, path="/", secure=True, httponly=True, samesite="lax")
    return answer


@router.post("/act-for")
async def act_for(request: Request, session: Operator) -> Response:
    """The operator goes on as an account's project, or, where none is named, as itself again. Raises NotFound."""
    form = await typed(request)
    account, _slash, project = form.text("owner").partition("/")
    if account:
        await _check(session, account, project or "default")
    await session.act_for(account, project or "default")
    return to(inside(form.text("next", "/")))


async def _check(session: Session, account: str, project: str) -> None:
    """Whether there is this project: services answer for one that is not, too, as for one that has nothing."""
    if project not in (await session.own.accounts.get(account)).projects:
        raise errors.NotFound(f"account {account} has no project {project[:63]}", reason="NOT_FOUND")
