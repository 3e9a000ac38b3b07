"""A gateway's membership of its cell: joined, lost, retired."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from services.common.errors import NotFound, WrongState
from services.common.eventsourcing.decider import Decider


@dataclass(frozen=True, slots=True)
class Absent:
    """Never joined."""


@dataclass(frozen=True, slots=True)
class Joined:
    id: str
    cell: str


@dataclass(frozen=True, slots=True)
class Lost:
    """Unheard of. By `fenced_at` (nanoseconds since the epoch) it has stopped forwarding by itself."""

    id: str
    cell: str
    fenced_at: int


@dataclass(frozen=True, slots=True)
class Retired:
    """Taken away by the operator, for good: nothing waits for it."""

    id: str
    cell: str


Member = Joined | Lost | Retired
State = Absent | Member


@dataclass(frozen=True, slots=True)
class Join:
    gateway: str
    cell: str


@dataclass(frozen=True, slots=True)
class Lose:
    """Its lease ran out."""

    fenced_at: int


@dataclass(frozen=True, slots=True)
class Retire:
    gateway: str


Command = Join | Lose | Retire


@dataclass(frozen=True, slots=True)
class GatewayJoined:
    gateway: str
    cell: str


@dataclass(frozen=True, slots=True)
class GatewayLost:
    gateway: str
    cell: str
    fenced_at: int


@dataclass(frozen=True, slots=True)
class GatewayRetired:
    gateway: str
    cell: str


Event = GatewayJoined | GatewayLost | GatewayRetired


def decide(command: Command, state: State) -> Sequence[Event]:
    match command, state:
        case Join(gateway, cell), Absent():
            return [GatewayJoined(gateway, cell)]
        case Join(cell=cell), Joined(id_, home) | Lost(id_, home) if cell != home:
            raise WrongState("OTHER_CELL", f"gateway {id_} belongs to cell {home}: give this one another id")
        case Join(gateway, cell), Lost():
            return [GatewayJoined(gateway, cell)]
        case Join(), Retired(id_):
            raise WrongState("GATEWAY_RETIRED", f"gateway {id_} was retired: give this one another id")
        case Lose(fenced_at), Joined(id_, cell):
            return [GatewayLost(id_, cell, fenced_at)]
        case Retire(), Joined(id_, cell) | Lost(id_, cell):
            return [GatewayRetired(id_, cell)]
        case Retire(gateway), Absent():
            raise NotFound("gateway", gateway)
        case _:
            return []


def evolve(_state: State, event: Event) -> State:
    match event:
        case GatewayJoined(gateway, cell):
            return Joined(gateway, cell)
        case GatewayLost(gateway, cell, fenced_at):
            return Lost(gateway, cell, fenced_at)
        case GatewayRetired(gateway, cell):
            return Retired(gateway, cell)
        case _:
            assert_never(event)


GATEWAY: Decider[Command, State, Event] = Decider(Absent(), decide, evolve)
