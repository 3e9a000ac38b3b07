"""A VPC with its subnets and what it is attached to by default: one aggregate, so that they come and go together."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import assert_never

from services.common.addressing import Network
from services.common.errors import AlreadyExists, Invalid, NotFound, QuotaReached, WrongState
from services.common.eventsourcing.decider import Decider
from services.common.eventsourcing.store import Claim, Constraints, Count
from services.common.labels import Tag
from services.common.principal import Principal
from services.registry.domain import addresses, reach, resolver, route_tables
from services.registry.domain.network import Subnet, Vpc
from services.registry.domain.reach import Attachment
from services.registry.domain.resolver import ResolverDeleted, ResolverPlaced, ResolverSet, ResolverWithdrawn
from services.registry.domain.route_commands import DeleteRouteTable, ReleaseRoutes, RouteCommand
from services.registry.domain.route_events import RouteEvent, RouteTableDeleted
from services.registry.domain.vpc_commands import (
    Change,
    ChangeSubnet,
    Command,
    Create,
    CreateSubnet,
    Delete,
    DeleteResolver,
    DeleteSubnet,
    Detach,
    SetResolver,
)

MAX_SUBNETS = 200
NAMED_BLOCKERS = 20
"""How many of those that stand in the way a refusal names: it has to fit into the trailers of a call."""


@dataclass(frozen=True, slots=True)
class Absent:
    pass


@dataclass(frozen=True, slots=True)
class Present:
    vpc: Vpc


@dataclass(frozen=True, slots=True)
class Deleted:
    vpc: Vpc


State = Absent | Present | Deleted


@dataclass(frozen=True, slots=True)
class VpcCreated:
    vpc: Vpc


@dataclass(frozen=True, slots=True)
class VpcAttached:
    attachment: Attachment


@dataclass(frozen=True, slots=True)
class VpcDetached:
    attachment: Attachment


@dataclass(frozen=True, slots=True)
class VpcChanged:
    """What it is now."""

    name: str
    cidrs: tuple[Network, ...]
    description: str
    tags: tuple[Tag, ...]


@dataclass(frozen=True, slots=True)
class VpcDeleted:
    pass


@dataclass(frozen=True, slots=True)
class SubnetCreated:
    subnet: Subnet


@dataclass(frozen=True, slots=True)
class SubnetChanged:
    """What it is now."""

    subnet: Subnet


@dataclass(frozen=True, slots=True)
class SubnetDeleted:
    subnet: Subnet


SubnetEvent = SubnetCreated | SubnetChanged | SubnetDeleted
Event = VpcCreated | VpcAttached | VpcDetached | VpcChanged | VpcDeleted | SubnetEvent | resolver.Event | RouteEvent


def decide(command: Command, state: State) -> Sequence[Event]:  # noqa: PLR0912 # a case for each row of the machine
    match command, state:
        case Create(vpc, attachments), Absent():
            addresses.check_apart(vpc.cidrs, "vpc.cidrs")
            return [VpcCreated(vpc), *map(VpcAttached, attachments)]
        case Change(), Present(vpc):
            return _changed(command, vpc)
        case CreateSubnet(subnet), Present(vpc):
            _check_subnet(subnet, vpc)
            return [SubnetCreated(subnet)]
        case ChangeSubnet(), Present(vpc):
            return _changed_subnet(command, vpc)
        case SetResolver(wanted), Present(vpc):
            return resolver.changed(wanted, vpc)
        case DeleteResolver(), Present(vpc):
            return resolver.deleted(vpc)
        case ((CreateSubnet() | Change() | SetResolver() | DeleteResolver()), Deleted(vpc)):
            raise NotFound("vpc", vpc.id)
        case ChangeSubnet(subnet_id), Deleted():
            raise NotFound("subnet", subnet_id)
        case Detach(attachment_id), Present(vpc):
            return [VpcDetached(each) for each in vpc.attachments if each.id == attachment_id]
        case DeleteSubnet(subnet_id), Present(vpc):
            gone = [SubnetDeleted(subnet) for subnet in vpc.subnets if subnet.id == subnet_id]
            return [*route_tables.without_subnet(subnet_id, vpc), *gone]
        case _, Present(vpc) if isinstance(command, RouteCommand):
            return route_tables.decide(command, vpc)
        case Delete(), Present(vpc) if vpc.subnets:
            raise in_use(vpc.id, [subnet.id for subnet in vpc.subnets])
        case Delete(), Present(vpc) if vpc.route_holds:
            raise in_use(vpc.id, [hold.endpoint for hold in vpc.route_holds])
        case Delete(), Present(vpc):
            return [*map(VpcDetached, vpc.attachments), *map(RouteTableDeleted, vpc.route_tables), VpcDeleted()]
        case ((Delete() | DeleteSubnet() | Detach() | DeleteRouteTable() | ReleaseRoutes()), Deleted()):
            return []
        case _, Deleted(vpc) if isinstance(command, RouteCommand):
            raise NotFound("vpc", vpc.id)
        case _:
            stage = type(state).__name__.lower()
            raise WrongState("VPC_WRONG_STATE", f"cannot {type(command).__name__} while the VPC is {stage}")


def evolve(state: State, event: Event) -> State:
    if isinstance(event, RouteEvent):
        vpc = of(state)
        return Present(replace(route_tables.after(vpc, event), revision=vpc.revision + 1))
    match event:
        case VpcCreated(vpc):
            return Present(vpc)
        case VpcAttached(attachment):
            return Present(_with_attachments(state, (*of(state).attachments, attachment)))
        case VpcDetached(attachment):
            kept = (each for each in of(state).attachments if each.id != attachment.id)
            return Present(_with_attachments(state, tuple(kept)))
        case VpcChanged(name, cidrs, description, tags):
            vpc = of(state)
            changed = replace(vpc, name=name, cidrs=cidrs, description=description, tags=tags)
            return Present(replace(changed, revision=vpc.revision + 1))
        case SubnetChanged(subnet):
            others = (subnet if other.id == subnet.id else other for other in of(state).subnets)
            return Present(_with_subnets(state, tuple(others)))
        case SubnetCreated(subnet):
            return Present(_with_subnets(state, (*of(state).subnets, subnet)))
        case SubnetDeleted(subnet):
            return Present(_with_subnets(state, tuple(kept for kept in of(state).subnets if kept.id != subnet.id)))
        case ResolverPlaced() | ResolverWithdrawn() | ResolverSet() | ResolverDeleted():
            return Present(resolver.evolved(of(state), event))
        case VpcDeleted():
            return Deleted(_with_subnets(state, ()))
        case _:
            assert_never(event)


def constraints(state: State, event: Event) -> Constraints:  # noqa: PLR0912 # a case for each event
    if isinstance(event, RouteEvent):
        return route_tables.constraints(event, of(state))
    match event:
        case VpcCreated(vpc):
            return Constraints(claims=(claim(vpc.id), _name(vpc.owner, vpc.name)))
        case VpcAttached(attachment):
            return Constraints(claims=reach.claims(attachment))
        case VpcDetached(attachment):
            return Constraints(releases=reach.claims(attachment))
        case VpcChanged(name):
            vpc = of(state)
            if name == vpc.name:
                return Constraints()
            return Constraints(claims=(_name(vpc.owner, name),), releases=(_name(vpc.owner, vpc.name),))
        case SubnetChanged() | ResolverSet() | ResolverDeleted():
            return Constraints()
        case ResolverPlaced(place):
            taken = addresses.address_claim(place.subnet_id, place.address)
            return Constraints(claims=(taken,), counts=(subnet_use(place.subnet_id, 1),))
        case ResolverWithdrawn(place):
            taken = addresses.address_claim(place.subnet_id, place.address)
            return Constraints(releases=(taken,), counts=(subnet_use(place.subnet_id, -1),))
        case VpcDeleted():
            vpc = of(state)
            return Constraints(releases=(claim(vpc.id), _name(vpc.owner, vpc.name)))
        case SubnetCreated(subnet):
            return Constraints(claims=(subnet_claim(subnet.id),))
        case SubnetDeleted(subnet):
            return Constraints(releases=(subnet_claim(subnet.id),))
        case _:
            assert_never(event)


def of(state: State) -> Vpc:
    """The VPC of a state that has one."""
    match state:
        case Absent():
            raise LookupError("a VPC's stream begins with VpcCreated")
        case _:
            return state.vpc


def claim(vpc_id: str) -> Claim:
    """Held while the VPC is there."""
    return Claim("vpc", vpc_id)


def subnet_claim(subnet_id: str) -> Claim:
    """Held while the subnet is there."""
    return Claim("subnet", subnet_id)


def use(vpc_id: str, delta: int) -> Count:
    """What stands in the way of a VPC's deletion, beside its subnets."""
    return Count("vpc-uses", vpc_id, delta)


