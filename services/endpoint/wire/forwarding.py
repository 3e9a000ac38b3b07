"""Events of a cell's services and attachments."""

from collections.abc import Sequence

from services.common.addressing import address_of
from services.common.eventsourcing.store import NewEvent, RecordedEvent
from services.common.rpc.service_settings import (
    health_check_message,
    health_check_of,
    settings_message,
    settings_of,
)
from services.endpoint.domain.forwarding import (
    AttachmentChanged,
    AttachmentForwarded,
    AttachmentState,
    Backend,
    ClientIdentity,
    Limits,
    PortMapping,
    Protocol,
    RegistryLog,
    ServiceForwarded,
    ServiceForwardingChanged,
    ServiceRemoved,
    ServiceState,
    Unused,
)
from services.endpoint.wire.stored import UnknownFact, packed, unpacked
from services.endpoint.wire.targets import store_target, target_of
from sidegate.api.events.v1 import endpoint_events_pb2 as events_pb
from sidegate.api.events.v1 import forwarding_pb2 as forwarding_pb
from sidegate.api.registry.v1 import endpoint_service_pb2 as service_pb

STORED_PROTOCOL = {
    Protocol.TCP: service_pb.PortMapping.PROTOCOL_TCP,
    Protocol.UDP: service_pb.PortMapping.PROTOCOL_UDP,
}
STORED_IDENTITY = {
    ClientIdentity.NONE: service_pb.EndpointService.CLIENT_IDENTITY_UNSPECIFIED,
    ClientIdentity.TOA: service_pb.EndpointService.CLIENT_IDENTITY_TOA,
    ClientIdentity.PROXY_PROTOCOL: service_pb.EndpointService.CLIENT_IDENTITY_PROXY_PROTOCOL,
    ClientIdentity.TOA_AND_PROXY_PROTOCOL: service_pb.EndpointService.CLIENT_IDENTITY_TOA_AND_PROXY_PROTOCOL,
    ClientIdentity.PROXY_PROTOCOL_WITH_MARKER: service_pb.EndpointService.CLIENT_IDENTITY_PROXY_PROTOCOL_WITH_MARKER,
}
"""None is left out, as it was before there was any."""
_IDENTITIES = {number: identity for identity, number in STORED_IDENTITY.items()}


class ServiceCodec:
    """Between a service's forwarding events and their stored form."""

    def encode(self, event: ServiceForwardingChanged, _state: ServiceState) -> NewEvent:
        entry = event.entry
        stored = events_pb.EndpointEvent(
            service_forwarding_changed=events_pb.ServiceForwardingChanged(cell=entry.cell),
            forwarding=forwarding_pb.ForwardingEntry(service=_stored_service(entry)),
        )
        return packed(stored)

    def decode(self, recorded: RecordedEvent) -> ServiceForwardingChanged:
        stored = unpacked(recorded)
        if stored.WhichOneof("fact") != "service_forwarding_changed":
            raise UnknownFact(f"{recorded.type} is no event of a service's forwarding")
        cell, entry = stored.service_forwarding_changed.cell, stored.forwarding.service
        if entry.removed:
            return ServiceForwardingChanged(ServiceRemoved(cell, entry.service_id, entry.version, _log(entry)))
        return ServiceForwardingChanged(
            ServiceForwarded(
                cell=cell,
                service=entry.service_id,
                version=entry.version,
                vpc=entry.vpc_id,
                backends=_backends(entry),
                ports=tuple(map(port_mapping, entry.port_mappings)),
                limits=limits_of(entry.limits),
                log=_log(entry),
                ahead=entry.ahead,
                session_settings=settings_of(entry.session_settings),
                health_check=health_check_of(entry.health_check) if entry.HasField("health_check") else None,
            )
        )

    def partition(self, state: ServiceState) -> str:
        return "" if isinstance(state, Unused) else state.cell


class AttachmentCodec:
    """Between an attachment's events and their stored form."""

    def encode(self, event: AttachmentChanged, _state: AttachmentState) -> NewEvent:
        entry = event.entry
        stored = events_pb.EndpointEvent(
            attachment_changed=events_pb.AttachmentChanged(cell=entry.cell),
            forwarding=forwarding_pb.ForwardingEntry(attachment=_stored_attachment(entry)),
        )
        return packed(stored)

    def decode(self, recorded: RecordedEvent) -> AttachmentChanged:
        stored = unpacked(recorded)
        if stored.WhichOneof("fact") != "attachment_changed":
            raise UnknownFact(f"{recorded.type} is no event of an attachment")
        entry = stored.forwarding.attachment
        target = None if entry.removed else target_of(entry)
        return AttachmentChanged(
            AttachmentForwarded(stored.attachment_changed.cell, entry.vpc_id, entry.version, target)
        )

    def partition(self, state: AttachmentState) -> str:
        return "" if isinstance(state, Unused) else state.cell


