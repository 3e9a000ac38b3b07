"""An endpoint service's life: Creating -> Available -> Closing -> Available | Deleting -> Deleted, or Failed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, assert_never

from services.common.errors import NotFound, WrongState
from services.common.eventsourcing.decider import Decider
from services.common.eventsourcing.store import Claim, Constraints, Count
from services.registry.domain import permissions, private_name, public_prefixes, vpc
from services.registry.domain.private_name import PrivateName
from services.registry.domain.publication import (
    Service,
    ServiceType,
    check_backends,
    check_health_check,
    check_ip_version,
    check_named,
    check_port_mappings,
    check_types,
    keeping_ports,
    renamed,
)
from services.registry.domain.service_commands import (
    AddPermissions,
    Change,
    Close,
    Command,
    Create,
    Fail,
    FinishDeletion,
    Open,
    RemovePermissions,
    Reopen,
    StartDeletion,
    VerifyName,
)
from services.registry.domain.service_events import (
    Event,
    PermissionsAdded,
    PermissionsRemoved,
    PrivateNameVerified,
    ServiceChanged,
    ServiceClosed,
    ServiceCreated,
    ServiceDeleted,
    ServiceDeletionStarted,
    ServiceFailed,
    ServiceOpened,
    ServiceReopened,
)

SERVICES = "services"
"""The counter of a project's services: each counts until it is deleted."""

CHANGEABLE = (
    "backends",
    "port_mappings",
    "approval_required",
    "description",
    "tags",
    "client_identity",
    "approval_rules",
    "consumer_limits",
    "name",
    "session_settings",
    "health_check",
    "private_name",
)
"""What the owner can change of a service, by the names that the service, the command and the event have for it."""

OFFER = "offer"
"""The kind of claim that is held while a service is open, on its present terms."""


@dataclass(frozen=True, slots=True)
class Absent:
    pass


@dataclass(frozen=True, slots=True)
class Creating:
    service: Service


@dataclass(frozen=True, slots=True)
class Available:
    service: Service


@dataclass(frozen=True, slots=True)
class Closing:
    """A deletion is being tried; `deadline` (ns since the epoch) tells this attempt from another."""

    service: Service
    force: bool
    deadline: int


@dataclass(frozen=True, slots=True)
class Deleting:
    service: Service


@dataclass(frozen=True, slots=True)
class Deleted:
    service: Service


@dataclass(frozen=True, slots=True)
class Failed:
    service: Service
    reason: str


Existing = Creating | Available | Closing | Deleting | Deleted | Failed
State = Absent | Existing


_DONE: Mapping[type[Command], str] = {
    Create: "created",
    Open: "opened",
    Fail: "given up",
    Change: "changed",
    VerifyName: "changed",
    AddPermissions: "permitted to others",
    RemovePermissions: "withdrawn from others",
    Close: "deleted",
    Reopen: "opened again",
    StartDeletion: "deleted",
    FinishDeletion: "deleted",
}


def decide(command: Command, state: State) -> Sequence[Event]:  # noqa: PLR0912 # a case for each row of the machine
    match command, state:
        case Create(service, network, ip_version), Absent():
            check_types(service)
            check_named(service)
            check_backends(service.backends, network)
            check_ip_version(service.backends, ip_version)
            check_port_mappings(service.port_mappings)
            check_health_check(service.health_check, service.port_mappings)
            if service.service_type is ServiceType.GATEWAY:
                public_prefixes.check(service.public_prefixes, service.ip_version)
            return [ServiceCreated(service), ServiceOpened(service.created_at)]
        case Open(at), Creating():
            return [ServiceOpened(at)]
        case Fail(reason, at), Creating():
            return [ServiceFailed(reason, at)]
        case Change(), Available(service):
            return _change(command, service)
        case VerifyName(name, at), Available(service):
            return _verified(name, at, service)
        case AddPermissions(), Available(service):
            return permissions.add(command, service)
        case RemovePermissions(), Available(service):
            return permissions.remove(command, service)
        case Close(force, deadline, at), Available():
            return [ServiceClosed(force, deadline, at)]
        case Close(True, deadline, at), Closing(force=False):
            return [ServiceClosed(True, deadline, at)]
        case Close(), Closing() | Deleting() | Deleted() | Failed():
            return []
        case Reopen(attempt, reason, at), Closing(deadline=deadline) if attempt == deadline:
            return [ServiceReopened(reason, at)]
        case Reopen(), Available() | Closing() | Deleting() | Deleted():
            return []
        case StartDeletion(attempt, connected, at), Closing(deadline=deadline) if attempt == deadline:
            return _end(at, connected)
        case StartDeletion(at=at), Failed():
            return _end(at, connected=False)
        case (StartDeletion(), Deleting() | Deleted()) | (FinishDeletion(), Deleted()):
            return []
        case FinishDeletion(at), Deleting():
            return [ServiceDeleted(at)]
        case ((Change() | VerifyName() | AddPermissions() | RemovePermissions()), Deleted(service)):
            raise NotFound("service", service.id)
        case _:
            text = f"the endpoint service is {stage(state)}: it cannot be {_DONE[type(command)]}"
            raise WrongState("SERVICE_WRONG_STATE", text)


