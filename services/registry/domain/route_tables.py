"""Route tables of a VPC: a subnet is in exactly one, and one that an endpoint is in stays."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import assert_never
from uuid import UUID, uuid5

from services.common.addressing import Network
from services.common.errors import AlreadyExists, Forbidden, Invalid, NotFound, QuotaReached, WrongState
from services.common.eventsourcing.store import Claim, Constraints
from services.registry.domain.network import RouteHold, RouteTable, Subnet, Vpc
from services.registry.domain.route_commands import (
    ChangeRouteTable,
    CreateRouteTable,
    DeleteRouteTable,
    HoldRouteTables,
    ReleaseRoutes,
    ReserveRoutes,
    RouteCommand,
)
from services.registry.domain.route_events import (
    RouteEvent,
    RoutesReleased,
    RoutesReserved,
    RouteTableChanged,
    RouteTableCreated,
    RouteTableDeleted,
)

DEFAULT = "default"
"""The name of the table that every VPC has."""

ENDPOINT_ROUTES = "endpoint-routes"
"""The kind of claims that an endpoint has its routes in one VPC."""

MAX_TABLES, NAMED_BLOCKERS = 50, 20
_DEFAULTS = UUID("a1c8c5a4-6b0f-4a2c-9a52-6d0f5f1b7c11")
"""The name space of the ids of default tables."""


def default_id(vpc_id: str) -> str:
    """The id of the table that a VPC has from its beginning: of VPCs of before there were tables, too."""
    return str(uuid5(_DEFAULTS, vpc_id))


def routes_claim(endpoint_id: str) -> Claim:
    """That an endpoint has its routes in one VPC. With an empty id its key is the prefix of all of them."""
    return Claim(ENDPOINT_ROUTES, endpoint_id)


def default_table(vpc: Vpc) -> RouteTable:
    """What belongs to no other."""
    apart = {subnet for table in vpc.route_tables for subnet in table.subnets}
    rest = tuple(subnet.id for subnet in vpc.subnets if subnet.id not in apart)
    return RouteTable(default_id(vpc.id), DEFAULT, vpc.created_at, rest)


def table_of(vpc: Vpc, id_: str) -> RouteTable:
    """Raises NotFound for one that is not of this VPC."""
    found = next((table for table in (*vpc.route_tables, default_table(vpc)) if table.id == id_), None)
    if found is None:
        raise NotFound("route_table", id_)
    return found


def decide(command: RouteCommand, vpc: Vpc) -> Sequence[RouteEvent]:
    match command:
        case CreateRouteTable(table):
            return _created(table, vpc)
        case ChangeRouteTable():
            return _changed(command, vpc)
        case DeleteRouteTable(table_id):
            return _deleted(table_id, vpc)
        case ReserveRoutes(hold):
            return _reserved(hold, vpc)
        case HoldRouteTables(endpoint, tables):
            return _held(endpoint, tables, vpc)
        case ReleaseRoutes(endpoint, before):
            there = (hold for hold in vpc.route_holds if hold.endpoint == endpoint)
            return [RoutesReleased(hold.endpoint) for hold in there if before is None or hold.at < before]
        case _:
            assert_never(command)


def without_subnet(subnet_id: str, vpc: Vpc) -> Sequence[RouteTableChanged]:
    """The subnet goes: the table that it was in has it no more."""
    return _leaving({subnet_id}, vpc.route_tables)


def after(vpc: Vpc, event: RouteEvent) -> Vpc:
    match event:
        case RouteTableCreated(table):
            return replace(vpc, route_tables=(*vpc.route_tables, table))
        case RouteTableChanged(table):
            return replace(vpc, route_tables=tuple(table if each.id == table.id else each for each in vpc.route_tables))
        case RouteTableDeleted(table):
            return replace(vpc, route_tables=tuple(each for each in vpc.route_tables if each.id != table.id))
        case RoutesReserved(hold):
            return replace(vpc, route_holds=(*_others(vpc, hold.endpoint), hold))
        case RoutesReleased(endpoint):
            return replace(vpc, route_holds=_others(vpc, endpoint))
        case _:
            assert_never(event)


def constraints(event: RouteEvent, vpc: Vpc) -> Constraints:
    """`vpc` is as it was before the event."""
    match event:
        case RoutesReserved(hold) if all(each.endpoint != hold.endpoint for each in vpc.route_holds):
            return Constraints(claims=(routes_claim(hold.endpoint),))
        case RoutesReleased(endpoint):
            return Constraints(releases=(routes_claim(endpoint),))
        case _:
            return Constraints()


def check_apart(cidrs: Iterable[Network], prefixes: Iterable[Network], field: str, way_out: str) -> None:
    """Refuses ranges of a VPC that a public prefix overlaps: what belongs to either could not be told."""
    known = tuple(cidrs)
    for prefix in prefixes:
        if clash := next((cidr for cidr in known if cidr.overlaps(prefix)), None):
            text = f"the public prefix {prefix} of the service overlaps {clash} of the VPC: {way_out}"
            raise Invalid("PREFIX_OVERLAPS_VPC", text, field=field)


def in_use(table_id: str, endpoints: Sequence[str]) -> WrongState:
    blockers = endpoints[:NAMED_BLOCKERS]
    text = f"route table {table_id} is in use: take it from, or delete, first the endpoints {', '.join(blockers)}"
    return WrongState("ROUTE_TABLE_IN_USE", text, blockers=blockers)


def _others(vpc: Vpc, endpoint: str) -> tuple[RouteHold, ...]:
    return tuple(hold for hold in vpc.route_holds if hold.endpoint != endpoint)


def _created(table: RouteTable, vpc: Vpc) -> Sequence[RouteEvent]:
    if len(vpc.route_tables) >= MAX_TABLES:
        raise QuotaReached("ROUTE_TABLES_FULL", f"a VPC has {MAX_TABLES} route tables at most: delete one first")
    _check_name(table, vpc)
    _check_subnets(table.subnets, vpc.subnets)
    return [*_leaving(set(table.subnets), vpc.route_tables), RouteTableCreated(table)]


def _changed(command: ChangeRouteTable, vpc: Vpc) -> Sequence[RouteEvent]:
    table = table_of(vpc, command.table_id)
    if table.id == default_id(vpc.id):
        text = "the default route table has what no other has: name subnets in another table, or leave them out there"
        raise Invalid("ROUTE_TABLE_DEFAULT", text, field="route_table.id")
    now = replace(
        table,
        name=table.name if command.name is None else command.name,
        description=table.description if command.description is None else command.description,
        subnets=table.subnets if command.subnets is None else command.subnets,
    )
    if now == table:
        return []
    _check_name(now, vpc)
    _check_subnets(now.subnets, vpc.subnets)
    others = [each for each in vpc.route_tables if each.id != table.id]
    return [*_leaving(set(now.subnets), others), RouteTableChanged(now)]


def _deleted(table_id: str, vpc: Vpc) -> Sequence[RouteEvent]:
    if table_id == default_id(vpc.id):
        raise Forbidden("ROUTE_TABLE_DEFAULT", "the default route table goes with its VPC: it cannot be deleted")
    if users := [hold.endpoint for hold in vpc.route_holds if table_id in hold.tables]:
        raise in_use(table_id, users)
    return [RouteTableDeleted(table) for table in vpc.route_tables if table.id == table_id]


def _reserved(hold: RouteHold, vpc: Vpc) -> Sequence[RouteEvent]:
    tables = hold.tables or (default_id(vpc.id),)
    for table in tables:
        table_of(vpc, table)
    way_out = "clients could not reach one of the two, so use another VPC"
    check_apart(vpc.cidrs, hold.prefixes, "vpc_id", way_out)
    return [RoutesReserved(replace(hold, tables=tables))]


def _held(endpoint: str, tables: tuple[str, ...], vpc: Vpc) -> Sequence[RouteEvent]:
    known = next((hold for hold in vpc.route_holds if hold.endpoint == endpoint), None)
    if known is None:
        raise NotFound("endpoint", endpoint)
    for table in tables:
        table_of(vpc, table)
    return [] if known.tables == tables else [RoutesReserved(replace(known, tables=tables))]


def _leaving(subnets: set[str], tables: Iterable[RouteTable]) -> list[RouteTableChanged]:
    """Other tables without the subnets that leave them."""
    return [
        RouteTableChanged(replace(table, subnets=tuple(each for each in table.subnets if each not in subnets)))
        for table in tables
        if not subnets.isdisjoint(table.subnets)
    ]


def _check_name(table: RouteTable, vpc: Vpc) -> None:
    if table.name == DEFAULT or any(each.name == table.name and each.id != table.id for each in vpc.route_tables):
        raise AlreadyExists("NAME_TAKEN", f"the VPC has a route table {table.name} already", field="route_table.name")


def _check_subnets(wanted: Sequence[str], subnets: Sequence[Subnet]) -> None:
    known = {subnet.id for subnet in subnets}
    for index, subnet in enumerate(wanted):
        if subnet not in known:
            text = f"subnet {subnet} is not in the VPC of the route table"
            raise Invalid("SUBNET_OUTSIDE_VPC", text, field=f"route_table.subnet_ids[{index}]")
