"""From whatever goes wrong to an answer: one table from our errors to the API's codes."""

from collections.abc import Mapping
from http import HTTPStatus

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from services.http_api.error_codes import CODES, UNKNOWN_PATH, WRONG_METHOD, Code
from services.http_api.errors import Refused, body
from sidegate import errors

log = structlog.get_logger(__name__)

KINDS: Mapping[type[errors.SidegateError], str | Code] = {
    errors.InvalidRequest: "0002",
    errors.NotFound: "0005",
    errors.AlreadyExists: "0002",
    errors.WrongState: "1004",
    errors.QuotaReached: "1018",
    errors.Outdated: Code("EndPoint.1004", HTTPStatus.CONFLICT, "Invalid request."),
    errors.Forbidden: "0004",
    errors.Unauthenticated: "0003",
    errors.OutOfRange: "0002",
    errors.TimedOut: "0013",
    errors.Unavailable: Code("EndPoint.0001", HTTPStatus.SERVICE_UNAVAILABLE, "System error. Please retry."),
    errors.Unexpected: "0001",
}
"""What a kind of error is, where its reason has no code of its own."""

REASONS: Mapping[str, str] = {}


def refused(error: errors.SidegateError) -> Refused:
    """The refusal that an error of the services amounts to."""
    kind = next(KINDS[kind] for kind in type(error).__mro__ if kind in KINDS)
    headers = {"Retry-After": str(max(1, round(error.retry_after)))} if error.retry_after is not None else {}
    return Refused(REASONS.get(error.reason, kind), error.text, headers)


def answer_refusals(app: FastAPI) -> None:
    @app.exception_handler(Refused)
    async def on_refused(_request: Request, error: Refused) -> Response:
        return JSONResponse(error.body, error.code.status, error.headers)

    @app.exception_handler(errors.SidegateError)
    async def on_error(request: Request, error: errors.SidegateError) -> Response:
        return await on_refused(request, refused(error))

    @app.exception_handler(RequestValidationError)
    async def on_invalid(_request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"][1:])
        return JSONResponse(body(CODES["0002"], f"{place}: {first['msg']}"), HTTPStatus.BAD_REQUEST)

    @app.exception_handler(HTTPException)
    async def on_http(_request: Request, error: HTTPException) -> Response:
        code = WRONG_METHOD if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED else UNKNOWN_PATH
        return JSONResponse(body(code), code.status, error.headers)

    @app.exception_handler(Exception)
    async def on_unexpected(_request: Request, error: Exception) -> Response:
        log.error("unexpected error", exc_info=error)
        return JSONResponse(body(CODES["0001"]), HTTPStatus.INTERNAL_SERVER_ERROR)
