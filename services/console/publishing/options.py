"""What selects of this room offer: pairs of the contract's name and what people call it."""

from collections.abc import Mapping, Sequence

from services.console.pages.words import gettext
from services.console.pages.words import marked as _
from sidegate.api.registry.v1.endpoint_service_pb2 import EndpointService

Options = Sequence[tuple[str, str]]

SERVER_TYPES: Mapping[str, str] = {
    "SERVER_TYPE_VM": _("machines"),
    "SERVER_TYPE_LB": _("load balancers"),
    "SERVER_TYPE_VIP": _("shared addresses (VIP)"),
    "SERVER_TYPE_CLOUD": _("a platform service, for everybody"),
}
SERVICE_TYPES: Mapping[str, str] = {
    "SERVICE_TYPE_INTERFACE": _("by an address in the consumer's subnet"),
    "SERVICE_TYPE_GATEWAY": _("by routes to its public prefixes"),
}
IDENTITIES: Mapping[str, str] = {
    "CLIENT_IDENTITY_NONE": _("nothing"),
    "CLIENT_IDENTITY_TOA": _("a TCP option (TOA)"),
    "CLIENT_IDENTITY_PROXY_PROTOCOL": _("a PROXY protocol header"),
    "CLIENT_IDENTITY_TOA_AND_PROXY_PROTOCOL": _("TOA and PROXY protocol"),
    "CLIENT_IDENTITY_PROXY_PROTOCOL_WITH_MARKER": _("a PROXY protocol header with the marker ID"),
}
PROTOCOLS: Mapping[str, str] = {"PROTOCOL_TCP": "TCP", "PROTOCOL_UDP": "UDP"}
HEALTH_PROTOCOLS: Mapping[str, str] = {
    "": _("They are not asked"),
    "PROTOCOL_TCP": _("TCP: whether a connection is accepted"),
    "PROTOCOL_HTTP": _("HTTP: whether GET is answered"),
}
AFFINITIES: Mapping[str, str] = {
    "AFFINITY_NONE": _("every session for itself"),
    "AFFINITY_SOURCE_ADDRESS": _("a client stays with one backend"),
}
UNSAID = {"CLIENT_IDENTITY_UNSPECIFIED": _("as the service")}
EVERY_STATE = ("creating", "available", "closing", "deleting", "failed")
CONNECTION_STATES = ("pendingAcceptance", "creating", "accepted", "rejected", "failed", "deleting")


def said(table: Mapping[str, str]) -> Options:
    return [(name, gettext(word) if word else "") for name, word in table.items()]


def of_forms(*, operator: bool) -> dict[str, Options]:
    """All that forms of services offer; some the operator alone."""
    server_types = {name: word for name, word in SERVER_TYPES.items() if operator or name != "SERVER_TYPE_CLOUD"}
    return {
        "server_types": said(server_types),
        "service_types": said(SERVICE_TYPES),
        "identities": said(IDENTITIES),
        "port_identities": said({**UNSAID, **IDENTITIES}),
        "protocols": said(PROTOCOLS),
        "health_protocols": said(HEALTH_PROTOCOLS),
        "affinities": said(AFFINITIES),
    }


def words_of(service: EndpointService) -> Mapping[str, str]:
    """What a service is, in words."""
    return {
        "server_type": _word(SERVER_TYPES, EndpointService.ServerType.Name(service.server_type)),
        "service_type": _word(SERVICE_TYPES, EndpointService.ServiceType.Name(service.service_type)),
        "identity": _word(IDENTITIES, EndpointService.ClientIdentity.Name(service.client_identity)),
    }


def _word(table: Mapping[str, str], name: str) -> str:
    return gettext(table[name]) if name in table else name
