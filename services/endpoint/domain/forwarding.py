"""What a cell's gateways need besides endpoints: where services lead, and how VPCs are reached.

Each (service, cell) and each (VPC, cell) in use is a stream of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from services.common.addressing import Address
from services.common.eventsourcing.decider import Decider
from services.common.service_settings import USUAL, HealthCheck, SessionSettings
from services.endpoint.domain.targets import Target


class Protocol(StrEnum):
    TCP = "tcp"
    UDP = "udp"


class ClientIdentity(StrEnum):
    """What backends learn of a client; see the contract."""

    NONE = "none"
    TOA = "toa"
    PROXY_PROTOCOL = "proxy_protocol"
    TOA_AND_PROXY_PROTOCOL = "toa_and_proxy_protocol"
    PROXY_PROTOCOL_WITH_MARKER = "proxy_protocol_with_marker"


@dataclass(frozen=True, slots=True, order=True)
class PortMapping:
    """Connections to `client_port` of an endpoint go to `server_port` of a backend (1 to 65535).

    `client_identity` is what holds: the port's own, or the service's; of UDP none.
    """

    client_port: int
    server_port: int
    protocol: Protocol
    client_identity: ClientIdentity = ClientIdentity.NONE


@dataclass(frozen=True, slots=True)
class Backend:
    """Where connections end: new ones in proportion to its weight (1 to 100), and none while it is draining."""

    address: Address
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
class RegistryLog:
    """Which of the registry's logs something was read in: one that was restored goes on with a higher epoch."""

    id: str = ""
    epoch: int = 0


UNKNOWN_LOG = RegistryLog()


@dataclass(frozen=True, slots=True)
class ServiceForwarded:
    """Where endpoints of a service lead.

    `version` is the registry's, and `ahead` more: a registry that was restored counts again from what it was. A health
    check has the port that is asked.
    """

    cell: str
    service: str
    version: int
    vpc: str
    backends: tuple[Backend, ...]
    ports: tuple[PortMapping, ...]
    limits: Limits = NO_LIMITS
    log: RegistryLog = UNKNOWN_LOG
    ahead: int = 0
    session_settings: SessionSettings = USUAL
    health_check: HealthCheck | None = None

    @property
    def registry_version(self) -> int:
        return self.version - self.ahead


@dataclass(frozen=True, slots=True)
class ServiceRemoved:
    """The service is gone, for good: unless the registry is restored to when it was there."""

    cell: str
    service: str
    version: int
    log: RegistryLog = UNKNOWN_LOG


ServiceState = Unused | ServiceForwarded | ServiceRemoved


@dataclass(frozen=True, slots=True)
class ForwardService:
    """Make the cell forward the service as it is at this version of the registry's."""

    service: ServiceForwarded


@dataclass(frozen=True, slots=True)
class RemoveService:
    """The service is gone, says this log."""

    log: RegistryLog = UNKNOWN_LOG


ServiceCommand = ForwardService | RemoveService


@dataclass(frozen=True, slots=True)
class ServiceForwardingChanged:
    entry: ServiceForwarded | ServiceRemoved


def decide_service(command: ServiceCommand, state: ServiceState) -> Sequence[ServiceForwardingChanged]:
    match command, state:
        case ForwardService(service), Unused():
            return [ServiceForwardingChanged(service)]
        case ForwardService(service), ServiceForwarded() if _is_news(service, state):
            return [ServiceForwardingChanged(_after(service, state.version))]
        case ForwardService(service), ServiceRemoved(log=log) if _is_another(service.log, log):
            return [ServiceForwardingChanged(_after(service, state.version))]
        case RemoveService(log), ServiceForwarded(cell, service_id, version):
            return [ServiceForwardingChanged(ServiceRemoved(cell, service_id, version + 1, _known(log, state.log)))]
        case _:
            return []


def _is_news(service: ServiceForwarded, known: ServiceForwarded) -> bool:
    if service.log == known.log or not _is_known(service.log, known.log):
        return service.version > known.registry_version or _was_read_by_another(service, known)
    return _is_another(service.log, known.log)


def _was_read_by_another(service: ServiceForwarded, known: ServiceForwarded) -> bool:
    """Whether what is known is of this version, but was read by a program that did not know all there is to it."""
    ours = replace(service, version=known.version, ahead=known.ahead)
    return service.version == known.registry_version and ours != known and service.log == known.log


def _is_another(log: RegistryLog, known: RegistryLog) -> bool:
    """Whether it took the place of the one that is known: another log, or the same one restored."""
    return _is_known(log, known) and (log.id != known.id or log.epoch > known.epoch)


def _is_known(*logs: RegistryLog) -> bool:
    """A program of before 0.2 does not say which log it speaks of."""
    return all(log.id for log in logs)


def _known(log: RegistryLog, otherwise: RegistryLog) -> RegistryLog:
    return log if log.id else otherwise


def _after(service: ServiceForwarded, version: int) -> ServiceForwarded:
    """Gateways ignore what is not newer than what they know."""
    ours = max(service.version, version + 1)
    return replace(service, version=ours, ahead=ours - service.version)


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
