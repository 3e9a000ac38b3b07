"""Read tables: what each event leaves of its resource, found by who owns it and by what it is a part of."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from sqlalchemy import Column, Connection, MetaData, Table, delete, select, text

from services.common.etags import stamped
from services.common.eventsourcing import resource_lists
from services.common.eventsourcing.projection import Projection
from services.common.eventsourcing.resource_table import ResourceRow, ResourceTable
from services.common.eventsourcing.selection import ALL, EVERYWHERE, Cursor, Found, Scope, Selection, Window
from services.common.eventsourcing.sql_schema import Name, Number
from services.common.eventsourcing.sql_store import SqlStore
from services.common.eventsourcing.store import Head, RecordedEvent
from services.common.history.index import Reducer
from services.common.principal import OPERATOR
from services.registry.domain.account import REVOKED, VALID
from services.registry.domain.publication import EVERYBODY
from services.registry.domain.route_tables import DEFAULT, default_id
from sidegate.api.events.v1.registry_events_pb2 import RegistryEvent
from sidegate.api.registry.v1 import account_pb2, vpc_pb2
from sidegate.api.registry.v1.credential_pb2 import EventsCredential
from sidegate.api.registry.v1.endpoint_service_pb2 import EndpointService
from sidegate.api.registry.v1.tag_pb2 import Tag

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Kind(Generic[R_co]):
    """A kind of resource: its name in tables and errors, and where an event has it."""

    name: str
    of: Callable[[RegistryEvent], R_co]


def default_table(vpc: vpc_pb2.Vpc) -> vpc_pb2.RouteTable:
    """The default table of a VPC, without its subnets: no event has it."""
    return vpc_pb2.RouteTable(
        id=default_id(vpc.id),
        vpc_id=vpc.id,
        project=vpc.project,
        account=vpc.account,
        name=DEFAULT,
        by_default=True,
        create_time=vpc.create_time,
    )


def _route_table(event: RegistryEvent) -> vpc_pb2.RouteTable:
    """That of a VPC's event is its default one."""
    return event.route_table if event.HasField("route_table") else default_table(event.vpc)


VPC: Kind[vpc_pb2.Vpc] = Kind("vpc", lambda event: event.vpc)
SUBNET: Kind[vpc_pb2.Subnet] = Kind("subnet", lambda event: event.subnet)
PORT: Kind[vpc_pb2.Port] = Kind("port", lambda event: event.port)
ATTACHMENT: Kind[vpc_pb2.Attachment] = Kind("attachment", lambda event: event.attachment)
DEFAULT_ATTACHMENT: Kind[vpc_pb2.DefaultAttachment] = Kind("default_attachment", lambda event: event.default_attachment)
ROUTE_TABLE: Kind[vpc_pb2.RouteTable] = Kind("route_table", _route_table)
SERVICE: Kind[EndpointService] = Kind("service", lambda event: event.service)
REVISION = "vpc_revision"
VPC_STREAM, VPC_DELETED = "vpc-", "registry.v1.VpcDeleted"
ACCOUNT: Kind[account_pb2.Account] = Kind("account", lambda event: event.account)
ACCESS_KEY: Kind[RegistryEvent] = Kind("key", lambda event: event)
"""With the fact: it says where the key's secret lies."""

CREDENTIAL: Kind[EventsCredential] = Kind("credential", lambda event: event.events_credential)

AVAILABLE, CLOSING, DELETING = "AVAILABLE", "CLOSING", "DELETING"
PUBLIC = "*"
"""The other side of a service that everybody may connect to."""

PAGE = 500
MOST_SUBNETS, MOST_TABLES = 200, 51
"""What a VPC has at most, its default route table included."""

TABLE_VERSION = 3
"""Of the read table: it has route tables since this one."""

STAMPED = (vpc_pb2.Subnet, vpc_pb2.RouteTable, vpc_pb2.DefaultAttachment, account_pb2.Account)
"""What is given its etag when it is shown."""

_GONE = {
    *("vpc_deleted", "subnet_deleted", "port_released", "attachment_deleted", "service_deleted"),
    *("default_attachment_deleted", "route_table_deleted"),
}