def _log(stored: forwarding_pb.ServiceForwarding) -> RegistryLog:
    return RegistryLog(stored.registry_log_id, stored.registry_epoch)


def port_mapping(
    stored: service_pb.PortMapping,
    otherwise: service_pb.EndpointService.ClientIdentity.ValueType = (
        service_pb.EndpointService.CLIENT_IDENTITY_UNSPECIFIED
    ),
) -> PortMapping:
    """What a port that says nothing of clients has is `otherwise`: what its service says. Unspecified is none."""
    if stored.protocol == service_pb.PortMapping.PROTOCOL_UDP:
        return PortMapping(stored.client_port, stored.server_port, Protocol.UDP)
    identity = _IDENTITIES.get(stored.client_identity or otherwise, ClientIdentity.NONE)
    return PortMapping(stored.client_port, stored.server_port, Protocol.TCP, identity)


def limits_of(stored: service_pb.ConsumerLimits) -> Limits:
    """Those that gateways are told of."""
    return Limits(stored.connections, stored.new_connections_per_second, stored.bits_per_second)


def _stored_limits(limits: Limits) -> service_pb.ConsumerLimits | None:
    if limits == Limits():
        return None
    return service_pb.ConsumerLimits(
        connections=limits.connections,
        new_connections_per_second=limits.new_connections,
        bits_per_second=limits.bits,
    )


def _weighted(backends: Sequence[Backend]) -> Sequence[forwarding_pb.BackendForwarding]:
    """Only where it says more than addresses do."""
    if all(backend == Backend(backend.address) for backend in backends):
        return ()
    return [
        forwarding_pb.BackendForwarding(address=str(backend.address), weight=backend.weight, draining=backend.draining)
        for backend in backends
    ]


def _backends(stored: forwarding_pb.ServiceForwarding) -> tuple[Backend, ...]:
    """An entry of before there were weights, or that needs none, has addresses alone."""
    if not stored.weighted_backends:
        return tuple(Backend(address_of(address)) for address in stored.backends)
    return tuple(
        Backend(address_of(backend.address), backend.weight, backend.draining) for backend in stored.weighted_backends
    )


def _stored_service(entry: ServiceForwarded | ServiceRemoved) -> forwarding_pb.ServiceForwarding:
    if isinstance(entry, ServiceRemoved):
        return forwarding_pb.ServiceForwarding(
            service_id=entry.service,
            version=entry.version,
            removed=True,
            registry_log_id=entry.log.id,
            registry_epoch=entry.log.epoch,
        )
    return forwarding_pb.ServiceForwarding(
        service_id=entry.service,
        version=entry.version,
        vpc_id=entry.vpc,
        backends=[str(backend.address) for backend in entry.backends if not backend.draining],
        weighted_backends=_weighted(entry.backends),
        port_mappings=[
            service_pb.PortMapping(
                client_port=port.client_port,
                server_port=port.server_port,
                protocol=STORED_PROTOCOL[port.protocol],
                client_identity=STORED_IDENTITY[port.client_identity],
            )
            for port in entry.ports
        ],
        limits=_stored_limits(entry.limits),
        registry_log_id=entry.log.id,
        registry_epoch=entry.log.epoch,
        ahead=entry.ahead,
        session_settings=settings_message(entry.session_settings),
        health_check=None if entry.health_check is None else health_check_message(entry.health_check),
    )


def _stored_attachment(entry: AttachmentForwarded) -> forwarding_pb.AttachmentForwarding:
    stored = forwarding_pb.AttachmentForwarding(vpc_id=entry.vpc, version=entry.version, removed=entry.target is None)
    if entry.target is not None:
        store_target(entry.target, stored)
    return stored


def is_removed(entry: forwarding_pb.ForwardingEntry) -> bool:
    """Whether an entry says that nothing may pass any more."""
    removed = entry.attachment.removed or entry.service.removed or entry.endpoint.removed or entry.resolver.removed
    return removed and not entry.endpoint.draining_until
