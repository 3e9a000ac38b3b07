"""The default attachment of a cell: set, replaced, taken away by the operator."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from services.common.eventsourcing.decider import Decider
from services.registry.domain.reach import DefaultAttachment


@dataclass(frozen=True, slots=True)
class Absent:
    """None was ever set."""


@dataclass(frozen=True, slots=True)
class Present:
    default: DefaultAttachment


@dataclass(frozen=True, slots=True)
class Deleted:
    default: DefaultAttachment


State = Absent | Present | Deleted


@dataclass(frozen=True, slots=True)
class Set:
    default: DefaultAttachment


@dataclass(frozen=True, slots=True)
class SetFirst:
    """Sets it where none was ever set: what was taken away stays so."""

    default: DefaultAttachment


@dataclass(frozen=True, slots=True)
class Delete:
    pass


Command = Set | SetFirst | Delete


@dataclass(frozen=True, slots=True)
class DefaultAttachmentSet:
    default: DefaultAttachment


@dataclass(frozen=True, slots=True)
class DefaultAttachmentDeleted:
    pass


Event = DefaultAttachmentSet | DefaultAttachmentDeleted


def decide(command: Command, state: State) -> Sequence[Event]:
    match command, state:
        case Set(wanted), Present(default) if wanted.template == default.template:
            return []
        case (Set(wanted), _) | (SetFirst(wanted), Absent()):
            return [DefaultAttachmentSet(wanted)]
        case Delete(), Present():
            return [DefaultAttachmentDeleted()]
        case _:
            return []


def evolve(state: State, event: Event) -> State:
    match event:
        case DefaultAttachmentSet(default):
            return Present(default)
        case DefaultAttachmentDeleted():
            return Deleted(of(state))
        case _:
            assert_never(event)


def of(state: State) -> DefaultAttachment:
    """The default attachment of a state that has one."""
    match state:
        case Absent():
            raise LookupError("a default attachment's stream begins with DefaultAttachmentSet")
        case _:
            return state.default


DECIDER: Decider[Command, State, Event] = Decider(Absent(), decide, evolve)