def row_of(event: RecordedEvent) -> ResourceRow | None:
    """The row that an event leaves. `project` is the owner's account/project."""
    stored = RegistryEvent.FromString(event.data)
    live = stored.WhichOneof("fact") not in _GONE
    match stored.WhichOneof("resource"):
        case "vpc":
            vpc = stored.vpc
            return _row(VPC, vpc, event, live, name=vpc.name)._replace(tags=_tags(vpc.tags))
        case "subnet":
            subnet = stored.subnet
            row = _row(SUBNET, subnet, event, live, subnet.vpc_id, name=subnet.name)
            return row._replace(vpc=subnet.vpc_id, tags=_tags(subnet.tags))
        case "route_table":
            table = stored.route_table
            return _row(ROUTE_TABLE, table, event, live, table.vpc_id, name=table.name)._replace(vpc=table.vpc_id)
        case "port":
            port = stored.port
            return _row(PORT, port, event, live, port.subnet_id, name=port.holder)._replace(vpc=port.vpc_id)
        case "attachment":
            made = stored.attachment
            return ResourceRow(ATTACHMENT.name, made.id, OPERATOR, event.data, made.vpc_id, "", made.cell, live=live)
        case "default_attachment":
            cell = stored.default_attachment.cell
            return ResourceRow(DEFAULT_ATTACHMENT.name, cell, OPERATOR, event.data, partition=cell, live=live)
        case "service":
            return _service(stored.service, event, live)
        case "account":
            name = stored.account.name
            return ResourceRow(ACCOUNT.name, name, OPERATOR, event.data, name=name)
        case "access_key":
            key, valid = stored.access_key, not stored.access_key.HasField("revoke_time")
            state = VALID if valid else REVOKED
            return ResourceRow(ACCESS_KEY.name, key.id, OPERATOR, event.data, key.account, state=state)
        case "events_credential":
            return _row(CREDENTIAL, stored.events_credential, event, live)
        case None:
            return None


def _row(
    kind: Kind[R],
    resource: vpc_pb2.Vpc | vpc_pb2.Subnet | vpc_pb2.Port | vpc_pb2.RouteTable | EventsCredential,
    event: RecordedEvent,
    live: bool,
    parent: str = "",
    *,
    name: str = "",
) -> ResourceRow:
    owner = f"{resource.account}/{resource.project}"
    return ResourceRow(kind.name, resource.id, owner, event.data, parent, name=name, live=live)


def _service(service: EndpointService, event: RecordedEvent, live: bool) -> ResourceRow:
    """A service of the platform's that everybody may connect to has everybody on its other side."""
    state = EndpointService.State.Name(service.state).removeprefix("STATE_")
    cloud = service.server_type == EndpointService.SERVER_TYPE_CLOUD
    public = cloud and EVERYBODY in service.permissions and state == AVAILABLE
    return ResourceRow(
        SERVICE.name,
        service.id,
        f"{service.account}/{service.project}",
        event.data,
        service.vpc_id,
        PUBLIC if public else "",
        name=service.name,
        state=state,
        live=live,
        full_name=service.full_name,
        type=EndpointService.ServerType.Name(service.server_type).removeprefix("SERVER_TYPE_"),
        vpc=service.vpc_id,
        updated=service.update_time.ToNanoseconds(),
        tags=_tags(service.tags),
    )


def _tags(tags: Iterable[Tag]) -> tuple[tuple[str, str], ...]:
    return tuple((tag.key, tag.value) for tag in tags)


def default_table_row(event: RecordedEvent) -> ResourceRow | None:
    """The row of the route table that a VPC has by default: it is there as long as the VPC, in old logs too."""
    if not event.stream.startswith(VPC_STREAM):
        return None
    stored = RegistryEvent.FromString(event.data)
    if stored.WhichOneof("resource") != "vpc":
        return None
    table, live = default_table(stored.vpc), stored.WhichOneof("fact") not in _GONE
    return _row(ROUTE_TABLE, table, event, live, table.vpc_id, name=table.name)._replace(vpc=table.vpc_id)


def rows_of(event: RecordedEvent) -> Sequence[ResourceRow]:
    """The rows that an event leaves in the index of the past: also that its VPC is at another revision."""
    row = row_of(event)
    if row is None:
        return ()
    if not event.stream.startswith(VPC_STREAM):
        return (row,)
    table = default_table_row(event)
    revision = ResourceRow(REVISION, event.stream.removeprefix(VPC_STREAM), "", b"", live=event.type != VPC_DELETED)
    return (row, revision) if table is None else (row, table, revision)


