"""The OpenAPI document: what the routes say of themselves, and what is so of every one of them."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.routing import compile_path

WRITES = frozenset({"post", "put", "patch", "delete"})
METHODS = WRITES | {"get", "head", "options"}
ERROR = "Error"
INVALID = "422"
"""What FastAPI says that an invalid request is answered with: here it is 400, in the form of every refusal."""

Node = dict[str, Any]

EVERYBODYS: Mapping[int, str] = {
    400: "The request is wrong.",
    405: "The path has other methods: see Allow.",
    408: "The request came too slowly.",
    413: "The body is too large.",
    429: "Too many requests: see Retry-After.",
    431: "The head is too large.",
    500: "A fault of the server's.",
    503: "Something behind the API is away: try again.",
}
CALLERS: Mapping[int, str] = {
    401: "Nobody who could be believed.",
    403: "Not his to do.",
    404: "Not there, or not his.",
    504: "No answer in time: whether it was done is unknown; repeat it with its X-Idempotency-Key.",
}
WRITERS: Mapping[int, str] = {
    409: "It is another one already, or changed meanwhile.",
    412: "It is not the one that If-Match names.",
}

HEADERS: Node = {"X-Request-Id": {"description": "Names the request.", "schema": {"type": "string"}}}
TAGGED: Node = {
    **HEADERS,
    "ETag": {"description": "For If-Match, where the answer is one resource.", "schema": {"type": "string"}},
}
WISHES: list[Node] = [
    {
        "name": "X-Idempotency-Key",
        "in": "header",
        "description": "Repeated with the same key, a write gives its first answer again. Sidegate's own.",
        "schema": {"type": "string", "pattern": "^[!-~]{1,64}$"},
    },
    {
        "name": "If-Match",
        "in": "header",
        "description": "The ETag that the resource must still have. Sidegate's own.",
        "schema": {"type": "string", "pattern": '^("?[A-Za-z0-9._-]{1,32}"?|\\*)$'},
    },
    {
        "name": "X-Validate-Only",
        "in": "header",
        "description": "Only say what would come of it; nothing is changed. Sidegate's own.",
        "schema": {"type": "string", "enum": ["true", "false"]},
    },
]
ERROR_SCHEMA: Node = {
    "type": "object",
    "description": "Why a request was refused.",
    "required": ["error_code", "error_msg"],
    "properties": {"error_code": {"type": "string"}, "error_msg": {"type": "string"}},
}


def documented(app: FastAPI) -> None:
    """Has the application serve the completed document."""

    def openapi() -> Node:
        if app.openapi_schema is None:
            app.openapi_schema = complete(
                get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            )
        return app.openapi_schema

    vars(app)["openapi"] = openapi
    app.state.methods_of = lambda path: ", ".join(methods_of(openapi(), path))


def methods_of(document: Node, path: str) -> Sequence[str]:
    """The methods of a path, as its most literal description has them: `Allow`."""
    fitting = [template for template in document["paths"] if compile_path(template)[0].match(path)]
    found = min(fitting, key=lambda template: template.count("{"), default="")
    return sorted(method.upper() for method in document["paths"].get(found, {}) if method in METHODS)


def complete(document: Node) -> Node:
    """Every answer that there may be, and the headers that every write takes."""
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schemas[ERROR] = ERROR_SCHEMA
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    for path in document["paths"].values():
        for method, operation in path.items():
            if method in METHODS:
                _complete(operation, writes=method in WRITES)
    return document


def _complete(operation: Node, *, writes: bool) -> None:
    responses: Node = operation["responses"]
    responses.pop(INVALID, None)
    for code, response in responses.items():
        response.setdefault("headers", TAGGED if code == str(int(HTTPStatus.OK)) else HEADERS)
    proved = bool(operation.get("security"))
    if not proved and writes:  # it is itself a way to prove something
        responses.setdefault("401", _refusal(401, CALLERS[401]))
    errors = {**EVERYBODYS, **(CALLERS if proved else {}), **(WRITERS if proved and writes else {})}
    for status, text in errors.items():
        responses.setdefault(str(status), _refusal(status, text))
    if proved and writes:
        operation.setdefault("parameters", []).extend(WISHES)


def _refusal(status: int, text: str) -> Node:
    headers = dict(HEADERS)
    if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        headers["Retry-After"] = {"description": "Seconds.", "schema": {"type": "integer"}}
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{ERROR}"}}}
    return {"description": text, "headers": headers, "content": content}
