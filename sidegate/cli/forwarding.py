"""A gateway's forwarding table as people read it: endpoint address -> published ports -> backends."""

from collections.abc import Mapping, Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from sidegate.api.events.v1.forwarding_pb2 import (
    AttachmentForwarding,
    EndpointForwarding,
    ForwardingEntry,
    ServiceForwarding,
)
from sidegate.api.gateway.v1.gateway_service_pb2 import GetTableResponse, TableEntry
from sidegate.cli import asks, facts, words
from sidegate.cli.view import View, table

ENDPOINT_TITLES = ("endpoint", "in", "clients", "ports", "backends", "in", "seen as", "marker", "difficulty")
DRAIN_TITLES = ("draining until",)
ASK_TITLES = ("its service asks",)
NAME_TITLES = ("names",)
WIDE_TITLES = ("endpoint id", "service id", "admission")
FEW_SOURCES = 2
REST_TITLES = ("kind", "id", "what", "difficulty")


def key_of(entry: ForwardingEntry) -> tuple[str, str]:
    """What names an entry in its table: the kind, and the UUID of the VPC, service or endpoint."""
    match entry.WhichOneof("entry"):
        case "attachment":
            return "attachment", entry.attachment.vpc_id
        case "service":
            return "service", entry.service.service_id
        case "resolver":
            return "resolver", entry.resolver.vpc_id
        case _:
            return "endpoint", entry.endpoint.endpoint_id


def view(found: GetTableResponse) -> View:
    return View(facts.of(found), lambda wide: _Drawing(found).whole(wide))


class _Drawing:
    """A table being drawn: entries by what they refer to one another with."""

    def __init__(self, found: GetTableResponse) -> None:
        self._found = found
        entries = [each.entry for each in found.entries]
        self._attachments = {each.attachment.vpc_id: each.attachment for each in entries if each.HasField("attachment")}
        self._services = {each.service.service_id: each.service for each in entries if each.HasField("service")}
        self._endpoints = [each.endpoint for each in entries if each.HasField("endpoint")]
        self._resolvers = [each.resolver for each in entries if each.HasField("resolver")]
        self._any_names = any(each.dns_names for each in self._endpoints)
        self._any_drains = any(each.draining_until for each in self._endpoints)
        self._any_asks = any(map(asks.all_of, self._services.values()))
        self._difficulties: Mapping[tuple[str, str], str] = {
            key_of(each.entry): words.of(each.difficulty) for each in found.entries if each.difficulty
        }

    def whole(self, wide: bool) -> RenderableType:
        parts: list[RenderableType] = [Text(self._summary())]
        if self._endpoints:
            titles = (
                ENDPOINT_TITLES
                + NAME_TITLES * self._any_names
                + DRAIN_TITLES * self._any_drains
                + ASK_TITLES * self._any_asks
                + WIDE_TITLES * wide
            )
            parts += ["", table(titles, [self._endpoint(each, wide) for each in self._endpoints])]
        if rest := self._rest():
            parts += ["", table(REST_TITLES, rest)]
        return Group(*parts)

    def _summary(self) -> str:
        found = self._found
        replayed = f", {found.events} events replayed" if found.events else ""
        return (
            f"gateway {found.gateway_id} of cell {found.cell}, at position {found.position}{replayed}: "
            f"{_count(len(self._attachments), 'attachment')}, {_count(len(self._services), 'service')}, "
            f"{_count(len(self._endpoints), 'endpoint')}"
        )

    def _endpoint(self, endpoint: EndpointForwarding, wide: bool) -> Sequence[str]:
        service = self._services.get(endpoint.service_id, ServiceForwarding())
        sources = [each.address for each in endpoint.sources if each.gateway_id == self._found.gateway_id]
        row = [
            _reached_by(endpoint),
            self._network(endpoint.vpc_id),
            ", ".join(endpoint.allowed_cidrs) or "all",
            _ports(service),
            _backends(service),
            self._network(service.vpc_id),
            _addresses(sources, wide),
            str(endpoint.marker_id),
            self._difficulty(endpoint, service),
        ]
        row += [words.of(", ".join(endpoint.dns_names))] * self._any_names
        row += [words.field(endpoint, "draining_until")] * self._any_drains
        row += [words.asked(service)] * self._any_asks
        return [*row, endpoint.endpoint_id, endpoint.service_id, str(endpoint.admission)] if wide else row

    def _network(self, vpc_id: str) -> str:
        return words.target_of(self._attachments.get(vpc_id, AttachmentForwarding())) or vpc_id

    def _difficulty(self, endpoint: EndpointForwarding, service: ServiceForwarding) -> str:
        keys = (
            ("endpoint", endpoint.endpoint_id),
            ("service", endpoint.service_id),
            ("attachment", endpoint.vpc_id),
            ("attachment", service.vpc_id),
        )
        return "; ".join(dict.fromkeys(self._difficulties[key] for key in keys if key in self._difficulties))

    def _rest(self) -> list[Sequence[str]]:
        """Attachments, services that no endpoint leads to, and what could not be made."""
        led_to = {each.service_id for each in self._endpoints}
        attachments = [("attachment", id, words.target_of(each)) for id, each in self._attachments.items()]
        services = [("service", id, _published(each)) for id, each in self._services.items() if id not in led_to]
        resolvers = [("resolver", each.vpc_id, words.resolver(each)) for each in self._resolvers]
        there = [(*row, self._difficulties.get((row[0], row[1]), "")) for row in attachments + services + resolvers]
        return there + [_withheld(each) for each in self._found.withheld]


def _withheld(unmade: TableEntry) -> Sequence[str]:
    kind, id = key_of(unmade.entry)
    match kind:
        case "attachment":
            what = words.target_of(unmade.entry.attachment)
        case "service":
            what = _published(unmade.entry.service)
        case "resolver":
            what = words.resolver(unmade.entry.resolver)
        case _:
            what = _reached_by(unmade.entry.endpoint)
    return kind, id, what, f"not there: {words.of(unmade.difficulty)}"


def _published(service: ServiceForwarding) -> str:
    asked = words.asked(service)
    leads = f"{_ports(service)} -> {_backends(service)}"
    return f"{leads} ({asked})" if asked else leads


def _reached_by(endpoint: EndpointForwarding) -> str:
    """Its address, or its routes."""
    return ", ".join(map(words.route, endpoint.routes)) or endpoint.address


def _ports(service: ServiceForwarding) -> str:
    """A gateway is told of every port what backends learn of clients: that it is nothing goes without saying."""
    return ", ".join(words.port_mapping(each).removesuffix("+none") for each in service.port_mappings)


def _addresses(sources: Sequence[str], wide: bool) -> str:
    """There may be 64."""
    if wide or len(sources) <= FEW_SOURCES:
        return ", ".join(sources)
    return f"{sources[0]} and {len(sources) - 1} more"


def _backends(service: ServiceForwarding) -> str:
    """A gateway that does not know of weights tells addresses alone."""
    return ", ".join(map(words.of, service.weighted_backends or service.backends))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
