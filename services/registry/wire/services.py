"""Endpoint services, stored and shown."""

from collections.abc import Mapping
from typing import assert_never

from services.common.addressing import networks_of
from services.common.eventsourcing.store import NewEvent, RecordedEvent
from services.common.principal import Principal
from services.common.rpc.service_settings import settings_message, settings_of
from services.registry.domain.publication import Service
from services.registry.domain.service import (
    Absent,
    Available,
    Closing,
    Creating,
    Deleted,
    Deleting,
    Failed,
    State,
    of,
)
from services.registry.domain.service_events import (
    Event,
    PermissionsAdded,
    PermissionsRemoved,
    PrivateNameVerified,
    ServiceChanged,
    ServiceClosed,
    ServiceCreated,
    ServiceDeleted,
    ServiceDeletionStarted,
    ServiceFailed,
    ServiceOpened,
    ServiceReopened,
)
from services.registry.wire.envelope import UnknownEvent, nanoseconds, seal, timestamp, unseal
from services.registry.wire.permissions import ended_message, ended_of, grants_of, permission_message
from services.registry.wire.private_names import private_name_message, private_name_of, verified_name
from services.registry.wire.profiles import (
    IDENTITIES,
    IP_VERSIONS,
    SERVER_TYPES,
    SERVICE_TYPES,
    health_message,
    identity_of,
    limits_message,
    limits_of,
    rules_message,
    rules_of,
    server_type_of,
    service_type_of,
    stored_health_check,
    tag_message,
    tag_of,
)
from services.registry.wire.publications import backend_message, backend_of, mapping_message, mapping_of
from sidegate.api.events.v1 import registry_events_pb2 as events_pb2
from sidegate.api.registry.v1.endpoint_service_pb2 import (
    ApprovalRules,
    ConnectableService,
    ConsumerLimits,
    EndpointService,
    PortMapping,
    SessionSettings,
)

_STATES: Mapping[type[State], EndpointService.State.ValueType] = {
    Absent: EndpointService.STATE_UNSPECIFIED,
    Creating: EndpointService.STATE_CREATING,
    Available: EndpointService.STATE_AVAILABLE,
    Closing: EndpointService.STATE_CLOSING,
    Deleting: EndpointService.STATE_DELETING,
    Deleted: EndpointService.STATE_DELETED,
    Failed: EndpointService.STATE_FAILED,
}


STORED_VERSIONS = IP_VERSIONS | {4: EndpointService.IP_VERSION_UNSPECIFIED}
"""As events have them: those of IPv4 services are as they were before there were others."""


class ServiceCodec:
    def encode(self, event: Event, state: State) -> NewEvent:
        message = _fact(event)
        message.service.CopyFrom(service_message(state))
        return seal(message)

    def decode(self, event: RecordedEvent) -> Event:
        return _event(unseal(event), event)

    def partition(self, state: State) -> str:
        return ""


def service_message(state: State) -> EndpointService:
    service = of(state)
    return EndpointService(
        id=service.id,
        project=service.owner.project,
        account=service.owner.account,
        name=service.name,
        full_name=service.full_name,
        vpc_id=service.vpc_id,
        backends=map(backend_message, service.backends),
        port_mappings=map(mapping_message, service.port_mappings),
        approval_required=service.approval_required,
        permissions=service.permissions,
        state=_STATES[type(state)],
        failure=state.reason if isinstance(state, Failed) else "",
        create_time=timestamp(service.created_at),
        update_time=timestamp(service.updated_at),
        etag=str(service.revision),
        version=service.revision,
        description=service.description,
        tags=map(tag_message, service.tags),
        client_identity=IDENTITIES[service.client_identity],
        service_type=SERVICE_TYPES[service.service_type],
        server_type=SERVER_TYPES[service.server_type],
        permission_details=(permission_message(service.id, grant) for grant in service.grants),
        ended_permissions=map(ended_message, service.ended),
        approval_rules=rules_message(service.approval_rules),
        consumer_limits=limits_message(service.consumer_limits),
        policy_enabled=service.policy_enabled,
        session_settings=settings_message(service.session_settings),
        health_check=health_message(service.health_check),
        ip_version=STORED_VERSIONS[service.ip_version],
        private_name=private_name_message(service.private_name),
        public_prefixes=map(str, service.public_prefixes),
    )


