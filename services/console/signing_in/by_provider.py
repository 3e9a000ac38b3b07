"""The way in by an OpenID provider: to it, and back with what it says."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import quote, unquote

import structlog
from fastapi import APIRouter, Query, Request
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from services.console.pages import words
from services.console.pages.forms import Typed
from services.console.pages.paths import inside
from services.console.pages.problems import Problem
from services.console.pages.rendering import to
from services.console.pages.words import gettext as _
from services.console.sessions.access import VISIT, session_of, visit_of
from services.console.signing_in.entering import door, entered, peer_of
from services.console.signing_in.keys import Door, TooMany
from services.console.signing_in.people import Unknown, Unreadable, credential_for, name_of
from services.console.signing_in.provider import Away, Provider, Refused, Unproven
from services.console.signing_in.ways import Astray, Ways
from sidegate import errors

BACK = "/sign-in/provider/back"
ONWARD = "__Host-sidegate-onward"
SECONDS = 600

Said = Annotated[str, Query(max_length=4000)]

router = APIRouter()
log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class ByProvider:
    """`people` is the file that says who is whom."""

    provider: Provider
    people: Path
    ways: Ways


@router.get("/sign-in/provider")
async def go(request: Request, onward: Annotated[str, Query(alias="next", max_length=2000)] = "/") -> Response:
    """To the provider. A link, not a form: pages may send forms nowhere but here."""
    by = _configured(request)
    if session_of(request) is not None:
        return to(inside(onward))
    way = by.ways.begin(visit_of(request))
    try:
        url = await by.provider.where(way, _back(request), words.TAGS[words.language()])
    except Away as error:
        return _not_in(request, error, inside(onward))
    answer = RedirectResponse(url, 303)
    answer.set_cookie(ONWARD, quote(inside(onward)), SECONDS, path="/", secure=True, httponly=True, samesite="lax")
    return answer


@router.get(BACK)
async def back(request: Request, code: Said = "", state: Said = "", error: Said = "", iss: Said = "") -> Response:
    """From the provider, with a code for which it says who somebody is."""
    by, onward = _configured(request), inside(unquote(request.cookies.get(ONWARD, "/")))
    try:
        if error:  # it lets nobody in, whoever says so: providers leave out the state here
            raise Denied(error)
        way = by.ways.back(state, request.cookies.get(VISIT, ""))
        if iss not in ("", by.provider.known.issuer):
            raise Astray("it comes from another provider")
        if not code:
            raise Denied
        keys: Door = request.app.state.door
        async with keys.attempt(peer_of(request)):
            claims = await by.provider.who(code, way, _back(request))
            credential = await asyncio.to_thread(credential_for, by.people, claims)
            session, cookie = await keys.admit(credential, name_of(claims))
    except (*WHY, errors.SidegateError) as refusal:
        return _not_in(request, refusal, onward)
    who = {"person": session.person, "subject": str(claims["sub"])[:255], "access_key": session.access_key}
    log.info("signed in", **who, account=session.account, project=session.project, peer=peer_of(request))
    answer = entered(request, cookie, onward)
    answer.delete_cookie(ONWARD, path="/", secure=True, httponly=True, samesite="lax")
    return answer


class Denied(Exception):
    """The provider sends somebody back without a code; the text is its word for why."""


WHY = (Away, Refused, Unproven, Astray, Denied, Unknown, Unreadable, TooMany)


def _configured(request: Request) -> ByProvider:
    """Raises HTTPException: without a provider there are no such pages."""
    by: ByProvider | None = request.app.state.by_provider
    if by is None:
        raise HTTPException(404)
    return by


def _back(request: Request) -> str:
    """Where the provider sends people: it knows the URL, and takes no other."""
    ours = request.app.state.public_url or f"https://{request.headers.get('host', '')}"
    return f"{ours}{BACK}"


def _not_in(request: Request, error: Exception, onward: str) -> Response:
    log.warning("nobody was let in", peer=peer_of(request), why=type(error).__name__, told=str(error)[:300])
    problem = _why_not(error, request.app.state.by_provider.provider.known.called)
    return door(request, Typed(), onward, problem)


def _why_not(error: Exception, name: str) -> Problem:
    match error:
        case Astray():
            text = _(
                "This sign-in was not begun in this browser, took too long, or has been used already. Begin again."
            )
            return Problem(text, 403, "ASTRAY")
        case Denied() if str(error) == "access_denied":
            return Problem(_("At %(name)s it was said not to let you in here.", name=name), 403, "DENIED")
        case Denied() | Refused():
            text = _("%(name)s did not say who you are. Begin again.", name=name)
            return Problem(text, 403, "DENIED", detail=_code(str(error)))
        case Unproven():
            text = _("What %(name)s said proves nothing: nobody was let in. Tell the operator of Sidegate.", name=name)
            return Problem(text, 403, "UNPROVEN")
        case Unknown():
            text = _("%(name)s knows you, and Sidegate does not: ask its operator for access.", name=name)
            return Problem(text, 403, "UNKNOWN_PERSON")
        case Unreadable() | errors.Unauthenticated():
            text = _("Sidegate's access key for you is of no use: its operator finds in the console's log why.")
            return Problem(text, 403, "NO_KEY")
        case TooMany():
            return Problem(_("Too many attempts in vain. Wait a minute, then try again."), 429, "TOO_MANY_ATTEMPTS")
        case Away():
            text = _("%(name)s does not answer. Try again in a moment, or come in with an access key.", name=name)
            return Problem(text, 503, "PROVIDER_AWAY")
        case _:
            text = _("The registry does not answer, and only it knows who you are. Try again in a moment.")
            return Problem(text, 503, detail=str(error))


def _code(said: str) -> str:
    """The provider's own word: one of OAuth's, if it is any."""
    return said if said.isascii() and said.replace("_", "").isalpha() else ""
