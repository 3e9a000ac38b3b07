"""An attachment: how the gateways of a cell reach a VPC. The operator's, so no tenant can name another's network."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from services.common.errors import WrongState
from services.common.eventsourcing.decider import Decider
from services.common.eventsourcing.store import Claim, Constraints
from services.registry.domain import vpc
from services.registry.domain.targets import Target


@dataclass(frozen=True, slots=True)
class Attachment:
    id: str
    vpc_id: str
    cell: str
    target: Target
    created_at: int


@dataclass(frozen=True, slots=True)
class Absent:
    pass


@dataclass(frozen=True, slots=True)
class Present:
    attachment: Attachment


@dataclass(frozen=True, slots=True)
class Deleted:
    attachment: Attachment


State = Absent | Present | Deleted


@dataclass(frozen=True, slots=True)
class Create:
    attachment: Attachment


@dataclass(frozen=True, slots=True)
class Delete:
    pass


Command = Create | Delete


@dataclass(frozen=True, slots=True)
class AttachmentCreated:
    attachment: Attachment


@dataclass(frozen=True, slots=True)
class AttachmentDeleted:
    pass


Event = AttachmentCreated | AttachmentDeleted


def decide(command: Command, state: State) -> Sequence[Event]:
    match command, state:
        case Create(attachment), Absent():
            return [AttachmentCreated(attachment)]
        case Delete(), Present():
            return [AttachmentDeleted()]
        case Delete(), Deleted():
            return []
        case _:
            verb, stage = type(command).__name__.lower(), type(state).__name__.lower()
            raise WrongState("ATTACHMENT_WRONG_STATE", f"cannot {verb} an attachment that is {stage}")


def evolve(state: State, event: Event) -> State:
    match event:
        case AttachmentCreated(attachment):
            return Present(attachment)
        case AttachmentDeleted():
            return Deleted(of(state))
        case _:
            assert_never(event)


def constraints(state: State, event: Event) -> Constraints:
    match event:
        case AttachmentCreated(attachment):
            return Constraints(
                claims=_held(attachment),
                requires=(vpc.claim(attachment.vpc_id),),
                counts=(vpc.use(attachment.vpc_id, 1),),
            )
        case AttachmentDeleted():
            attachment = of(state)
            return Constraints(releases=_held(attachment), counts=(vpc.use(attachment.vpc_id, -1),))
        case _:
            assert_never(event)


def of(state: State) -> Attachment:
    """The attachment of a state that has one."""
    match state:
        case Absent():
            raise LookupError("an attachment's stream begins with AttachmentCreated")
        case _:
            return state.attachment


def _held(attachment: Attachment) -> tuple[Claim, ...]:
    return (
        Claim("attachment-target", f"{attachment.cell}/{attachment.target}"),
        Claim("attachment-vpc", f"{attachment.cell}/{attachment.vpc_id}"),
    )


DECIDER: Decider[Command, State, Event] = Decider(Absent(), decide, evolve, constraints)
