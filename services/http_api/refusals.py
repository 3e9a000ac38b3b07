"""From whatever goes wrong to an answer: one table from our errors to the API's codes."""

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from services.http_api.error_codes import AWAY, CODES, THROTTLED, UNKNOWN_PATH, WRONG_METHOD, Code
from services.http_api.errors import Refused, body
from services.http_api.refusal_table import FIELDS, KINDS, MISSING, NOT_THERE, REASONS, STATES, TOO_MANY, By
from sidegate import errors

log = structlog.get_logger(__name__)

INDEX = re.compile(r"\[[^\]]*\]")
INVALID = "0002"
LONGEST_TEXT = 500


def refused(error: errors.SidegateError) -> Refused:
    """The refusal that an error of the services amounts to."""
    code = _code(error)
    after = 1.0 if error.retry_after is None and code in (THROTTLED, AWAY) else error.retry_after
    return Refused(code, error.text, {} if after is None else {"Retry-After": str(max(1, round(after)))})


def _code(error: errors.SidegateError) -> str | Code:
    match REASONS.get(error.reason):
        case By.FIELD:
            return FIELDS.get(INDEX.sub("", error.field).rpartition(".")[2], INVALID)
        case By.KIND:
            return NOT_THERE.get(error.metadata.get("kind", ""), "0005")
        case By.STATE:
            return STATES.get(error.metadata.get("state", ""), "1004")
        case None:
            return next(KINDS[kind] for kind in type(error).__mro__ if kind in KINDS)
        case code:
            return code


def invalid(found: Sequence[Any]) -> Refused:
    """The refusal that a malformed request amounts to: its first fault."""
    first = found[0]
    place = [str(part) for part in first["loc"]]
    names = [name for name in place[1:] if not name.isdigit()]
    text = f"{'.'.join(place[1:])}: {first['msg']}."[:LONGEST_TEXT]
    if not names and first["input"] is None:
        return Refused("2002")
    special = {"missing": MISSING, "too_long": TOO_MANY}.get(first["type"], {})
    by_field = next((FIELDS[name] for name in reversed(names) if name in FIELDS), INVALID)
    code = next((special[name] for name in reversed(names) if name in special), by_field)
    return Refused(code, text)


def answer(refusal: Refused) -> Response:
    return JSONResponse(refusal.body, refusal.code.status, refusal.headers)


def answer_refusals(app: FastAPI) -> None:
    @app.exception_handler(Refused)
    async def on_refused(_request: Request, error: Refused) -> Response:
        return answer(error)

    @app.exception_handler(errors.SidegateError)
    async def on_error(_request: Request, error: errors.SidegateError) -> Response:
        return answer(refused(error))

    @app.exception_handler(RequestValidationError)
    async def on_invalid(_request: Request, error: RequestValidationError) -> Response:
        return answer(invalid(error.errors()))

    @app.exception_handler(HTTPException)
    async def on_http(request: Request, error: HTTPException) -> Response:
        match error.status_code:
            case HTTPStatus.NOT_FOUND:
                code = UNKNOWN_PATH
            case HTTPStatus.METHOD_NOT_ALLOWED:
                return JSONResponse(
                    body(WRONG_METHOD), WRONG_METHOD.status, {"Allow": request.app.state.methods_of(request.url.path)}
                )
            case _:
                code = CODES[INVALID]
        return JSONResponse(body(code), code.status, error.headers)

    @app.exception_handler(Exception)
    async def on_unexpected(_request: Request, error: Exception) -> Response:
        log.error("unexpected error", exc_info=error)
        return JSONResponse(body(CODES["0001"]), HTTPStatus.INTERNAL_SERVER_ERROR)
