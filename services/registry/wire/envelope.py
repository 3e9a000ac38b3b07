"""The stored form that all events of the registry share, and the subjects they are published under."""

from collections.abc import Mapping

from google.protobuf.timestamp_pb2 import Timestamp

from services.common.eventsourcing.store import NewEvent, RecordedEvent
from services.common.messaging import subjects
from services.common.principal import OPERATOR
from sidegate.api.events.v1.registry_events_pb2 import RegistryEvent

STORED_NAMES: Mapping[str, str] = {
    "vpc_created": "registry.v1.VpcCreated",
    "vpc_deleted": "registry.v1.VpcDeleted",
    "subnet_created": "registry.v1.SubnetCreated",
    "subnet_deleted": "registry.v1.SubnetDeleted",
    "port_reserved": "registry.v1.PortReserved",
    "port_released": "registry.v1.PortReleased",
    "attachment_created": "registry.v1.AttachmentCreated",
    "attachment_deleted": "registry.v1.AttachmentDeleted",
    "service_created": "registry.v1.ServiceCreated",
    "service_opened": "registry.v1.ServiceOpened",
    "service_changed": "registry.v1.ServiceChanged",
    "permissions_added": "registry.v1.PermissionsAdded",
    "permissions_removed": "registry.v1.PermissionsRemoved",
    "service_closed": "registry.v1.ServiceClosed",
    "service_reopened": "registry.v1.ServiceReopened",
    "service_deletion_started": "registry.v1.ServiceDeletionStarted",
    "service_deleted": "registry.v1.ServiceDeleted",
    "service_failed": "registry.v1.ServiceFailed",
    "vpc_changed": "registry.v1.VpcChanged",
    "subnet_changed": "registry.v1.SubnetChanged",
    "resolver_set": "registry.v1.ResolverSet",
    "resolver_deleted": "registry.v1.ResolverDeleted",
    "private_name_verified": "registry.v1.PrivateNameVerified",
    "default_attachment_set": "registry.v1.DefaultAttachmentSet",
    "default_attachment_deleted": "registry.v1.DefaultAttachmentDeleted",
    "route_table_created": "registry.v1.RouteTableCreated",
    "route_table_changed": "registry.v1.RouteTableChanged",
    "route_table_deleted": "registry.v1.RouteTableDeleted",
    "routes_reserved": "registry.v1.RoutesReserved",
    "routes_released": "registry.v1.RoutesReleased",
    "account_created": "registry.v1.AccountCreated",
    "project_created": "registry.v1.ProjectCreated",
    "access_key_created": "registry.v1.AccessKeyCreated",
    "access_key_rotated": "registry.v1.AccessKeyRotated",
    "access_key_revoked": "registry.v1.AccessKeyRevoked",
    "events_credential_created": "registry.v1.EventsCredentialCreated",
    "events_credential_revoked": "registry.v1.EventsCredentialRevoked",
}
"""What each fact of a RegistryEvent is stored as: for ever, whatever the code is called."""


OPERATORS = frozenset({"attachment", "default_attachment", "account", "access_key"})
NAMED_BY = {"account": "name", "default_attachment": "cell"}
"""What names a resource in a subject, where it is not its id."""


class UnknownEvent(Exception):
    """The log holds an event that this version of the registry does not know."""


def seal(message: RegistryEvent) -> NewEvent:
    """The event to store."""
    fact = message.WhichOneof("fact") or ""
    return NewEvent(STORED_NAMES[fact], message.SerializeToString(deterministic=True))


def unseal(event: RecordedEvent) -> RegistryEvent:
    """The message of a stored event, whose fact is one that we know."""
    message = RegistryEvent.FromString(event.data)
    fact = message.WhichOneof("fact")
    if fact is None or STORED_NAMES[fact] != event.type:
        raise UnknownEvent(f"{event.stream} has at version {event.version} a {event.type}: this program is too old")
    return message


def subject_of(event: RecordedEvent) -> str:
    """What an event is published under. Attachments, accounts and keys are the operator's."""
    message = RegistryEvent.FromString(event.data)
    kind = message.WhichOneof("resource") or ""
    resource = getattr(message, kind)
    project = OPERATOR if kind in OPERATORS else resource.project
    return subjects.registry(kind, project, getattr(resource, NAMED_BY.get(kind, "id")))


def timestamp(at: int) -> Timestamp:
    """Nanoseconds since the epoch as the contract has them."""
    made = Timestamp()
    made.FromNanoseconds(at)
    return made


def nanoseconds(time: Timestamp) -> int:
    return int(time.ToNanoseconds())