def shown(service: EndpointService) -> EndpointService:
    """The same resource, also where it says no IP version: services were of IPv4 before there were others."""
    service.ip_version = service.ip_version or EndpointService.IP_VERSION_IPV4
    return service


def service_of(message: EndpointService) -> Service:
    """The service that a message shows, whatever its state."""
    return Service(
        id=message.id,
        owner=Principal(message.account, message.project),
        name=message.name,
        full_name=message.full_name,
        vpc_id=message.vpc_id,
        backends=tuple(map(backend_of, message.backends)),
        port_mappings=tuple(map(mapping_of, message.port_mappings)),
        approval_required=message.approval_required,
        created_at=nanoseconds(message.create_time),
        updated_at=nanoseconds(message.update_time),
        grants=grants_of(message),
        revision=message.version,
        description=message.description,
        tags=tuple(map(tag_of, message.tags)),
        client_identity=identity_of(message.client_identity),
        service_type=service_type_of(message.service_type),
        server_type=server_type_of(message.server_type),
        ended=tuple(map(ended_of, message.ended_permissions)),
        approval_rules=rules_of(message.approval_rules),
        consumer_limits=limits_of(message.consumer_limits),
        policy_enabled=message.policy_enabled,
        session_settings=settings_of(message.session_settings),
        health_check=stored_health_check(message),
        private_name=private_name_of(message),
        public_prefixes=networks_of(message.public_prefixes),
    )


def connectable(service: EndpointService) -> ConnectableService:
    """What those who may connect learn of a service."""
    return ConnectableService(
        id=service.id,
        full_name=service.full_name,
        port_mappings=(
            PortMapping(client_port=mapping.client_port, protocol=mapping.protocol) for mapping in service.port_mappings
        ),
        approval_required=service.approval_required,
        service_type=service.service_type or EndpointService.SERVICE_TYPE_INTERFACE,
        create_time=service.create_time,
        policy_enabled=service.policy_enabled,
        ip_version=service.ip_version or EndpointService.IP_VERSION_IPV4,
        private_name=verified_name(service),
        public_prefixes=service.public_prefixes,
    )


def _fact(event: Event) -> events_pb2.RegistryEvent:
    make = events_pb2.RegistryEvent
    match event:
        case ServiceCreated():
            return make(service_created=events_pb2.ServiceCreated())
        case ServiceOpened():
            return make(service_opened=events_pb2.ServiceOpened())
        case ServiceChanged():
            return make(service_changed=_changed(event))
        case PrivateNameVerified():
            return make(private_name_verified=events_pb2.PrivateNameVerified())
        case PermissionsAdded(permissions, descriptions=descriptions):
            added = events_pb2.PermissionsAdded(permissions=permissions, descriptions=descriptions)
            return make(permissions_added=added)
        case PermissionsRemoved(permissions, ended=ended):
            return make(permissions_removed=events_pb2.PermissionsRemoved(permissions=permissions, ended=ended))
        case ServiceClosed(force, deadline):
            return make(service_closed=events_pb2.ServiceClosed(force=force, deadline=deadline))
        case ServiceReopened(reason):
            return make(service_reopened=events_pb2.ServiceReopened(reason=reason))
        case ServiceDeletionStarted():
            return make(service_deletion_started=events_pb2.ServiceDeletionStarted())
        case ServiceDeleted():
            return make(service_deleted=events_pb2.ServiceDeleted())
        case ServiceFailed(reason):
            return make(service_failed=events_pb2.ServiceFailed(reason=reason))
        case _:
            assert_never(event)


