"""Templates to answers."""

import uuid
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from pathlib import Path

from babel.dates import format_datetime
from babel.numbers import format_decimal
from fastapi import Request
from google.protobuf.timestamp_pb2 import Timestamp
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import HTMLResponse, RedirectResponse, Response

from services.console.pages import states, words
from services.console.sessions.access import session_of, token_of

HERE = Path(__file__).parent.parent
STATIC = HERE / "static"
THOUSAND = 1000
THEMES = ("auto", "light", "dark")


def page(request: Request, template: str, status: int = 200, /, **context: object) -> Response:
    """A whole page, or a part of one: whatever the template makes. Everything that is put in is escaped."""
    return HTMLResponse(render(request, template, **context), status)


def render(request: Request, template: str, /, **context: object) -> str:
    """What a template makes, for an answer that has more than that."""
    return _environment().get_template(template).render(_around(request) | context)


def alone(template: str, /, **context: object) -> str:
    """What a template makes where there is no application to ask around in."""
    return _environment().get_template(template).render(context)


def to(path: str) -> Response:
    """Where the browser goes on after a form: a reload of that page sends nothing again."""
    return RedirectResponse(path, 303)


def _around(request: Request) -> dict[str, object]:
    """What every template may use."""
    session = session_of(request)
    theme = request.cookies.get("sidegate-theme", "auto")
    return {
        "request": request,
        "session": session,
        "csrf": token_of(request),
        "notices": session.said() if session and "hx-request" not in request.headers else [],
        "language": words.language(),
        "languages": words.LANGUAGES,
        "tags": words.TAGS,
        "theme": theme if theme in THEMES else "auto",
        "here": request.url.path,
        "problem": None,
        "form": None,
    }


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n", "jinja2.ext.do"],
    )
    environment.install_gettext_callables(words.gettext, words.ngettext, newstyle=False)  # type: ignore[attr-defined]
    environment.globals |= {
        "static": static,
        "request_id": lambda: str(uuid.uuid4()),
        "state_of": states.of,
        "state_word": states.said,
    }
    environment.filters |= {"moment": moment, "number": number, "size": size}
    return environment


@cache
def static(name: str) -> str:
    """The path of a file below static/: another one when its content is, so that browsers may keep it for ever."""
    return f"/static/{name}?v={sha256((STATIC / name).read_bytes()).hexdigest()[:12]}"


def moment(at: Timestamp | datetime | None) -> Markup:
    """A time as `<time>`: UTC, which the page turns into the reader's own; a dash for none."""
    if at is None or (isinstance(at, Timestamp) and not at.ByteSize()):
        return Markup("–")
    when = at.ToDatetime(UTC) if isinstance(at, Timestamp) else at.astimezone(UTC)
    said = format_datetime(when, "medium", tzinfo=UTC, locale=words.locale())
    return Markup('<time datetime="{}">{} UTC</time>').format(when.isoformat(timespec="milliseconds"), said)


def number(value: float) -> str:
    return format_decimal(value, locale=words.locale())


def size(octets: float) -> str:
    """Bytes as people read them: 1.5 kB, by thousands."""
    for unit in ("B", "kB", "MB", "GB", "TB", "PB"):
        if octets < THOUSAND or unit == "PB":
            break
        octets /= THOUSAND
    return f"{format_decimal(round(octets, 1), locale=words.locale())} {unit}"