def unused(vpc_id: str) -> Constraints:
    """That nothing uses the VPC at the moment of the append."""
    return Constraints(counts=(replace(use(vpc_id, 0), limit=0),))


def subnet_use(subnet_id: str, delta: int) -> Count:
    """The addresses in use in a subnet."""
    return Count("subnet-uses", subnet_id, delta)


def subnet_unused(subnet_id: str) -> Constraints:
    """That no address of the subnet is in use at the moment of the append."""
    return Constraints(counts=(replace(subnet_use(subnet_id, 0), limit=0),))


def in_use(vpc_id: str, users: Sequence[str]) -> WrongState:
    blockers = users[:NAMED_BLOCKERS]
    return WrongState("VPC_IN_USE", f"vpc {vpc_id} is in use: delete first {', '.join(blockers)}", blockers=blockers)


def subnet_in_use(subnet_id: str, ports: Sequence[str]) -> WrongState:
    blockers = ports[:NAMED_BLOCKERS]
    text = f"addresses of subnet {subnet_id} are in use: delete first, of machines, endpoints or the VPC's resolver, "
    text += ", ".join(blockers)
    return WrongState("SUBNET_IN_USE", text, blockers=blockers)


def _name(owner: Principal, name: str) -> Claim:
    return Claim("vpc-name", f"{owner}/{name}")


