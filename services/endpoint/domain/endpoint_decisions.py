"""What an endpoint makes of what is asked of it."""

from collections.abc import Sequence
from dataclasses import replace

from services.common.errors import AlreadyExists, NotFound, WrongState
from services.common.eventsourcing.decider import Decider
from services.common.principal import Principal
from services.endpoint.domain import rerouting
from services.endpoint.domain.endpoint import (
    Absent,
    Accepted,
    ConnectionApproved,
    ConnectionNoted,
    ConnectionRejected,
    Creating,
    Deleted,
    Deleting,
    DrainEnded,
    EndpointActivated,
    EndpointChanged,
    EndpointDeleted,
    EndpointDeletionRequested,
    EndpointFailed,
    EndpointRequested,
    EndpointRerouted,
    Event,
    Known,
    PendingAcceptance,
    Rejected,
    SourceAddressLeased,
    SourcesAdded,
    State,
    evolve,
    news,
)
from services.endpoint.domain.endpoint_commands import (
    Accept,
    AddSources,
    CallerCommand,
    Change,
    Command,
    ConfirmAbsence,
    ConfirmForwarding,
    Consequence,
    Delete,
    EndConnection,
    Expire,
    Lapse,
    LeaseSource,
    Note,
    ProviderCommand,
    Reject,
    Request,
    Reroute,
    WithdrawService,
)
from services.endpoint.domain.endpoint_constraints import constraints
from services.endpoint.domain.facts import Facts
from services.endpoint.domain.whitelists import check_family

SECOND = 1_000_000_000
NOT_DECIDED = "it was not decided in time"
ACCEPTANCE_OVER = "it was accepted until now"
PERMISSION_REMOVED = "the permission to connect was removed"


def decide(command: Command, state: State) -> Sequence[Event]:
    match command:
        case Request(facts, approval_required):
            if not isinstance(state, Absent):
                raise AlreadyExists("ENDPOINT_EXISTS", f"endpoint {facts.id} exists: ask again with a new request_id")
            rerouting.check_fitting(facts)
            check_family(facts.allowed, facts.address)
            requested = EndpointRequested(facts)
            return [requested] if approval_required else [requested, ConnectionApproved(facts.created_at)]
        case Change() | Delete() | Accept() | Reject() | Note():
            _require_visible(command, state)
            return _answer(command, state)
        case LeaseSource() | AddSources():
            return _lease(command, state)
        case _:
            return _conclude(command, state)


def _require_visible(command: CallerCommand, state: State) -> None:
    """Not there, gone and another's look the same; only to its owner's delete is one that is gone still there."""
    kind = "connection" if isinstance(command, ProviderCommand) else "endpoint"
    if isinstance(state, Absent) or (isinstance(state, Deleted) and not isinstance(command, Delete)):
        raise NotFound(kind, command.endpoint)
    if isinstance(command, ProviderCommand):
        theirs = is_provider(state.facts, command.service, command.by)
    else:
        theirs = state.facts.owner == command.by
    if not theirs:
        raise NotFound(kind, command.endpoint)


def is_provider(facts: Facts, service: str, principal: Principal) -> bool:
    return facts.service == service and facts.placement.provider == principal


def _answer(command: CallerCommand, state: State) -> Sequence[Event]:
    match command, state:
        case Accept(at, until=until), PendingAcceptance() | Rejected():
            return [ConnectionApproved(at, until)]
        case Accept(), Creating() | Accepted():
            return []
        case Reject(at, drain=drain), PendingAcceptance() | Creating() | Accepted():
            return [ConnectionRejected(at, drain_until=_drain_until(state, at, drain))]
        case Reject(at, drain=drain), Rejected(facts, reason):
            until = _drain_until(state, at, drain)
            return [ConnectionRejected(at, reason, until)] if until != facts.drain_until else []
        case Change(), PendingAcceptance(facts) | Creating(facts) | Accepted(facts) | Rejected(facts):
            return _change(command, facts)
        case Note(at, note=note), _ if not isinstance(state, Absent):
            return [] if note == state.facts.note else [ConnectionNoted(at, note, unseen=True)]
        case Delete(), Deleted():
            return []
        case Delete(at, drain=drain), _ if not isinstance(state, Absent):
            until = _drain_until(state, at, drain)
            there = isinstance(state, Deleting) and until == state.facts.drain_until
            return [] if there else [EndpointDeletionRequested(at, until)]
        case _:
            raise WrongState(
                "WRONG_STATE",
                f"endpoint {command.endpoint} is {stage(state)}: it cannot be {_participle(command)}",
                metadata={"state": stage(state)},
            )


