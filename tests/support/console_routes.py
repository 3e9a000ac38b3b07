"""Every route of the console, with ids put in."""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache

from fastapi.routing import APIRoute

from services.console.app import Console, Ports
from services.console.sessions.store import Bounds
from services.console.signing_in.keys import Places

PARAMETER = re.compile(r"\{([a-z_]+)[^}]*\}")
KINDS = {"vpc_id": "vpc", "table_id": "table", "subnet_id": "subnet", "endpoint_id": "endpoint"}


def templates(method: str) -> Sequence[str]:
    """Paths, as routes have them."""
    return sorted({route.path for route in _routes() if method in (route.methods or ())})


def asked(template: str) -> Sequence[str]:
    """Names by which a page may be asked for some of what it has."""
    found = [route for route in _routes() if route.path == template and "GET" in (route.methods or ())]
    return sorted({field.alias for route in found for field in route.dependant.query_params})


@cache
def _routes() -> Sequence[APIRoute]:
    console = Console(Ports(Places("127.0.0.1:1", "127.0.0.1:1", "", b""), "local", Bounds()))
    return list(_walked(console.app.routes))


def _walked(routes: Sequence[object]) -> Iterator[APIRoute]:
    for route in routes:
        if isinstance(route, APIRoute):
            yield route
        elif (router := getattr(route, "original_router", None)) is not None:
            yield from _walked(router.routes)


def filled(template: str, ids: Mapping[str, str]) -> str | None:
    """With ids of things by kind, or of what has the parameter's name; None where one is missing."""
    missing = []

    def put(match: re.Match[str]) -> str:
        name = match[1]
        kind = KINDS.get(name, name)
        if name == "id_":
            kind = "service" if template.startswith("/services") else "endpoint"
        if kind not in ids:
            missing.append(kind)
        return ids.get(kind, "")

    path = PARAMETER.sub(put, template)
    return None if missing else path