def _with_attachments(state: State, attachments: tuple[Attachment, ...]) -> Vpc:
    vpc = of(state)
    return replace(vpc, attachments=attachments, revision=vpc.revision + 1)


def _with_subnets(state: State, subnets: tuple[Subnet, ...]) -> Vpc:
    vpc = of(state)
    return replace(vpc, subnets=subnets, revision=vpc.revision + 1)


def _changed(command: Change, vpc: Vpc) -> Sequence[Event]:
    now = VpcChanged(
        name=vpc.name if command.name is None else command.name,
        cidrs=vpc.cidrs if command.cidrs is None else command.cidrs,
        description=vpc.description if command.description is None else command.description,
        tags=vpc.tags if command.tags is None else command.tags,
    )
    if now == VpcChanged(vpc.name, vpc.cidrs, vpc.description, vpc.tags):
        return []
    addresses.check_apart(now.cidrs, "vpc.cidrs")
    _check_routes(now.cidrs, vpc)
    outside = [subnet for subnet in vpc.subnets if not addresses.contains(now.cidrs, subnet.cidr)]
    if outside:
        named = ", ".join(f"{subnet.cidr} of the subnet {subnet.id}" for subnet in outside[:NAMED_BLOCKERS])
        raise Invalid("CIDR_IN_USE", f"no range holds {named}", field="vpc.cidrs")
    return [now]


def _check_routes(cidrs: tuple[Network, ...], vpc: Vpc) -> None:
    for hold in vpc.route_holds:
        way_out = f"the endpoint {hold.endpoint} leads there, so use another range or delete it first"
        route_tables.check_apart(cidrs, hold.prefixes, "vpc.cidrs", way_out)


def _changed_subnet(command: ChangeSubnet, vpc: Vpc) -> Sequence[Event]:
    subnet = next((each for each in vpc.subnets if each.id == command.subnet_id), None)
    if subnet is None:
        raise NotFound("subnet", command.subnet_id)
    wanted = {field.name: getattr(command, field.name) for field in fields(command) if field.name != "subnet_id"}
    now = replace(subnet, **{name: value for name, value in wanted.items() if value is not None})
    if any(other.name == now.name and other.id != now.id for other in vpc.subnets):
        raise AlreadyExists("NAME_TAKEN", f"the VPC has a subnet {now.name} already", field="subnet.name")
    return [] if now == subnet else [SubnetChanged(now)]


def _check_subnet(subnet: Subnet, vpc: Vpc) -> None:
    if not addresses.contains(vpc.cidrs, subnet.cidr):
        ranges = ", ".join(map(str, vpc.cidrs))
        raise Invalid("CIDR_OUTSIDE_VPC", f"{subnet.cidr} is not inside the VPC's {ranges}", field="subnet.cidr")
    for other in vpc.subnets:
        if subnet.id == other.id:
            raise AlreadyExists("SUBNET_EXISTS", f"subnet {subnet.id} is there already")
        if subnet.cidr.overlaps(other.cidr):
            raise Invalid(
                "CIDR_OVERLAPS", f"{subnet.cidr} overlaps {other.cidr} of the subnet {other.id}", field="subnet.cidr"
            )
        if subnet.name == other.name:
            raise AlreadyExists("NAME_TAKEN", f"the VPC has a subnet {subnet.name} already", field="subnet.name")
    if len(vpc.subnets) >= MAX_SUBNETS:
        raise QuotaReached("SUBNETS_FULL", f"a VPC has {MAX_SUBNETS} subnets at most: delete one first")


DECIDER: Decider[Command, State, Event] = Decider(Absent(), decide, evolve, constraints)
