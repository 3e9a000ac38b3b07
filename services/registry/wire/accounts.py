"""Accounts and access keys, stored and shown."""

from typing import assert_never

from services.common.errors import Invalid
from services.common.eventsourcing.store import NewEvent, RecordedEvent
from services.common.principal import Role
from services.registry.domain.account import (
    AccessKey,
    AccessKeyCreated,
    AccessKeyRevoked,
    AccessKeyRotated,
    Account,
    AccountCreated,
    Event,
    ProjectCreated,
    State,
    of,
)
from services.registry.wire.envelope import UnknownEvent, nanoseconds, seal, timestamp, unseal
from sidegate.api.events.v1 import registry_events_pb2 as events_pb2
from sidegate.api.registry.v1 import account_pb2

ROLES = {
    Role.OPERATOR: account_pb2.ROLE_OPERATOR,
    Role.ADMIN: account_pb2.ROLE_ADMIN,
    Role.VIEWER: account_pb2.ROLE_VIEWER,
}
"""The roles of access keys; programs have certificates."""


def role_of(shown: account_pb2.Role.ValueType) -> Role:
    """Raises Invalid for none."""
    for role, known in ROLES.items():
        if known == shown:
            return role
    raise Invalid("ROLE_INVALID", "say what the key may be used for: OPERATOR, ADMIN or VIEWER", field="key.role")


class AccountCodec:
    def encode(self, event: Event, state: State) -> NewEvent:
        return seal(_message(event, of(state).account))

    def decode(self, event: RecordedEvent) -> Event:
        message = unseal(event)
        match message.WhichOneof("fact"):
            case "account_created":
                return AccountCreated(_account(message.account))
            case "project_created":
                return ProjectCreated(message.project_created.project)
            case "access_key_created":
                return AccessKeyCreated(key_of(message.access_key), message.access_key_created.secret_id)
            case "access_key_rotated":
                return AccessKeyRotated(key_of(message.access_key), message.access_key_rotated.secret_id)
            case "access_key_revoked":
                return AccessKeyRevoked(key_of(message.access_key))
            case fact:
                raise UnknownEvent(f"{event.stream} is an account's and holds {fact}")

    def partition(self, state: State) -> str:
        return ""


def account_message(account: Account) -> account_pb2.Account:
    return account_pb2.Account(name=account.name, projects=account.projects, create_time=timestamp(account.created_at))


def key_message(key: AccessKey) -> account_pb2.AccessKey:
    shown = account_pb2.AccessKey(
        id=key.id,
        account=key.account,
        project=key.project,
        role=ROLES[key.role],
        generation=key.generation,
        create_time=timestamp(key.created_at),
    )
    if key.rotated_at:
        shown.rotate_time.CopyFrom(timestamp(key.rotated_at))
    if key.revoked_at:
        shown.revoke_time.CopyFrom(timestamp(key.revoked_at))
    return shown


def key_of(message: account_pb2.AccessKey) -> AccessKey:
    return AccessKey(
        id=message.id,
        account=message.account,
        project=message.project,
        role=role_of(message.role),
        created_at=nanoseconds(message.create_time),
        generation=message.generation,
        rotated_at=nanoseconds(message.rotate_time),
        revoked_at=nanoseconds(message.revoke_time),
    )


def _message(event: Event, account: Account) -> events_pb2.RegistryEvent:
    match event:
        case AccountCreated():
            created = events_pb2.AccountCreated()
            return events_pb2.RegistryEvent(account_created=created, account=account_message(account))
        case ProjectCreated(project):
            added = events_pb2.ProjectCreated(project=project)
            return events_pb2.RegistryEvent(project_created=added, account=account_message(account))
        case AccessKeyCreated(key, secret_id):
            made = events_pb2.AccessKeyCreated(secret_id=secret_id)
            return events_pb2.RegistryEvent(access_key_created=made, access_key=key_message(key))
        case AccessKeyRotated(key, secret_id):
            rotated = events_pb2.AccessKeyRotated(secret_id=secret_id)
            return events_pb2.RegistryEvent(access_key_rotated=rotated, access_key=key_message(key))
        case AccessKeyRevoked(key):
            revoked = events_pb2.AccessKeyRevoked()
            return events_pb2.RegistryEvent(access_key_revoked=revoked, access_key=key_message(key))
        case _:
            assert_never(event)


def _account(message: account_pb2.Account) -> Account:
    return Account(message.name, tuple(message.projects), nanoseconds(message.create_time))
