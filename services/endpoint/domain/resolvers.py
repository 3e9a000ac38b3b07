"""The resolvers of VPCs, as each cell's gateways answer for them: each (VPC, cell) in use is a stream of its own."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.common.addressing import Address
from services.common.eventsourcing.decider import Decider
from services.endpoint.domain.forwarding import Unused


@dataclass(frozen=True, slots=True)
class Resolver:
    """A DNS server of a VPC's: its address there, and who is asked ("address:port") for names outside of its zone."""

    address: Address
    forwarders: tuple[str, ...]
    zone: str


@dataclass(frozen=True, slots=True)
class ResolverForwarded:
    """What the cell's gateways answer for in a VPC; nothing where it has none. `version` counts its changes."""

    cell: str
    vpc: str
    version: int
    resolver: Resolver | None


State = Unused | ResolverForwarded


@dataclass(frozen=True, slots=True)
class Resolve:
    """Make the cell's gateways answer so; None is not at all."""

    cell: str
    vpc: str
    resolver: Resolver | None


@dataclass(frozen=True, slots=True)
class ResolverChanged:
    entry: ResolverForwarded


def decide(command: Resolve, state: State) -> Sequence[ResolverChanged]:
    match state:
        case ResolverForwarded(resolver=known) if known == command.resolver:
            return []
        case ResolverForwarded(version=version):
            return [ResolverChanged(_entry(command, version + 1))]
        case _:
            return [] if command.resolver is None else [ResolverChanged(_entry(command, 1))]


def _entry(command: Resolve, version: int) -> ResolverForwarded:
    return ResolverForwarded(command.cell, command.vpc, version, command.resolver)


def evolve(_state: State, event: ResolverChanged) -> State:
    return event.entry


RESOLVER: Decider[Resolve, State, ResolverChanged] = Decider(Unused(), decide, evolve)
