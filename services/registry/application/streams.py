"""The registry's streams, the ids of what is new in them, and what a store's refusal means to the caller."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from services.common.errors import AlreadyExists, NotFound, QuotaReached, Refused
from services.common.eventsourcing.aggregate import Aggregate
from services.common.eventsourcing.context import CommandContext
from services.common.eventsourcing.store import (
    AlreadyClaimed,
    Claim,
    Constraints,
    Count,
    EventStore,
    LimitReached,
    NotClaimed,
    RecordedEvent,
)
from services.common.principal import SYSTEM, Principal
from services.common.rpc.records import event_meta
from services.registry.domain import (
    account,
    attachment,
    credential,
    default_attachment,
    port,
    private_name,
    service,
    service_commands,
    service_events,
    vpc,
    vpc_commands,
)
from services.registry.wire.accounts import AccountCodec
from services.registry.wire.attachments import AttachmentCodec
from services.registry.wire.credentials import CredentialCodec
from services.registry.wire.default_attachments import DefaultAttachmentCodec
from services.registry.wire.ports import PortCodec
from services.registry.wire.services import ServiceCodec
from services.registry.wire.vpcs import VpcCodec
from sidegate import tracing

OURSELVES = Principal(SYSTEM, "registry")
NAMES = uuid.UUID("3f0b6f0e-5c0f-4c53-9a0f-6d3c1c2f8b47")
"""The name space of ids that are made from requests."""


class Streams:
    """One aggregate for each kind of streams."""

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self.vpcs: Aggregate[vpc_commands.Command, vpc.State, vpc.Event] = Aggregate(
            store, vpc.DECIDER, VpcCodec(), event_meta
        )
        self.ports: Aggregate[port.Command, port.State, port.Event] = Aggregate(
            store, port.DECIDER, PortCodec(), event_meta
        )
        self.attachments: Aggregate[attachment.Command, attachment.State, attachment.Event] = Aggregate(
            store, attachment.DECIDER, AttachmentCodec(), event_meta
        )
        self.defaults: Aggregate[default_attachment.Command, default_attachment.State, default_attachment.Event] = (
            Aggregate(store, default_attachment.DECIDER, DefaultAttachmentCodec(), event_meta)
        )
        self.services: Aggregate[service_commands.Command, service.State, service_events.Event] = Aggregate(
            store, service.DECIDER, ServiceCodec(), event_meta
        )

        self.accounts: Aggregate[account.Command, account.State, account.Event] = Aggregate(
            store, account.DECIDER, AccountCodec(), event_meta
        )

        self.credentials: Aggregate[credential.Command, credential.State, credential.Event] = Aggregate(
            store, credential.DECIDER, CredentialCodec(), event_meta
        )

    async def first_answer(self, context: CommandContext) -> bytes | None:
        """What the same request was answered before; None if it is new, or has no id."""
        key = context.request_key
        first = None if key is None else await self._store.recall(key, context.command_hash)
        return None if first is None else first.response

    async def count(self, kind: str, key: str) -> int:
        """Where a counter stands."""
        return await self._store.count(kind, key)

    async def holders(self, prefix: Claim) -> dict[str, str]:
        """The claims whose keys begin like this one's: key to the stream that holds it."""
        return dict(await self._store.holders(prefix.kind, prefix.key))

    def meaning(self) -> Callable[[RecordedEvent], Constraints]:
        """What the log's events claim and count; to be called with each, in order."""
        by_kind = {
            "vpc": self.vpcs.meaning(),
            "port": self.ports.meaning(),
            "attachment": self.attachments.meaning(),
            "default_attachment": self.defaults.meaning(),
            "service": self.services.meaning(),
            "account": self.accounts.meaning(),
            "credential": self.credentials.meaning(),
        }
        return lambda event: by_kind[event.stream.partition("-")[0]](event)


def stream(kind: str, id_: str) -> str:
    return f"{kind}-{id_}"


def new_id(context: CommandContext) -> str:
    """The id of what a command creates: the same for the same request."""
    key = context.request_key
    if key is None:
        return str(uuid.uuid4())
    return str(uuid.uuid5(NAMES, "/".join((key.account, key.project, key.method, key.request_id))))


def on_our_own(method: str, at: int, expected_version: int | None = None) -> CommandContext:
    """The context of a command that a policy gives. `method` names the policy in the audit log."""
    traceparent = tracing.current()
    return CommandContext(OURSELVES, at, method=method, expected_version=expected_version, traceparent=traceparent)


def no_answer(_state: object, _version: int) -> bytes:
    """What a command is answered with that has nothing to show."""
    return b""


@contextmanager
def explained() -> Iterator[None]:
    """Turns the store's refusals that have a meaning for the caller into words that say it; others stay."""
    try:
        yield
    except (AlreadyClaimed, NotClaimed, LimitReached) as error:
        refusal = _refusal(error)
        if refusal is None:
            raise
        raise refusal from error


def _refusal(error: AlreadyClaimed | NotClaimed | LimitReached) -> Refused | None:
    match error:
        case AlreadyClaimed(claim=claim):
            return _taken(claim)
        case NotClaimed(claim=Claim("vpc" | "subnet" as kind, id_)):
            return NotFound(kind, id_)
        case LimitReached(count=Count(service.SERVICES, limit=limit)):
            text = f"the project has {limit} endpoint services, as many as it may: delete one first"
            return QuotaReached("SERVICE_QUOTA", text)
        case LimitReached(count=Count(credential.IN_USE, limit=limit)):
            text = f"the project has {limit} credentials for events, as many as it may: revoke one first"
            return QuotaReached("CREDENTIAL_QUOTA", text)
        case _:
            return None


def _taken(claim: Claim) -> Refused | None:
    scope, _, name = claim.key.rpartition("/")
    match claim.kind:
        case "vpc-name":
            return AlreadyExists("NAME_TAKEN", f"the project has a VPC {name} already", field="vpc.name")
        case "service-name":
            text = f"the project has an endpoint service {name} already"
            return AlreadyExists("NAME_TAKEN", text, field="endpoint_service.name")
        case private_name.PRIVATE_NAME:
            return private_name.taken(claim.key)
        case credential.KEY:
            text = "there is, or was, a credential with this key already: make another"
            return AlreadyExists("KEY_TAKEN", text, field="credential.public_key")
        case "attachment-target":
            return _target_taken(claim)
        case "attachment-vpc":
            text = f"vpc {name} is attached in cell {scope} already"
            return AlreadyExists("VPC_ATTACHED", text, field="attachment.vpc_id")
        case _:
            return None


def _target_taken(claim: Claim) -> AlreadyExists:
    """Keys are CELL/KIND/WHAT, for instance default/netns/shop, default/vxlan/100/4789, default/interface/name/eth1."""
    cell, kind, what = claim.key.split("/", 2)
    way_out = "`sidegate attachment list` says to which VPC, and that attachment must go first"
    text = f"{kind} {what.replace('/', ' ')} is attached in cell {cell} already: {way_out}"
    return AlreadyExists("TARGET_TAKEN", text, field=f"attachment.{kind}")
