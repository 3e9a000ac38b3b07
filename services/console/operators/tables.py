"""The forwarding table of a cell: what every gateway of it is to forward."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from services.console.pages.paging import SIZE, number_of, paging
from services.console.pages.rendering import page
from services.console.sessions.access import Operator
from sidegate.api.events.v1.forwarding_pb2 import (
    AttachmentForwarding,
    EndpointForwarding,
    ForwardingEntry,
    ServiceForwarding,
)
from sidegate.cli import words
from sidegate.resources.history import State

Cell = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")]

router = APIRouter()


@dataclass(frozen=True, slots=True)
class Line:
    """An endpoint as gateways forward it. `held` is one through which nothing may pass now."""

    endpoint: EndpointForwarding
    reached_by: str
    network: str
    clients: str
    ports: str
    backends: str
    provider: str
    sources: Sequence[str]

    @property
    def held(self) -> bool:
        return self.endpoint.removed

    def has(self, text: str) -> bool:
        """Whether any of what is shown has this in it, whatever the case."""
        ids = (self.endpoint.endpoint_id, self.endpoint.service_id, str(self.endpoint.marker_id))
        shown = (self.reached_by, self.network, self.clients, self.ports, self.backends, self.provider)
        return any(text.lower() in each.lower() for each in (*ids, *shown, *self.sources, *self.endpoint.dns_names))


class Table:
    """A cell's entries, put together by what they refer to one another with."""

    def __init__(self, found: State) -> None:
        entries = [state.entry for state in found.states]
        self._attachments = {each.attachment.vpc_id: each.attachment for each in entries if each.HasField("attachment")}
        self._services = {each.service.service_id: each.service for each in entries if each.HasField("service")}
        self._endpoints = [each.endpoint for each in entries if each.HasField("endpoint")]
        self.position, self.counts = found.header.position, _counts(entries)

    def lines(self, text: str) -> Sequence[Line]:
        """Endpoints, in the order in which they were made; with a text, those that have it in them."""
        found = (self._line(each) for each in self._endpoints)
        return [line for line in found if not text or line.has(text)]

    def _line(self, endpoint: EndpointForwarding) -> Line:
        service = self._services.get(endpoint.service_id, ServiceForwarding())
        return Line(
            endpoint,
            ", ".join(map(words.route, endpoint.routes)) or endpoint.address,
            self._network(endpoint.vpc_id),
            ", ".join(endpoint.allowed_cidrs),
            ", ".join(words.port_mapping(each).removesuffix("+none") for each in service.port_mappings),
            ", ".join(map(words.of, service.weighted_backends or service.backends)),
            self._network(service.vpc_id),
            [f"{each.address} ({each.gateway_id})" for each in endpoint.sources],
        )

    def _network(self, vpc_id: str) -> str:
        return words.target_of(self._attachments.get(vpc_id, AttachmentForwarding())) or vpc_id


def _counts(entries: Sequence[ForwardingEntry]) -> dict[str, int]:
    kinds = [each.WhichOneof("entry") for each in entries]
    return {kind: kinds.count(kind) for kind in ("attachment", "service", "endpoint", "resolver")}


@router.get("/operator/cells/{cell}")
async def table(request: Request, cell: Cell, session: Operator) -> Response:
    text = request.query_params.get("text", "").strip()[:200]
    found = Table(await session.own.history.cell(cell))
    lines, first = found.lines(text), (number_of(request) - 1) * SIZE
    return page(
        request,
        "operators/table.html",
        cell=cell,
        table=found,
        lines=lines[first : first + SIZE],
        text=text,
        paging=paging(request, len(lines)),
    )