class VpcRevisions:
    """A projection: how often each VPC or a subnet of it has changed, which no single event of either shows."""

    name = "vpc_revisions"
    version = 1
    metadata = MetaData()
    table = Table(
        "vpc_revisions", metadata, Column("stream", Name, primary_key=True), Column("revision", Number, nullable=False)
    )
    _upsert = text(
        "INSERT INTO vpc_revisions (stream, revision) VALUES (:stream, :revision)"
        " ON CONFLICT (stream) DO UPDATE SET revision = excluded.revision"
    )

    def apply(self, connection: Connection, event: RecordedEvent) -> None:
        if event.type == VPC_DELETED:
            connection.execute(delete(self.table).where(self.table.c.stream == event.stream))
        elif event.stream.startswith(VPC_STREAM):
            connection.execute(self._upsert, {"stream": event.stream, "revision": event.version})


REDUCER = Reducer(3, rows_of)
"""What the registry's past is made by."""


def projections() -> Sequence[Projection]:
    """What the registry's store is opened with."""
    return [ResourceTable(row_of, also=default_table_row, version=TABLE_VERSION), VpcRevisions()]


class Snapshot:
    """The resources as they are at one position of the log."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, kind: Kind[R], id_: str) -> R | None:
        row = resource_lists.get(self._connection, kind.name, id_)
        return None if row is None else self._shown(kind, [row])[0]

    def listed(self, kind: Kind[R], window: Window, scope: Scope = EVERYWHERE, selection: Selection = ALL) -> Found[R]:
        """A part of the list of a kind's resources."""
        found = resource_lists.listed(self._connection, kind.name, window, scope, selection)
        places = (place for place, _ in found.rows)
        return Found(list(zip(places, self._shown(kind, found.items), strict=True)), found.total)

    def tags(self, kind: Kind[R], owner: str, after: tuple[str, str], limit: int) -> Sequence[tuple[str, str]]:
        """Keys and values of an owner's tags behind one of them, in order, each once."""
        return resource_lists.tags(self._connection, kind.name, owner, after, limit)

    def of(self, kind: Kind[R], parent: str, limit: int) -> list[R]:
        """The first resources that are a part of another."""
        return self.listed(kind, Window(limit), Scope(parent=parent)).items

    def all(self, kind: Kind[R], *, states: Sequence[str]) -> Iterator[R]:
        """Every resource in one of these states."""
        after: Cursor | None = None
        while page := self.listed(kind, Window(PAGE, after), selection=Selection(tuple(states))).rows:
            yield from (resource for _, resource in page)
            after = page[-1][0]

    def _shown(self, kind: Kind[R], rows: Sequence[ResourceRow]) -> list[R]:
        resources = [kind.of(RegistryEvent.FromString(row.data)) for row in rows]
        self._fill([each for each in resources if isinstance(each, vpc_pb2.RouteTable) and each.by_default])
        for resource in resources:
            if isinstance(resource, STAMPED):
                stamped(resource)
            elif isinstance(resource, RegistryEvent):
                stamped(resource.access_key)
            elif isinstance(resource, EndpointService):
                resource.ip_version = resource.ip_version or EndpointService.IP_VERSION_IPV4
        self._revise([vpc for vpc in resources if isinstance(vpc, vpc_pb2.Vpc)])
        return resources

    def _fill(self, defaults: Sequence[vpc_pb2.RouteTable]) -> None:
        """Gives default tables the subnets that are in no other of their VPC."""
        for table in defaults:
            apart: set[str] = set()
            for row in resource_lists.listed(
                self._connection, ROUTE_TABLE.name, Window(MOST_TABLES), Scope(parent=table.vpc_id), ALL
            ).items:
                apart.update(RegistryEvent.FromString(row.data).route_table.subnet_ids)
            subnets = self.of(SUBNET, table.vpc_id, MOST_SUBNETS)
            table.subnet_ids.extend(subnet.id for subnet in subnets if subnet.id not in apart)

    def _revise(self, vpcs: Sequence[vpc_pb2.Vpc]) -> None:
        """Gives VPCs the etag that they have by now."""
        if not vpcs:
            return
        columns = VpcRevisions.table.c
        wanted = select(columns.stream, columns.revision).where(columns.stream.in_([f"vpc-{vpc.id}" for vpc in vpcs]))
        revisions = {row.stream: row.revision for row in self._connection.execute(wanted)}
        for vpc in vpcs:
            vpc.etag = str(revisions[f"vpc-{vpc.id}"])


class Resources:
    """What is there, as the last append left it."""

    def __init__(self, store: SqlStore) -> None:
        self._store = store

    async def head(self) -> Head:
        return await self._store.head()

    async def read(self, function: Callable[[Snapshot], T]) -> T:
        """What the function reads, all of it at one position."""
        return await self._store.query(lambda connection: function(Snapshot(connection)))

    async def get(self, kind: Kind[R], id_: str) -> R | None:
        return await self.read(lambda now: now.get(kind, id_))
