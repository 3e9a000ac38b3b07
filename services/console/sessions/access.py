"""How routes are told who asks, and how a request is known to come from a page of ours."""

import hmac
import re
import secrets
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request

from services.console.sessions.session import Session
from services.console.sessions.store import Sessions

COOKIE = "__Host-sidegate-session"
VISIT = "__Host-sidegate-visit"
FIELD, HEADER = "csrf", "x-csrf-token"
POLL = "x-sidegate-poll"
"""What a page asks by itself, by this header, keeps no session alive."""

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
OF_ANY_PAGE = re.compile(r"/(act-for|choose|sign-out|operator/.*)")
"""What is the same, whomever the session acts for."""

FORMS = ("", "application/x-www-form-urlencoded")
"""What a page of ours sends, or nothing. A form in parts names a decoder itself: some take minutes for a megabyte."""


class NotSignedIn(Exception):
    """The page is for those who are."""


class Forged(Exception):
    """The request changes something, and does not come from a page that this session was given."""


class ForAnother(Exception):
    """The form is on a page of `owner`, for whom the session does not act any more."""

    def __init__(self, owner: str) -> None:
        super().__init__(owner)
        self.owner = owner


class OperatorsAlone(Exception):
    """The page is the operator's."""


def session_of(request: Request) -> Session | None:
    """Whose request it is, if anybody's."""
    sessions: Sessions = request.app.state.sessions
    session = sessions.find(request.cookies.get(COOKIE, ""), touch=POLL not in request.headers)
    if session is not None:
        request.state.who = session.who
    return session


async def signed_in(request: Request) -> Session:
    """Raises NotSignedIn."""
    if (session := session_of(request)) is None:
        raise NotSignedIn
    return session


async def operators(request: Request) -> Session:
    """Raises NotSignedIn, and OperatorsAlone. What it may do is decided by the services all the same."""
    session = await signed_in(request)
    if not session.is_operator:
        raise OperatorsAlone
    return session


Signed = Annotated[Session, Depends(signed_in)]
Operator = Annotated[Session, Depends(operators)]


def token_of(request: Request) -> str:
    """What forms of this visitor carry: the session's, or, before there is one, his visit's."""
    session = session_of(request)
    return session.csrf if session else visit_of(request)


def visit_of(request: Request) -> str:
    """Random, the same for all of a visitor's requests; made where he has none yet."""
    made = getattr(request.state, "visit", "")
    request.state.visit = request.cookies.get(VISIT, "") or made or secrets.token_urlsafe(32)
    return str(request.state.visit)


def _host_of(origin: str) -> str:
    """Empty for what is no address."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


async def genuine(request: Request) -> None:
    """Lets through what changes nothing, and what a page of ours sends. Raises Forged and ForAnother."""
    if request.method in SAFE:
        return
    ours = (request.headers.get("host", ""), urlsplit(request.app.state.public_url).netloc)
    if (origin := request.headers.get("origin", "")) and (_host_of(origin) or "null") not in ours:
        raise Forged
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise Forged
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() not in FORMS:
        raise Forged
    given = request.headers.get(HEADER, "") or str((await request.form(max_files=1, max_fields=2000)).get(FIELD, ""))
    if (session := session_of(request)) is None:
        visit = request.cookies.get(VISIT, "")
        if not visit or not hmac.compare_digest(given.encode(), visit.encode()):
            raise Forged
    elif (owner := session.given_for(given)) is None:
        raise Forged
    elif owner != session.owner and not OF_ANY_PAGE.fullmatch(request.url.path):
        raise ForAnother(owner)
