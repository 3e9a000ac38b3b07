"""What stands around every page: the reader's language, and headers that keep others out of it."""

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.console.pages import words
from services.console.sessions.access import VISIT

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "strict-transport-security": "max-age=31536000",
}
COOKIES = "; Path=/; Secure; HttpOnly; SameSite=Lax"


class Around:
    """Pages are kept by no cache; what is below /static/ and has its content in its address is kept."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        scope.setdefault("state", {})

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("cache-control", _kept(request))
                visit = scope["state"].get("visit", "")
                if visit and VISIT not in request.cookies:
                    headers.append("set-cookie", f"{VISIT}={visit}{COOKIES}")
            await send(message)

        accepted = request.headers.get("accept-language", "")[:200]
        with words.speaking(words.chosen(request.cookies.get("sidegate-language", ""), accepted)):
            await self._app(scope, receive, sending)


def _kept(request: Request) -> str:
    """Modules name each other without what is in them: a browser asks whether it is still the same."""
    if not request.url.path.startswith("/static/"):
        return "no-store"
    return "public, max-age=31536000, immutable" if "v" in request.query_params else "no-cache"
