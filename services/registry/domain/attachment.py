"""An attachment that the operator makes for one VPC. No tenant can: so none can name another's network."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from services.common.errors import WrongState
from services.common.eventsourcing.decider import Decider
from services.common.eventsourcing.store import Constraints
from services.registry.domain import vpc
from services.registry.domain.reach import Attachment, claims


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
                claims=claims(attachment),
                requires=(vpc.claim(attachment.vpc_id),),
                counts=(vpc.use(attachment.vpc_id, 1),),
            )
        case AttachmentDeleted():
            attachment = of(state)
            return Constraints(releases=claims(attachment), counts=(vpc.use(attachment.vpc_id, -1),))
        case _:
            assert_never(event)


def of(state: State) -> Attachment:
    """The attachment of a state that has one."""
    match state:
        case Absent():
            raise LookupError("an attachment's stream begins with AttachmentCreated")
        case _:
            return state.attachment


DECIDER: Decider[Command, State, Event] = Decider(Absent(), decide, evolve, constraints)