def _event(message: events_pb2.RegistryEvent, stored: RecordedEvent) -> Event:
    at = nanoseconds(message.service.update_time)
    match message.WhichOneof("fact"):
        case "service_created":
            return ServiceCreated(service_of(message.service))
        case "service_opened":
            return ServiceOpened(at)
        case "service_changed":
            return _changes(message.service_changed, at)
        case "private_name_verified":
            return PrivateNameVerified(at)
        case "permissions_added":
            added = message.permissions_added
            return PermissionsAdded(tuple(added.permissions), at, dict(added.descriptions))
        case "permissions_removed":
            removed = message.permissions_removed
            return PermissionsRemoved(tuple(removed.permissions), at, tuple(removed.ended))
        case "service_closed":
            return ServiceClosed(message.service_closed.force, message.service_closed.deadline, at)
        case "service_reopened":
            return ServiceReopened(message.service_reopened.reason, at)
        case "service_deletion_started":
            return ServiceDeletionStarted(at)
        case "service_deleted":
            return ServiceDeleted(at)
        case "service_failed":
            return ServiceFailed(message.service_failed.reason, at)
        case fact:
            raise UnknownEvent(f"{stored.stream} is a service's and holds {fact}")


def _changed(event: ServiceChanged) -> events_pb2.ServiceChanged:
    identity = None if event.client_identity is None else IDENTITIES[event.client_identity]
    message = events_pb2.ServiceChanged(
        approval_required=event.approval_required,
        description=event.description,
        client_identity=identity,
        name=event.name,
    )
    if event.approval_rules is not None:
        message.approval_rules.SetInParent()
        message.approval_rules.MergeFrom(rules_message(event.approval_rules) or ApprovalRules())
    if event.consumer_limits is not None:
        message.consumer_limits.SetInParent()
        message.consumer_limits.MergeFrom(limits_message(event.consumer_limits) or ConsumerLimits())
    if event.session_settings is not None:
        message.session_settings.SetInParent()
        message.session_settings.MergeFrom(settings_message(event.session_settings) or SessionSettings())
    if event.health_check is not None:
        check = events_pb2.ServiceHealthCheck(health_check=health_message(event.health_check))
        message.health_check.CopyFrom(check)
    if event.private_name is not None:
        named = events_pb2.ServicePrivateName(private_name=private_name_message(event.private_name))
        message.private_name.CopyFrom(named)
    if event.tags is not None:
        message.tags.SetInParent()
        message.tags.tags.extend(map(tag_message, event.tags))
    if event.backends is not None:
        message.backends.backends.extend(map(backend_message, event.backends))
    if event.port_mappings is not None:
        message.port_mappings.port_mappings.extend(map(mapping_message, event.port_mappings))
    return message


def _changes(message: events_pb2.ServiceChanged, at: int) -> ServiceChanged:
    return ServiceChanged(
        at,
        tuple(map(backend_of, message.backends.backends)) if message.HasField("backends") else None,
        tuple(map(mapping_of, message.port_mappings.port_mappings)) if message.HasField("port_mappings") else None,
        message.approval_required if message.HasField("approval_required") else None,
        message.description if message.HasField("description") else None,
        tuple(map(tag_of, message.tags.tags)) if message.HasField("tags") else None,
        identity_of(message.client_identity) if message.HasField("client_identity") else None,
        rules_of(message.approval_rules) if message.HasField("approval_rules") else None,
        limits_of(message.consumer_limits) if message.HasField("consumer_limits") else None,
        message.name if message.HasField("name") else None,
        settings_of(message.session_settings) if message.HasField("session_settings") else None,
        stored_health_check(message.health_check) if message.HasField("health_check") else None,
        private_name_of(message.private_name) if message.HasField("private_name") else None,
    )
