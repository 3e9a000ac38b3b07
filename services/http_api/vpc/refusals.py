"""What the VPC API refuses with: codes of its own, and 409 where something is in use, since clients try again then."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fastapi import APIRouter
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from services.http_api.auth.caller import SignedRoute
from services.http_api.error_codes import Code
from services.http_api.errors import Refused
from services.http_api.refusals import refused
from sidegate import errors

WRONG = Code("VPC.0101", 400, "A parameter is wrong.")
NAME_TAKEN = Code("VPC.0115", 400, "The name is taken.")
QUOTA = Code("VPC.0114", 409, "There are as many as there may be.")
CHANGED = Code("VPC.0110", 409, "It was changed meanwhile.")
RANGE_TAKEN = Code("VPC.0204", 400, "The range overlaps that of another subnet.")

NOT_FOUND: Mapping[str, Code] = {
    "vpc": Code("VPC.0003", 404, "The VPC does not exist."),
    "subnet": Code("VPC.0202", 404, "The subnet does not exist."),
    "port": Code("VPC.1002", 404, "The port does not exist."),
    "route_table": Code("VPC.2701", 404, "The route table does not exist."),
}
IN_USE: Mapping[str, Code] = {
    "VPC_IN_USE": Code("VPC.0104", 409, "The VPC is in use."),
    "SUBNET_IN_USE": Code("VPC.0209", 409, "The subnet is in use."),
    "ROUTE_TABLE_IN_USE": Code("VPC.2703", 409, "The route table is in use."),
    "PORT_OF_ENDPOINT": Code("VPC.1003", 409, "The port is in use."),
}
SUBJECTS = {"vpcs": "vpc", "subnets": "subnet", "ports": "port", "routetables": "route_table"}
"""What a path is about, by its last word that is one of these."""


class ErrorAnswer(BaseModel):
    error_code: str
    error_msg: str


ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorAnswer} for status in (400, 401, 403, 404, 405, 409, 413, 429, 500, 503, 504)
}


def unsupported(name: str, instead: str) -> Refused:
    """For what Sidegate would not do: taking it in silence would promise it."""
    return Refused(WRONG, f"{name} is not supported here: {instead}.")


def translated(error: errors.SidegateError, path: str) -> Refused:
    """The VPC API's refusal for an error of the registry."""
    subject = next((SUBJECTS[word] for word in reversed(path.split("/")) if word in SUBJECTS), "vpc")
    match error:
        case errors.NotFound():
            return Refused(NOT_FOUND.get(error.metadata.get("kind", ""), NOT_FOUND[subject]), error.text)
        case errors.InvalidRequest(field="id"):
            return Refused(NOT_FOUND[subject])
        case errors.InvalidRequest(reason="CIDR_OVERLAPS"):
            return Refused(RANGE_TAKEN if subject == "subnet" else WRONG, error.text)
        case errors.InvalidRequest():
            return Refused(WRONG, error.text)
        case errors.AlreadyExists():
            return Refused(NAME_TAKEN if error.reason == "NAME_TAKEN" else WRONG, error.text)
        case errors.WrongState():
            return Refused(IN_USE.get(error.reason, CHANGED), error.text)
        case errors.QuotaReached():
            return Refused(QUOTA, error.text)
        case errors.Outdated():
            return Refused(CHANGED, error.text)
        case _:
            return refused(error)


class VpcRoute(SignedRoute):
    """A route of the VPC API: what goes wrong has its codes."""

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override] # Coroutine
        handle = super().get_route_handler()

        async def handled(request: Request) -> Response:
            try:
                return await handle(request)
            except errors.SidegateError as error:
                raise translated(error, request.url.path) from error
            except RequestValidationError as error:
                first = error.errors()[0]
                place = ".".join(str(part) for part in first["loc"][1:])
                raise Refused(WRONG, f"{place}: {first['msg']}") from error

        return handled


def router(tag: str) -> APIRouter:
    return APIRouter(tags=[tag], route_class=VpcRoute, responses=ERRORS)
