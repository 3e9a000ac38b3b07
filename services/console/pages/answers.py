"""What is answered where no route does: refusals, what is not there, who is not signed in."""

from urllib.parse import quote, urlsplit

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response
from starlette.routing import Match

from services.console.pages.problems import Problem, problem_of
from services.console.pages.rendering import page, to
from services.console.pages.words import gettext as _
from services.console.sessions.access import (
    FIELD,
    SAFE,
    ForAnother,
    Forged,
    NotSignedIn,
    OperatorsAlone,
    session_of,
    signed_in,
)
from sidegate import errors

log = structlog.get_logger(__name__)


def answer_refusals(app: FastAPI) -> None:
    app.add_exception_handler(NotSignedIn, _not_signed_in)
    app.add_exception_handler(Forged, _forged)
    app.add_exception_handler(ForAnother, _for_another)
    app.add_exception_handler(OperatorsAlone, _not_there)
    app.add_exception_handler(errors.SidegateError, _refused)
    app.add_exception_handler(RequestValidationError, _not_there)
    app.add_exception_handler(HTTPException, _http)


def refused(request: Request, problem: Problem) -> Response:
    """A page of its own, or, where a part of a page was asked for, that part."""
    part = "hx-request" in request.headers
    return page(request, "problem_part.html" if part else "problem.html", problem.status, problem=problem)


async def _not_signed_in(request: Request, _error: Exception) -> Response:
    """To the door, and back here afterwards."""
    path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    back = f"/sign-in?next={quote(path, safe='')}" if request.method in SAFE else "/sign-in"
    if "hx-request" in request.headers:
        onward = quote(_seen(request), safe="")
        return Response(status_code=401, headers={"hx-redirect": f"/sign-in?next={onward}" if onward else "/sign-in"})
    if request.url.path.endswith((".json", "/live")):
        return Response(status_code=401)
    return RedirectResponse(back, 303)


def _seen(request: Request) -> str:
    """The page that a part is asked for on; empty for what is no address."""
    try:
        seen = urlsplit(request.headers.get("hx-current-url", ""))
    except ValueError:
        return ""
    return seen.path + (f"?{seen.query}" if seen.query else "")


async def _forged(request: Request, _error: Exception) -> Response:
    log.warning("a change did not come from a page of ours", path=request.url.path)
    text = _("This form is not of this session: it was open since before you signed in, or it came from elsewhere.")
    return refused(request, Problem(text, 403, "FORGED", way_out=_("Go back, reload the page, and try again.")))


async def _for_another(request: Request, error: Exception) -> Response:
    """With all that was typed: it may be sent for whom the session acts now, or once more as it was."""
    assert isinstance(error, ForAnother)  # noqa: S101 # what it is called for
    owners = {"before": error.owner, "now": (await signed_in(request)).owner}
    text = _("This form was opened for %(before)s, and by now you act for %(now)s. Nothing was done.", **owners)
    if "hx-request" in request.headers:
        way_out = _("Act for %(before)s again in another tab, or reload this page.", before=error.owner)
        answer = refused(request, Problem(text, 409, "FOR_ANOTHER", way_out=way_out))
        answer.headers.update({"hx-retarget": "#refused", "hx-reswap": "innerHTML show:window:top"})
        return answer
    way_out = _(
        "For %(before)s: act for it again in another tab, then reload this page, which sends the form once more.",
        before=error.owner,
    )
    problem = Problem(text, 409, "FOR_ANOTHER", way_out=way_out)
    form = await request.form(max_files=1, max_fields=2000)
    typed = [(name, said) for name, said in form.multi_items() if name != FIELD]
    return page(request, "for_another.html", problem.status, problem=problem, typed=typed, now=owners["now"])


async def _not_there(request: Request, _error: Exception) -> Response:
    return refused(request, Problem(_("There is no such page."), 404, "NOT_FOUND"))


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 # what it is called for
    if error.status_code == 404:
        return await _not_there(request, error)
    if error.status_code == 405 and request.method == "GET":
        return to(_above(request))
    return refused(request, Problem(str(error.detail), error.status_code))


def _above(request: Request) -> str:
    """The nearest page above an address that only answers forms: whoever chose another language on such an answer, or
    comes back to it from the door, reads on there.
    """
    path = request.url.path
    while path := path.rpartition("/")[0]:
        asked = {"type": "http", "method": "GET", "path": path, "root_path": "", "headers": []}
        if any(route.matches(asked)[0] == Match.FULL for route in request.app.routes):
            return path
    return "/"


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, errors.SidegateError)  # noqa: S101 # what it is called for
    session = session_of(request)
    if isinstance(error, errors.Unauthenticated) and session is not None:
        request.app.state.sessions.end(session)  # its key was revoked, or has another secret now
        return await _not_signed_in(request, error)
    if error.reason == errors.CLOSED and session is None:  # he has signed out meanwhile, in another tab
        return await _not_signed_in(request, error)
    return refused(request, problem_of(error))
