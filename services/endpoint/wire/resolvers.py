"""Events of resolvers of VPCs."""

from services.common.addressing import address_of
from services.common.eventsourcing.store import NewEvent, RecordedEvent
from services.common.name_servers import NameServer
from services.endpoint.domain.forwarding import Unused
from services.endpoint.domain.names import zone_of
from services.endpoint.domain.resolvers import Resolver, ResolverChanged, ResolverForwarded, State
from services.endpoint.wire.stored import UnknownFact, packed, unpacked
from sidegate.api.events.v1 import endpoint_events_pb2 as events_pb
from sidegate.api.events.v1 import forwarding_pb2 as forwarding_pb
from sidegate.api.registry.v1 import vpc_pb2 as vpc_pb


class ResolverCodec:
    """Between a resolver's events and their stored form."""

    def encode(self, event: ResolverChanged, _state: State) -> NewEvent:
        entry = event.entry
        stored = events_pb.EndpointEvent(
            resolver_changed=events_pb.ResolverChanged(cell=entry.cell),
            forwarding=forwarding_pb.ForwardingEntry(resolver=_stored(entry)),
        )
        return packed(stored)

    def decode(self, recorded: RecordedEvent) -> ResolverChanged:
        stored = unpacked(recorded)
        if stored.WhichOneof("fact") != "resolver_changed":
            raise UnknownFact(f"{recorded.type} is no event of a resolver")
        entry = stored.forwarding.resolver
        return ResolverChanged(
            ResolverForwarded(stored.resolver_changed.cell, entry.vpc_id, entry.version, _resolver(entry))
        )

    def partition(self, state: State) -> str:
        return "" if isinstance(state, Unused) else state.cell


def resolver_of(vpc: vpc_pb.Vpc, region: str) -> Resolver:
    """The resolver that a VPC has, says the registry."""
    forwarders = tuple(str(NameServer.of(each)) for each in vpc.resolver.forwarders)
    return Resolver(address_of(vpc.resolver.address), forwarders, zone_of(region))


def _resolver(entry: forwarding_pb.ResolverForwarding) -> Resolver | None:
    return None if entry.removed else Resolver(address_of(entry.address), tuple(entry.forwarders), entry.zone)


def _stored(entry: ResolverForwarded) -> forwarding_pb.ResolverForwarding:
    stored = forwarding_pb.ResolverForwarding(vpc_id=entry.vpc, version=entry.version, removed=entry.resolver is None)
    if entry.resolver is not None:
        stored.address, stored.zone = str(entry.resolver.address), entry.resolver.zone
        stored.forwarders.extend(entry.resolver.forwarders)
    return stored
