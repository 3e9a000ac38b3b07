"""Pages of one service: what all of them are given."""

from fastapi import Request
from starlette.responses import Response

from services.console.pages.rendering import page
from services.console.publishing import options
from services.console.sessions.session import Session
from sidegate.api.registry.v1.endpoint_service_pb2 import EndpointService


def tab(
    request: Request,
    session: Session,
    service: EndpointService,
    name: str,
    status: int = 200,
    /,
    **context: object,
) -> Response:
    """The tab of this name, made by the template of the same."""
    return page(
        request,
        f"publishing/{name}.html",
        status,
        service=service,
        tab=name,
        words=options.words_of(service),
        writes=not session.reads_only,
        **context,
    )