def evolve(state: State, event: Event) -> State:
    match event:
        case ServiceCreated(service):
            return Creating(service)
        case ServiceOpened(at) | ServiceReopened(at=at):
            return Available(_after(state, at))
        case ServiceFailed(reason, at):
            return Failed(_after(state, at), reason)
        case ServiceChanged(at):
            return Available(_changed(_after(state, at), event))
        case PrivateNameVerified(at):
            return Available(_named(_after(state, at), at))
        case PermissionsAdded(at=at):
            return Available(permissions.added(_after(state, at), event))
        case PermissionsRemoved(at=at):
            return Available(permissions.removed(_after(state, at), event))
        case ServiceClosed(force, deadline, at):
            return Closing(_after(state, at), force, deadline)
        case ServiceDeletionStarted(at):
            return Deleting(_after(state, at))
        case ServiceDeleted(at):
            return Deleted(_after(state, at))
        case _:
            assert_never(event)


def constraints(state: State, event: Event) -> Constraints:
    after = evolve(state, event)
    moved = _offered(state, after)
    match event:
        case ServiceCreated(service):
            begun = Constraints(
                claims=_name(service),
                requires=(vpc.claim(service.vpc_id),),
                counts=(_quota(service, 1), vpc.use(service.vpc_id, 1)),
            )
            return moved + begun + public_prefixes.constraints(service.public_prefixes, 1)
        case ServiceDeleted():
            service = of(after)
            releases = (*_name(service), *private_name.claims(service.private_name))
            counts = (_quota(service, -1), vpc.use(service.vpc_id, -1))
            prefixes = public_prefixes.constraints(service.public_prefixes, -1)
            return moved + Constraints(releases=releases, counts=counts) + prefixes
        case ServiceChanged() | PrivateNameVerified():
            return moved + _names_moved(of(state), of(after))
        case _:
            return moved


def of(state: State) -> Service:
    """The service of a state that has one."""
    match state:
        case Absent():
            raise LookupError("a service's stream begins with ServiceCreated")
        case _:
            return state.service


def stage(state: State) -> str:
    """The stage's name for people."""
    return type(state).__name__.lower()


def offer(service: Service) -> Claim:
    """What a consumer relies on: that the service is open, on the terms of this revision and no others."""
    return Claim(OFFER, f"{service.id}/{service.revision}")


def _offered(before: State, after: State) -> Constraints:
    return Constraints(
        releases=(offer(before.service),) if isinstance(before, Available) else (),
        claims=(offer(after.service),) if isinstance(after, Available) else (),
    )


def _names_moved(before: Service, after: Service) -> Constraints:
    """A private name is claimed when it is verified."""
    names = Constraints()
    if before.name != after.name:
        names += Constraints(releases=_name(before), claims=_name(after))
    known, now = private_name.claims(before.private_name), private_name.claims(after.private_name)
    return names if known == now else names + Constraints(releases=known, claims=now)


def _name(service: Service) -> tuple[Claim, ...]:
    """Services without a name have none in common."""
    return (Claim("service-name", f"{service.owner}/{service.name}"),) if service.name else ()


def _quota(service: Service, delta: int) -> Count:
    return Count(SERVICES, str(service.owner), delta)


def _after(state: State, at: int) -> Service:
    service = of(state)
    return replace(service, updated_at=at, revision=service.revision + 1)


def _change(command: Change, service: Service) -> Sequence[Event]:
    if command.backends is not None:
        check_backends(command.backends, command.network)
        check_ip_version(command.backends, service.ip_version)
    if command.port_mappings is not None:
        check_port_mappings(command.port_mappings)
    wanted = _news(command)
    if command.backends is not None:
        wanted["backends"] = keeping_ports(command.backends, service.backends)
    if _name_of(wanted.get("private_name")) == _name_of(service.private_name):
        wanted.pop("private_name", None)  # the same name is as it was: verified, or to be shown by the same record
    after = replace(service, **wanted)
    check_named(after)
    if (after.health_check, after.port_mappings) != (service.health_check, service.port_mappings):
        check_health_check(after.health_check, after.port_mappings)
    event = ServiceChanged(command.at, **{name: new for name, new in wanted.items() if new != getattr(service, name)})
    return [] if event == ServiceChanged(command.at) else [event]


def _name_of(named: object) -> str | None:
    return named.name if isinstance(named, PrivateName) else None


def _verified(found: PrivateName, at: int, service: Service) -> Sequence[Event]:
    named = service.private_name
    if not isinstance(named, PrivateName) or (named.name, named.value) != (found.name, found.value):
        text = f"the private name is not {found.name} any more, which was looked up: verify the one that it is now"
        raise WrongState("PRIVATE_NAME_CHANGED", text)
    return [] if named.verified_at else [PrivateNameVerified(at)]


def _named(service: Service, at: int) -> Service:
    named = service.private_name
    return replace(service, private_name=replace(named, verified_at=at)) if isinstance(named, PrivateName) else service


def _changed(service: Service, event: ServiceChanged) -> Service:
    changed = replace(service, **_news(event))
    return changed if event.name is None else renamed(changed, event.name)


def _news(change: Change | ServiceChanged) -> dict[str, Any]:
    """What is not to stay, by its name in the service."""
    return {name: new for name in CHANGEABLE if (new := getattr(change, name)) is not None}


def _end(at: int, connected: bool) -> Sequence[Event]:
    return [ServiceDeletionStarted(at)] if connected else [ServiceDeletionStarted(at), ServiceDeleted(at)]


DECIDER: Decider[Command, State, Event] = Decider(Absent(), decide, evolve, constraints)
