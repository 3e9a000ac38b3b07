"""What a connection is told that ends before there is a request, in the form in which everything else is refused."""

import json

from services.common.https import protocol
from services.common.https.protocol import BoundedProtocol, Farewell
from services.common.https.sockets import BoundedSocket
from services.http_api.error_codes import CODES, Code
from services.http_api.errors import body
from services.http_api.limits.gate import LIMITED
from services.http_api.limits.values import Limits

__all__ = ["BoundedProtocol", "bounded"]

CODES_OF_STATUS = {
    400: CODES["0002"],
    408: CODES["0013"],
    431: CODES["0002"],
}


class Manners:
    """How the API says it."""

    def met(self, limit: str) -> None:
        LIMITED.labels(limit).inc()

    def farewell(self, status: int, text: str) -> Farewell:
        said = CODES_OF_STATUS[status]
        return Farewell("application/json", json.dumps(body(Code(said.wire, status, said.text), text)).encode())


def bounded(limits: Limits) -> type[BoundedProtocol]:
    """The protocol with these limits, for uvicorn."""
    return protocol.bounded(limits, Manners(), BoundedSocket)
