"""A secret is shown by one answer, and kept by nobody: neither here, nor in the browser."""

from fastapi import Request
from starlette.responses import Response

from services.console.pages.rendering import page
from sidegate.api.registry.v1.account_service_pb2 import AccessKeySecret


def shown_once(request: Request, made: AccessKeySecret, said: str) -> Response:
    """The page of a key that was just made. Where its form was sent twice, the second answer has no secret."""
    answer = page(request, "operators/secret.html", made=made, said=said)
    answer.headers["cache-control"] = "no-store"
    return answer
