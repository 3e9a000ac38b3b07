"""The caller, as routes know it: authenticated before anything of the request's body is read as more than bytes."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from http import HTTPStatus
from typing import Annotated, Any

import structlog
from fastapi import Depends, Path, Security
from fastapi.routing import APIRoute
from fastapi.security import APIKeyHeader
from starlette.requests import Request
from starlette.responses import Response

from services.http_api.auth.recognition import READS, Recognition, Recognized, request_of
from services.http_api.auth.wish import KEY, quoted, wish_of
from services.http_api.errors import Refused
from services.http_api.limits import Gate
from services.http_api.upstream import Acting, Wish

ONCE = "x-sidegate-once"
CREATES: dict[str, Any] = {ONCE: True}
"""`openapi_extra` of routes that make something new each time: the very same request is served once."""

PROJECT_ID_LENGTH = 32

SIGNATURE = APIKeyHeader(
    name="Authorization",
    scheme_name="signature",
    description="SDK-HMAC-SHA256 Access=KEY, SignedHeaders=..., Signature=...; as the SDK makes it, with X-Sdk-Date",
    auto_error=False,
)
TOKEN = APIKeyHeader(
    name="X-Auth-Token", scheme_name="token", description="A token of POST /v3/auth/tokens", auto_error=False
)


NO_WISH = Wish()

Handler = Callable[[Request], Awaitable[Response]]


class SignedRoute(APIRoute):
    """A route for callers who prove who they are. `app.state.recognition` knows how."""

    def get_route_handler(self) -> Handler:  # type: ignore[override] # Coroutine
        handle = super().get_route_handler()
        once = bool((self.openapi_extra or {}).get(ONCE))

        async def authenticated(request: Request) -> Response:
            recognition: Recognition = request.app.state.recognition
            came = request_of(request.scope, request.headers.raw, await request.body())
            peer = request.client.host if request.client else ""
            # With a key of its own a request makes nothing new when it is said again.
            found = await recognition.identify(came, peer, once=once and KEY not in request.headers)
            who = found.acting
            structlog.contextvars.bind_contextvars(account=who.account, project=who.project, access_key=who.access_key)
            gate: Gate = request.app.state.gate
            with gate.turn(found.acting.access_key, peer):
                wish = NO_WISH if request.method in READS else wish_of(request.headers.raw, found.signed)
                request.state.recognized = replace(found, acting=replace(found.acting, wish=wish))
                return await _answered(handle, request, request.state.recognized.acting)

        return authenticated


async def _answered(handle: Handler, request: Request, caller: Acting) -> Response:
    """The answer, with the etag of what it is about."""
    response = await handle(request)
    if caller.seen.etag and response.status_code == HTTPStatus.OK:
        response.headers["ETag"] = quoted(caller.seen.etag)
    return response


def recognized(request: Request) -> Recognized:
    found: Recognized = request.state.recognized
    return found


def acting(
    found: Annotated[Recognized, Depends(recognized)],
    _signature: Annotated[str | None, Security(SIGNATURE)] = None,
    _token: Annotated[str | None, Security(TOKEN)] = None,
) -> Acting:
    return found.acting


def acting_in_project(
    found: Annotated[Acting, Depends(acting)],
    project_id: Annotated[str, Path(description="The id of the caller's project: 32 hexadecimal digits")],
) -> Acting:
    """The caller, for paths that name a project: it must be his."""
    if project_id == found.project_id:
        return found
    if len(project_id) != PROJECT_ID_LENGTH or not project_id.isalnum():
        raise Refused("0014", "The path needs the id of your project: `project_id` of the credential.")
    raise Refused("0004", "The access key is another project's than the path.")


Caller = Annotated[Acting, Depends(acting)]
"""Whoever asks."""

ProjectCaller = Annotated[Acting, Depends(acting_in_project)]
"""Whoever asks, in the project that the path names by `{project_id}`."""
