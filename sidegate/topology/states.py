"""States of the contract as a word and a colour."""

from sidegate.api.endpoint.v1.backend_health_pb2 import BackendHealth
from sidegate.api.endpoint.v1.endpoint_pb2 import ConnectionState, Endpoint
from sidegate.api.registry.v1.endpoint_service_pb2 import EndpointService
from sidegate.topology.graph import Tone

CONNECTIONS = {
    ConnectionState.CONNECTION_STATE_PENDING_ACCEPTANCE: ("pendingAcceptance", Tone.WAITING),
    ConnectionState.CONNECTION_STATE_CREATING: ("creating", Tone.WAITING),
    ConnectionState.CONNECTION_STATE_ACCEPTED: ("accepted", Tone.GOOD),
    ConnectionState.CONNECTION_STATE_REJECTED: ("rejected", Tone.BAD),
    ConnectionState.CONNECTION_STATE_FAILED: ("failed", Tone.BAD),
    ConnectionState.CONNECTION_STATE_DELETING: ("deleting", Tone.WAITING),
    ConnectionState.CONNECTION_STATE_DELETED: ("deleted", Tone.BAD),
}
SERVICES = {
    EndpointService.STATE_CREATING: ("creating", Tone.WAITING),
    EndpointService.STATE_AVAILABLE: ("available", Tone.GOOD),
    EndpointService.STATE_CLOSING: ("closing", Tone.WAITING),
    EndpointService.STATE_DELETING: ("deleting", Tone.WAITING),
    EndpointService.STATE_DELETED: ("deleted", Tone.BAD),
    EndpointService.STATE_FAILED: ("failed", Tone.BAD),
}
HEALTH = {
    BackendHealth.CONDITION_WELL: ("well", Tone.GOOD),
    BackendHealth.CONDITION_UNHEALTHY: ("unhealthy", Tone.BAD),
}
UNKNOWN = ("unknown", Tone.WAITING)
SERVERS = {
    EndpointService.SERVER_TYPE_LB: "LB",
    EndpointService.SERVER_TYPE_VIP: "VIP",
    EndpointService.SERVER_TYPE_CLOUD: "CLOUD",
}
IDENTITIES = {
    EndpointService.CLIENT_IDENTITY_TOA: "TOA",
    EndpointService.CLIENT_IDENTITY_PROXY_PROTOCOL: "PROXY",
    EndpointService.CLIENT_IDENTITY_TOA_AND_PROXY_PROTOCOL: "TOA, PROXY",
    EndpointService.CLIENT_IDENTITY_PROXY_PROTOCOL_WITH_MARKER: "PROXY",
}


def of_endpoint(endpoint: Endpoint) -> tuple[str, Tone, str]:
    """Its state; an accepted one through which nothing passes is not well, and the reason says why."""
    word, tone = CONNECTIONS.get(endpoint.state, UNKNOWN)
    if endpoint.state == ConnectionState.CONNECTION_STATE_ACCEPTED and not endpoint.ready.status:
        return word, Tone.BAD, endpoint.ready.reason
    return word, tone, endpoint.failure or endpoint.rejection
