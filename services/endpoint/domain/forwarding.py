"""What a cell's gateways need besides endpoints: where services lead, and how VPCs are reached.

Each (service, cell) and each (VPC, cell) in use is a stream of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address

from services.common.eventsourcing.decider import Decider
from services.endpoint.domain.targets import Target


class Protocol(StrEnum):
    TCP = "tcp"
    UDP = "udp"


@dataclass(frozen=True, slots=True, order=True)
class PortMapping:
    """Connections to `client_port` of an endpoint go to `server_port` of a backend (1 to 65535)."""

    client_port: int
    server_port: int
    protocol: Protocol


@dataclass(frozen=True, slots=True)
class Backend:
    """Where connections end: new ones in proportion to its weight (1 to 100), and none while it is draining."""

    address: IPv4Address
    weight: int = 1
    draining: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """What each endpoint may take: open sessions, new ones and bits in a second; 0 is no limit."""

    connections: int = 0
    new_connections: int = 0
    bits: int = 0


NO_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Unused:
    """No gateway of the cell has been told of it."""


@dataclass(frozen=True, slots=True)
class ServiceForwarded:
    """Where endpoints of a service lead. `version` is the registry's."""

    cell: str
    service: str
    version: int
    vpc: str
    backends: tuple[Backend, ...]
    ports: tuple[PortMapping, ...]
    limits: Limits = NO_LIMITS


@dataclass(frozen=True, slots=True)
class ServiceRemoved:
    """The service is gone, for good."""

    cell: str
    service: str
    version: int


ServiceState = Unused | ServiceForwarded | ServiceRemoved


@dataclass(frozen=True, slots=True)
class ForwardService:
    """Make the cell forward the service as it is at this version."""

    service: ServiceForwarded


@dataclass(frozen=True, slots=True)
class RemoveService:
    """The service is gone."""


ServiceCommand = ForwardService | RemoveService


@dataclass(frozen=True, slots=True)
class ServiceForwardingChanged:
    entry: ServiceForwarded | ServiceRemoved


def decide_service(command: ServiceCommand, state: ServiceState) -> Sequence[ServiceForwardingChanged]:
    match command, state:
        case ForwardService(service), Unused():
            return [ServiceForwardingChanged(service)]
        case ForwardService(service), ServiceForwarded(version=known) if service.version > known:
            return [ServiceForwardingChanged(service)]
        case RemoveService(), ServiceForwarded(cell, service_id, version):
            return [ServiceForwardingChanged(ServiceRemoved(cell, service_id, version + 1))]
        case _:
            return []


def evolve_service(_state: ServiceState, event: ServiceForwardingChanged) -> ServiceState:
    return event.entry


SERVICE: Decider[ServiceCommand, ServiceState, ServiceForwardingChanged] = Decider(
    Unused(), decide_service, evolve_service
)


@dataclass(frozen=True, slots=True)
class AttachmentForwarded:
    """How the cell's gateways reach a VPC; not at all where there is no target. `version` counts its changes."""

    cell: str
    vpc: str
    version: int
    target: Target | None


AttachmentState = Unused | AttachmentForwarded


@dataclass(frozen=True, slots=True)
class ReachVpc:
    """Make the cell's gateways reach the VPC so; None is not at all."""

    cell: str
    vpc: str
    target: Target | None


@dataclass(frozen=True, slots=True)
class AttachmentChanged:
    entry: AttachmentForwarded


def decide_attachment(command: ReachVpc, state: AttachmentState) -> Sequence[AttachmentChanged]:
    match state:
        case AttachmentForwarded(target=known) if known == command.target:
            return []
        case AttachmentForwarded(version=version):
            return [AttachmentChanged(_attachment(command, version + 1))]
        case _:
            return [] if command.target is None else [AttachmentChanged(_attachment(command, 1))]


def _attachment(command: ReachVpc, version: int) -> AttachmentForwarded:
    return AttachmentForwarded(command.cell, command.vpc, version, command.target)


def evolve_attachment(_state: AttachmentState, event: AttachmentChanged) -> AttachmentState:
    return event.entry


ATTACHMENT: Decider[ReachVpc, AttachmentState, AttachmentChanged] = Decider(
    Unused(), decide_attachment, evolve_attachment
)
