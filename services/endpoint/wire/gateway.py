"""Events of gateways."""

from typing import assert_never

from services.common.eventsourcing.store import NewEvent, RecordedEvent
from services.endpoint.domain.gateway import (
    Absent,
    Event,
    GatewayJoined,
    GatewayLost,
    GatewayRetired,
    Member,
    State,
    evolve,
)
from services.endpoint.wire.stored import UnknownFact, packed, unpacked
from sidegate.api.events.v1 import endpoint_events_pb2 as events_pb


class GatewayCodec:
    """Between a gateway's events and their stored form."""

    def encode(self, event: Event, _state: State) -> NewEvent:
        match event:
            case GatewayJoined(gateway, cell):
                joined = events_pb.GatewayJoined(gateway_id=gateway, cell=cell)
                return packed(events_pb.EndpointEvent(gateway_joined=joined))
            case GatewayLost(gateway, cell, fenced_at):
                lost = events_pb.GatewayLost(gateway_id=gateway, cell=cell, fenced_at=fenced_at)
                return packed(events_pb.EndpointEvent(gateway_lost=lost))
            case GatewayRetired(gateway, cell):
                retired = events_pb.GatewayRetired(gateway_id=gateway, cell=cell)
                return packed(events_pb.EndpointEvent(gateway_retired=retired))
            case _:
                assert_never(event)

    def decode(self, recorded: RecordedEvent) -> Event:
        return _event(unpacked(recorded))

    def partition(self, state: State) -> str:
        return "" if isinstance(state, Absent) else state.cell


def member_of(data: bytes) -> Member:
    """The gateway after a stored event, from that event alone."""
    member = evolve(Absent(), _event(events_pb.EndpointEvent.FromString(data)))
    if isinstance(member, Absent):
        raise UnknownFact("an event that leaves no gateway")
    return member


def _event(stored: events_pb.EndpointEvent) -> Event:
    match stored.WhichOneof("fact"):
        case "gateway_joined":
            return GatewayJoined(stored.gateway_joined.gateway_id, stored.gateway_joined.cell)
        case "gateway_lost":
            lost = stored.gateway_lost
            return GatewayLost(lost.gateway_id, lost.cell, lost.fenced_at)
        case "gateway_retired":
            return GatewayRetired(stored.gateway_retired.gateway_id, stored.gateway_retired.cell)
        case fact:
            raise UnknownFact(f"{fact} is no event of a gateway")
