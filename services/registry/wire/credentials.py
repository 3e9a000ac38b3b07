"""Credentials for projects' programs, stored and shown."""

from typing import assert_never

from services.common.eventsourcing.store import NewEvent, RecordedEvent
from services.common.identity.nats import rights
from services.common.principal import Principal
from services.registry.domain.credential import (
    Credential,
    CredentialCreated,
    CredentialRevoked,
    Event,
    State,
    of,
)
from services.registry.wire.envelope import UnknownEvent, nanoseconds, seal, timestamp, unseal
from sidegate.api.events.v1 import registry_events_pb2 as events_pb2
from sidegate.api.registry.v1 import credential_pb2


class CredentialCodec:
    def encode(self, event: Event, state: State) -> NewEvent:
        return seal(_message(event, of(state)))

    def decode(self, event: RecordedEvent) -> Event:
        message = unseal(event)
        match message.WhichOneof("fact"):
            case "events_credential_created":
                return CredentialCreated(credential_of(message.events_credential))
            case "events_credential_revoked":
                return CredentialRevoked(nanoseconds(message.events_credential.revoke_time))
            case fact:
                raise UnknownEvent(f"{event.stream} is a credential's and holds {fact}")

    def partition(self, state: State) -> str:
        return ""


def credential_message(credential: Credential) -> credential_pb2.EventsCredential:
    shown = credential_pb2.EventsCredential(
        id=credential.id,
        account=credential.owner.account,
        project=credential.owner.project,
        public_key=credential.public_key,
        consumer=rights.subscriber(credential.id),
        create_time=timestamp(credential.created_at),
        expire_time=timestamp(credential.expires_at),
    )
    if credential.revoked_at:
        shown.revoke_time.CopyFrom(timestamp(credential.revoked_at))
    return shown


def credential_of(message: credential_pb2.EventsCredential) -> Credential:
    return Credential(
        id=message.id,
        owner=Principal(message.account, message.project),
        public_key=message.public_key,
        created_at=nanoseconds(message.create_time),
        expires_at=nanoseconds(message.expire_time),
        revoked_at=nanoseconds(message.revoke_time),
    )


def _message(event: Event, credential: Credential) -> events_pb2.RegistryEvent:
    shown = credential_message(credential)
    match event:
        case CredentialCreated():
            made = events_pb2.EventsCredentialCreated()
            return events_pb2.RegistryEvent(events_credential_created=made, events_credential=shown)
        case CredentialRevoked():
            revoked = events_pb2.EventsCredentialRevoked()
            return events_pb2.RegistryEvent(events_credential_revoked=revoked, events_credential=shown)
        case _:
            assert_never(event)
