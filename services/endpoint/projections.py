"""Read tables: what each event leaves of its endpoint, gateway or forwarding entry, found without folding."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, or_, select

from services.common.clock import SECOND
from services.common.eventsourcing.resource_lists import get
from services.common.eventsourcing.resource_table import RESOURCES, ResourceRow, ResourceTable
from services.common.eventsourcing.sql_schema import last_of_partition, tail
from services.common.eventsourcing.store import RecordedEvent
from services.common.history.index import Reducer
from sidegate.api.endpoint.v1 import endpoint_pb2 as endpoint_pb
from sidegate.api.events.v1 import endpoint_events_pb2 as events_pb

ENDPOINT, SERVICE, ATTACHMENT, GATEWAY = "endpoint", "service", "attachment", "gateway"
RESOLVER = "resolver"

PENDING_ACCEPTANCE = "PENDING_ACCEPTANCE"
CREATING = "CREATING"
ACCEPTED = "ACCEPTED"
REJECTED = "REJECTED"
DELETING = "DELETING"
DELETED = "DELETED"
LIVE = (PENDING_ACCEPTANCE, CREATING, ACCEPTED, REJECTED)
CONNECTED = (PENDING_ACCEPTANCE, CREATING, ACCEPTED)
DRAINABLE = (REJECTED, DELETING)
"""The states in which sessions may drain."""
FORWARDED, REMOVED = "FORWARDED", "REMOVED"
_STATES = {number: name.removeprefix("CONNECTION_STATE_") for name, number in endpoint_pb.ConnectionState.items()}


def row_of(event: RecordedEvent) -> ResourceRow | None:
    """The row that an event leaves. `project` and `counterpart` are account/project of consumer and provider."""
    stored = events_pb.EndpointEvent.FromString(event.data)
    match stored.WhichOneof("fact"):
        case "service_forwarding_changed":
            entry = stored.forwarding.service
            return _entry(event, SERVICE, entry.service_id, entry.removed)
        case "attachment_changed":
            attachment = stored.forwarding.attachment
            return _entry(event, ATTACHMENT, attachment.vpc_id, attachment.removed)
        case "resolver_changed":
            resolver = stored.forwarding.resolver
            row = _entry(event, RESOLVER, resolver.vpc_id, resolver.removed)
            return row._replace(updated=event.recorded_at)
        case "gateway_joined":
            return _gateway(event, stored.gateway_joined.gateway_id)
        case "gateway_lost":
            return _gateway(event, stored.gateway_lost.gateway_id)
        case "gateway_retired":
            return _gateway(event, stored.gateway_retired.gateway_id)
        case _:
            return _endpoint(event, stored)


def entry_id(cell: str, id_: str) -> str:
    """The row's id of a service or VPC in a cell."""
    return f"{cell}/{id_}"


def _endpoint(event: RecordedEvent, stored: events_pb.EndpointEvent) -> ResourceRow:
    resource, placement = stored.endpoint, stored.placement
    state, updated = _STATES[resource.state], resource.update_time
    updated_at = updated.seconds * SECOND + updated.nanos  # a replay has no time for what ToNanoseconds() checks
    return ResourceRow(
        kind=ENDPOINT,
        id=resource.id,
        project=f"{resource.account}/{resource.project}",
        data=event.data,
        parent=resource.service,
        counterpart=f"{placement.provider_account}/{placement.provider_project}",
        partition=event.partition,
        name=resource.name,
        state=state,
        live=state != DELETED,
        full_name=resource.service_full_name,
        vpc=resource.vpc_id,
        number=resource.marker_id,
        updated=updated_at,
        counterpart_updated=max(updated_at, placement.noted_at),
        tags=tuple((tag.key, tag.value) for tag in resource.tags),
    )


def _entry(event: RecordedEvent, kind: str, id_: str, removed: bool) -> ResourceRow:
    # A removed entry stays: its cell goes on using the key, should it come back.
    return ResourceRow(
        kind=kind,
        id=entry_id(event.partition, id_),
        project="",
        data=event.data,
        parent=id_,
        partition=event.partition,
        state=REMOVED if removed else FORWARDED,
    )


def _gateway(event: RecordedEvent, id_: str) -> ResourceRow:
    return ResourceRow(kind=GATEWAY, id=id_, project="", data=event.data, partition=event.partition)


def _rows_of(event: RecordedEvent) -> Sequence[ResourceRow]:
    row = row_of(event)
    return () if row is None else (row,)


TABLE = ResourceTable(row_of, row_per_stream=True)
REDUCER = Reducer(1, _rows_of, row_per_stream=True)
"""What the endpoint service's past is made by."""


def endpoint_rows(connection: Connection, ids: Collection[str]) -> dict[str, ResourceRow]:
    """Of these endpoints, those that are there."""
    found = ((id_, get(connection, ENDPOINT, id_)) for id_ in set(ids))
    return {id_: row for id_, row in found if row is not None}


def told(connection: Connection, cell: str, ids: Collection[str]) -> frozenset[str]:
    """Of these services and VPCs, those that the cell has been told of."""
    columns = RESOURCES.c
    entries = [entry_id(cell, id_) for id_ in ids]
    wanted = select(columns.parent).where(columns.kind.in_((SERVICE, ATTACHMENT)), columns.id.in_(entries))
    return frozenset(row.parent for row in connection.execute(wanted))


@dataclass(frozen=True, slots=True)
class CellTable:
    """A cell's forwarding table: stored events, each with an entry as it is at `position` of the log.

    `cell_position` is that of the cell's last event. Endpoints that nothing may pass for are among them, so that
    gateways can say that they have nothing of them; entries that are gone are not.
    """

    position: int
    cell_position: int
    events: tuple[bytes, ...]


def cell_table(connection: Connection, cell: str) -> CellTable:
    """All of it at one position: to be called within one read transaction."""
    columns = RESOURCES.c
    found: list[bytes] = []
    for kind in (ATTACHMENT, SERVICE, ENDPOINT, RESOLVER):
        wanted = select(columns.data).where(columns.partition == cell, columns.kind == kind, columns.state != REMOVED)
        found += (bytes(row.data) for row in connection.execute(wanted.order_by(columns.created_position)))
    return CellTable(*tails(connection, cell), tuple(found))


def tails(connection: Connection, cell: str) -> tuple[int, int]:
    """The positions of the log's last event and of the cell's; 0 if there is none."""
    return tail(connection), connection.execute(select(last_of_partition(cell))).scalar() or 0


def services_in_use(connection: Connection) -> list[str]:
    """Services that some cell forwards, or that a live endpoint leads to."""
    columns = RESOURCES.c
    forwarded = and_(columns.kind == SERVICE, columns.state == FORWARDED)
    needed = and_(columns.kind == ENDPOINT, columns.state.in_(LIVE))
    return _parents(connection, or_(forwarded, needed))


def vpcs_in_use(connection: Connection) -> list[str]:
    """VPCs that some cell has been told of."""
    return _parents(connection, RESOURCES.c.kind == ATTACHMENT)


def _parents(connection: Connection, which: ColumnElement[bool]) -> list[str]:
    found = select(RESOURCES.c.parent).where(which).distinct().order_by(RESOURCES.c.parent)
    return [row.parent for row in connection.execute(found)]
