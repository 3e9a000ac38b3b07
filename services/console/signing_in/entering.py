"""The door itself, and having come in: the cookie of a session that is new, and the end of the one before."""

from fastapi import Request
from starlette.responses import Response

from services.console.pages.forms import Typed
from services.console.pages.problems import Problem
from services.console.pages.rendering import page, to
from services.console.sessions.access import COOKIE, session_of


def door(request: Request, form: Typed, onward: str, problem: Problem | None = None) -> Response:
    """Who comes with the cookie of a session that is over is told so, once."""
    by = request.app.state.by_provider
    called, ended = by.provider.known.called if by else "", COOKIE in request.cookies and problem is None
    told = {"form": form, "onward": onward, "problem": problem, "provider": called, "ended": ended}
    answer = page(request, "signing_in/sign_in.html", problem.status if problem else 200, **told)
    if ended:
        forget(answer)
    return answer


def entered(request: Request, cookie: str, onward: str) -> Response:
    """Onward, with the session's cookie. It is another one than any that was there: nobody can have set it before."""
    if (before := session_of(request)) is not None:
        request.app.state.sessions.end(before)
    answer = to(onward)
    answer.set_cookie(COOKIE, cookie, path="/", secure=True, httponly=True, samesite="lax")
    return answer


def forget(answer: Response) -> None:
    answer.delete_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="lax")


def peer_of(request: Request) -> str:
    return request.client.host if request.client else ""