def _drain_until(state: Known, at: int, drain: int) -> int:
    """Until when established sessions go on; 0 where there are none. What is under way is not lengthened."""
    match state:
        case _ if not drain:
            return 0
        case Creating() | Accepted():
            return at + drain
        case Rejected(facts) | Deleting(facts):
            return min(facts.drain_until, at + drain)
        case _:
            return 0


def _change(command: Change, facts: Facts) -> Sequence[Event]:
    check_family(command.allowed or (), facts.address)
    wanted = news(command)
    rerouting.check_fitting(replace(facts, **wanted))
    if facts.routing is not None:
        wanted["routing"] = rerouting.rerouted(facts, command.routes, command.policy)
    elif command.routes is not None and command.routes.tables is not None:
        raise rerouting.not_a_gateway()
    others = {name: new for name, new in wanted.items() if new != getattr(facts, name)}
    if command.dns and facts.dns_names:
        others.pop("dns_names", None)  # it keeps those that it has
    return [EndpointChanged(command.at, **others)] if others else []


def _conclude(command: Consequence, state: State) -> Sequence[Event]:
    match command, state:
        case ConfirmForwarding(at, generation), Creating(facts) if facts.generation == generation:
            return [EndpointActivated(at, generation)]
        case ConfirmAbsence(at, generation), Deleting(facts) if facts.generation == generation:
            return [EndpointDeleted(at)]
        case Expire(at, deadline), Creating(since=since) if at - since >= deadline:
            return [EndpointFailed(at, f"its gateways did not forward it within {deadline // SECOND} s")]
        case WithdrawService(at), PendingAcceptance() | Creating() | Accepted() | Rejected():
            return [EndpointFailed(at, "service deleted")]
        case WithdrawService(at), Deleting(facts) if facts.drain_until:
            return [DrainEnded(at)]
        case Reroute(at, routes), PendingAcceptance(facts) | Creating(facts) | Accepted(facts) | Rejected(facts) if (
            facts.routing is not None and (routing := rerouting.rerouted(facts, routes)) != facts.routing
        ):
            return [EndpointRerouted(at, routing)]
        case Lapse(at), PendingAcceptance(facts) if 0 < facts.expires_at <= at:
            return [ConnectionRejected(at, NOT_DECIDED)]
        case Lapse(at), Creating(facts) | Accepted(facts) if 0 < facts.expires_at <= at:
            return [ConnectionRejected(at, ACCEPTANCE_OVER)]
        case Lapse(at), Rejected(facts) | Deleting(facts) if 0 < facts.drain_until <= at:
            return [DrainEnded(at)]
        case EndConnection(at, before, version), PendingAcceptance(facts) if facts.created_at < before or _older(
            facts, version
        ):
            return [ConnectionRejected(at, PERMISSION_REMOVED)]
        case EndConnection(at, before, version), Creating(facts, since) | Accepted(facts, since) if since < before or (
            since == facts.created_at and _older(facts, version)
        ):
            return [ConnectionRejected(at, PERMISSION_REMOVED)]
        case _:
            return []


def _lease(command: LeaseSource | AddSources, state: State) -> Sequence[Event]:
    match command, state:
        case LeaseSource(at, lease), PendingAcceptance(facts) | Creating(facts) | Accepted(facts) | Rejected(facts):
            return [] if facts.sources_of(lease.gateway) else [SourceAddressLeased(at, lease)]
        case AddSources(at, leases, beside), Creating(facts) | Accepted(facts) if leases and all(
            len(facts.sources_of(lease.gateway)) == beside for lease in leases
        ):
            return [SourcesAdded(at, leases)]
        case _:
            return []


def _older(facts: Facts, version: int) -> bool:
    """Whether it was requested of an earlier version of its service; of one that is not known it is not said."""
    return 0 < facts.service_version < version


def stage(state: State) -> str:
    """The state's name for people."""
    return "pending acceptance" if isinstance(state, PendingAcceptance) else type(state).__name__.lower()


def _participle(command: CallerCommand) -> str:
    return {Accept: "accepted", Reject: "rejected", Change: "changed", Delete: "deleted", Note: "noted"}[type(command)]


ENDPOINT: Decider[Command, State, Event] = Decider(Absent(), decide, evolve, constraints)
