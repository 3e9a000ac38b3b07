"""The past as a picture: states of resources to what the topology is built from. Pure."""

from collections.abc import Iterable

from services.console.drawing.document import Found, document
from services.console.past.moments import Moment
from sidegate.api.endpoint.v1.endpoint_pb2 import Endpoint
from sidegate.api.events.v1.history_pb2 import ResourceState
from sidegate.api.registry.v1.endpoint_service_pb2 import EndpointService
from sidegate.topology.build import build
from sidegate.topology.gather import Seen


def picture(moment: Moment, viewer: str) -> Found:
    return document(build(seen(moment.states.values(), viewer)))


def seen(states: Iterable[ResourceState], viewer: str) -> Seen:
    """What gateways said is in no log: an accepted endpoint counts as ready, and backends have no health."""
    found = Seen(viewer)
    for state in states:
        match state.WhichOneof("resource"):
            case "vpc":
                found.vpcs[state.id] = state.vpc
            case "subnet":
                found.subnets.append(state.subnet)
            case "port":
                found.ports.append(state.port)
            case "route_table":
                found.route_tables.append(state.route_table)
            case "attachment":
                found.attachments.append(state.attachment)
            case "service":
                found.services.append(_without_health(state.service))
            case "endpoint":
                found.endpoints.append(as_then(state.endpoint))
            case "connection":
                found.connections.append(state.connection)
            case _:
                continue
    return found


def as_then(endpoint: Endpoint) -> Endpoint:
    """Of an accepted one it was recorded that all gateways forwarded it; what they said later was not."""
    copy = Endpoint()
    copy.CopyFrom(endpoint)
    copy.ready.status = True
    return copy


def _without_health(service: EndpointService) -> EndpointService:
    if not service.HasField("health_check"):
        return service
    copy = EndpointService()
    copy.CopyFrom(service)
    copy.ClearField("health_check")
    return copy
