"""Route tables, and what endpoints hold of them, stored and shown."""

from collections.abc import Collection, Sequence
from typing import assert_never

from services.common.addressing import networks_of
from services.common.labels import description_of
from services.common.principal import Principal
from services.registry.domain.network import RouteHold, RouteTable, Vpc
from services.registry.domain.route_commands import ChangeRouteTable
from services.registry.domain.route_events import (
    RouteEvent,
    RoutesReleased,
    RoutesReserved,
    RouteTableChanged,
    RouteTableCreated,
    RouteTableDeleted,
)
from services.registry.domain.route_tables import default_id
from services.registry.wire.envelope import nanoseconds, timestamp
from services.registry.wire.networks import name_of
from sidegate.api.events.v1 import registry_events_pb2 as events_pb2
from sidegate.api.registry.v1 import vpc_pb2

ROUTE_TABLE_FIELDS = ("name", "description", "subnet_ids")


def route_table_message(table: RouteTable, vpc: Vpc) -> vpc_pb2.RouteTable:
    return vpc_pb2.RouteTable(
        id=table.id,
        vpc_id=vpc.id,
        project=vpc.owner.project,
        account=vpc.owner.account,
        name=table.name,
        by_default=table.id == default_id(vpc.id),
        subnet_ids=table.subnets,
        create_time=timestamp(table.created_at),
        description=table.description,
    )


def route_table_of(message: vpc_pb2.RouteTable) -> RouteTable:
    return RouteTable(
        id=message.id,
        name=message.name,
        created_at=nanoseconds(message.create_time),
        subnets=tuple(message.subnet_ids),
        description=message.description,
    )


def route_event(message: events_pb2.RegistryEvent) -> RouteEvent | None:
    """None where the fact is about something else."""
    match message.WhichOneof("fact"):
        case "route_table_created":
            return RouteTableCreated(route_table_of(message.route_table))
        case "route_table_changed":
            return RouteTableChanged(route_table_of(message.route_table))
        case "route_table_deleted":
            return RouteTableDeleted(route_table_of(message.route_table))
        case "routes_reserved":
            return RoutesReserved(_hold(message.routes_reserved))
        case "routes_released":
            return RoutesReleased(message.routes_released.endpoint_id)
        case _:
            return None


def route_message(event: RouteEvent, vpc: Vpc, shown: vpc_pb2.Vpc) -> events_pb2.RegistryEvent:
    """`shown` is the VPC as it is after the event."""
    make = events_pb2.RegistryEvent
    match event:
        case RouteTableCreated(table):
            created = events_pb2.RouteTableCreated()
            return make(route_table_created=created, route_table=route_table_message(table, vpc))
        case RouteTableChanged(table):
            changed = events_pb2.RouteTableChanged()
            return make(route_table_changed=changed, route_table=route_table_message(table, vpc))
        case RouteTableDeleted(table):
            deleted = events_pb2.RouteTableDeleted()
            return make(route_table_deleted=deleted, route_table=route_table_message(table, vpc))
        case RoutesReserved(hold):
            return make(routes_reserved=_stored_hold(hold), vpc=shown)
        case RoutesReleased(endpoint):
            return make(routes_released=events_pb2.RoutesReleased(endpoint_id=endpoint), vpc=shown)
        case _:
            assert_never(event)


def parse_route_table(wanted: vpc_pb2.RouteTable, id_: str, at: int) -> RouteTable:
    """A table that a caller asks for."""
    return RouteTable(
        id=id_,
        name=wanted.name,
        created_at=at,
        subnets=_subnets(wanted.subnet_ids),
        description=description_of(wanted.description, "route_table.description"),
    )


def parse_route_table_change(wanted: vpc_pb2.RouteTable, paths: Collection[str]) -> ChangeRouteTable:
    said = description_of(wanted.description, "route_table.description") if "description" in paths else None
    return ChangeRouteTable(
        table_id=wanted.id.lower(),
        name=name_of(wanted.name, "route_table.name") if "name" in paths else None,
        description=said,
        subnets=_subnets(wanted.subnet_ids) if "subnet_ids" in paths else None,
    )


def _subnets(ids: Sequence[str]) -> tuple[str, ...]:
    """Each once; how many the VPC has bounds them."""
    return tuple(dict.fromkeys(id_.lower() for id_ in ids))


def _stored_hold(hold: RouteHold) -> events_pb2.RoutesReserved:
    return events_pb2.RoutesReserved(
        endpoint_id=hold.endpoint,
        account=hold.owner.account,
        project=hold.owner.project,
        route_tables=hold.tables,
        public_prefixes=map(str, hold.prefixes),
        service_id=hold.service,
        reserved_at=hold.at,
    )


def _hold(stored: events_pb2.RoutesReserved) -> RouteHold:
    return RouteHold(
        endpoint=stored.endpoint_id,
        owner=Principal(stored.account, stored.project),
        service=stored.service_id,
        tables=tuple(stored.route_tables),
        prefixes=networks_of(stored.public_prefixes),
        at=stored.reserved_at,
    )
