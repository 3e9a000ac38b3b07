"""A port: one address of one subnet with one holder."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import assert_never

from services.common.addressing import Address
from services.common.errors import NotFound, WrongState
from services.common.eventsourcing.decider import Decider
from services.common.eventsourcing.store import Claim, Constraints
from services.common.principal import Principal
from services.registry.domain import vpc
from services.registry.domain.addresses import address_claim

RESOLVER = "resolver"
"""What gateways have an address for."""

ENDPOINT_PORT = "endpoint-port"
"""The kind of claim that an endpoint has its one port."""


@dataclass(frozen=True, slots=True)
class Machine:
    """Something of the project's own that has the address."""

    name: str

    def __str__(self) -> str:
        return f"machine/{self.name}"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint that has the address for its whole life."""

    id: str

    def __str__(self) -> str:
        return f"endpoint/{self.id}"


@dataclass(frozen=True, slots=True)
class Gateway:
    """Gateways, which answer for the address: as the VPC's resolver. Such a port lives and goes with its VPC."""

    what: str = RESOLVER

    def __str__(self) -> str:
        return f"gateway/{self.what}"


Holder = Machine | Endpoint | Gateway


@dataclass(frozen=True, slots=True)
class Port:
    """`created_at` is when it was last reserved: an endpoint's may be reserved again before the endpoint is there."""

    id: str
    subnet_id: str
    vpc_id: str
    owner: Principal
    address: Address
    holder: Holder
    created_at: int


@dataclass(frozen=True, slots=True)
class Absent:
    pass


@dataclass(frozen=True, slots=True)
class Reserved:
    port: Port


@dataclass(frozen=True, slots=True)
class Released:
    port: Port


State = Absent | Reserved | Released


@dataclass(frozen=True, slots=True)
class Reserve:
    port: Port


@dataclass(frozen=True, slots=True)
class Renew:
    """Reserve again what an endpoint has reserved, so that the reservation is young again."""

    at: int


@dataclass(frozen=True, slots=True)
class Delete:
    """The project gives a machine's address back."""


@dataclass(frozen=True, slots=True)
class Release:
    """The platform gives an endpoint's address back."""


Command = Reserve | Renew | Delete | Release


@dataclass(frozen=True, slots=True)
class PortReserved:
    port: Port


@dataclass(frozen=True, slots=True)
class PortReleased:
    pass


Event = PortReserved | PortReleased


def decide(command: Command, state: State) -> Sequence[Event]:
    match command, state:
        case Reserve(port), Absent():
            return [PortReserved(port)]
        case Renew(at), Reserved(Port(holder=Endpoint()) as port):
            return [PortReserved(replace(port, created_at=max(at, port.created_at)))]
        case Delete(), Reserved(Port(holder=Endpoint(endpoint_id)) as port):
            text = f"port {port.id} goes with its endpoint: delete endpoint {endpoint_id}"
            raise WrongState("PORT_OF_ENDPOINT", text, blockers=[endpoint_id])
        case (Delete(), Reserved()) | (Release(), Reserved(Port(holder=Endpoint()))):
            return [PortReleased()]
        case (Delete(), Released()) | (Release(), Released()):
            return []
        case ((Renew() | Delete() | Release()), Released(port)):
            raise NotFound("port", port.id)
        case _:
            verb, stage = type(command).__name__.lower(), type(state).__name__.lower()
            raise WrongState("PORT_WRONG_STATE", f"cannot {verb} a port that is {stage}")


def evolve(state: State, event: Event) -> State:
    match event:
        case PortReserved(port):
            return Reserved(port)
        case PortReleased():
            return Released(of(state))
        case _:
            assert_never(event)


def constraints(state: State, event: Event) -> Constraints:
    match event, state:
        case PortReserved(), Reserved():
            return Constraints()
        case PortReserved(port), _:
            subnet = vpc.subnet_claim(port.subnet_id)
            return Constraints(claims=_held(port), requires=(subnet,), counts=(vpc.subnet_use(port.subnet_id, 1),))
        case _:
            port = of(state)
            return Constraints(releases=_held(port), counts=(vpc.subnet_use(port.subnet_id, -1),))


def of(state: State) -> Port:
    """The port of a state that has one."""
    match state:
        case Absent():
            raise LookupError("a port's stream begins with PortReserved")
        case _:
            return state.port


def endpoint_claim(endpoint_id: str) -> Claim:
    """That an endpoint has its one port."""
    return Claim(ENDPOINT_PORT, endpoint_id)


def _held(port: Port) -> tuple[Claim, ...]:
    address = address_claim(port.subnet_id, port.address)
    # The endpoint's first: one that asks twice at once is told of itself, not that its address is taken.
    return (endpoint_claim(port.holder.id), address) if isinstance(port.holder, Endpoint) else (address,)


DECIDER: Decider[Command, State, Event] = Decider(Absent(), decide, evolve, constraints)
