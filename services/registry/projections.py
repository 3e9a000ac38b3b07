"""Read tables: what each event leaves of its resource, found by who owns it and by what it is a part of."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from sqlalchemy import Column, Connection, MetaData, Table, delete, select, text

from services.common.eventsourcing import resource_table
from services.common.eventsourcing.projection import Projection
from services.common.eventsourcing.resource_table import ResourceRow, ResourceTable
from services.common.eventsourcing.selection import ALL, Selection
from services.common.eventsourcing.sql_schema import Name, Number
from services.common.eventsourcing.sql_store import SqlStore
from services.common.eventsourcing.store import Head, RecordedEvent
from services.common.history.index import Reducer
from services.common.principal import OPERATOR
from sidegate.api.events.v1.registry_events_pb2 import RegistryEvent
from sidegate.api.registry.v1 import account_pb2, vpc_pb2
from sidegate.api.registry.v1.endpoint_service_pb2 import EndpointService

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Kind(Generic[R_co]):
    """A kind of resource: its name in tables and errors, and where an event has it."""

    name: str
    of: Callable[[RegistryEvent], R_co]


VPC: Kind[vpc_pb2.Vpc] = Kind("vpc", lambda event: event.vpc)
SUBNET: Kind[vpc_pb2.Subnet] = Kind("subnet", lambda event: event.subnet)
PORT: Kind[vpc_pb2.Port] = Kind("port", lambda event: event.port)
ATTACHMENT: Kind[vpc_pb2.Attachment] = Kind("attachment", lambda event: event.attachment)
DEFAULT_ATTACHMENT: Kind[vpc_pb2.DefaultAttachment] = Kind("default_attachment", lambda event: event.default_attachment)
SERVICE: Kind[EndpointService] = Kind("service", lambda event: event.service)
REVISION = "vpc_revision"
VPC_STREAM, VPC_DELETED = "vpc-", "registry.v1.VpcDeleted"
ACCOUNT: Kind[account_pb2.Account] = Kind("account", lambda event: event.account)
ACCESS_KEY: Kind[RegistryEvent] = Kind("key", lambda event: event)
"""With the fact: it says where the key's secret lies."""

CLOSING, DELETING = "CLOSING", "DELETING"
PAGE = 500

_GONE = {
    *("vpc_deleted", "subnet_deleted", "port_released", "attachment_deleted", "service_deleted"),
    "default_attachment_deleted",
}


def row_of(event: RecordedEvent) -> ResourceRow | None:
    """The row that an event leaves. `project` is the owner's account/project."""
    stored = RegistryEvent.FromString(event.data)
    live = stored.WhichOneof("fact") not in _GONE
    match stored.WhichOneof("resource"):
        case "vpc":
            return _row(VPC, stored.vpc, event, live, name=stored.vpc.name)
        case "subnet":
            return _row(SUBNET, stored.subnet, event, live, stored.subnet.vpc_id, name=stored.subnet.name)
        case "port":
            return _row(PORT, stored.port, event, live, stored.port.subnet_id)
        case "attachment":
            made = stored.attachment
            return ResourceRow(ATTACHMENT.name, made.id, OPERATOR, event.data, made.vpc_id, "", made.cell, live=live)
        case "default_attachment":
            cell = stored.default_attachment.cell
            return ResourceRow(DEFAULT_ATTACHMENT.name, cell, OPERATOR, event.data, partition=cell, live=live)
        case "service":
            state = EndpointService.State.Name(stored.service.state).removeprefix("STATE_")
            service = stored.service
            return _row(SERVICE, service, event, live, service.vpc_id, name=service.name, state=state)
        case "account":
            return ResourceRow(ACCOUNT.name, stored.account.name, OPERATOR, event.data)
        case "access_key":
            key = stored.access_key
            return ResourceRow(ACCESS_KEY.name, key.id, OPERATOR, event.data, key.account)
        case None:
            return None


def _row(
    kind: Kind[R],
    resource: vpc_pb2.Vpc | vpc_pb2.Subnet | vpc_pb2.Port | EndpointService,
    event: RecordedEvent,
    live: bool,
    parent: str = "",
    *,
    name: str = "",
    state: str = "",
) -> ResourceRow:
    owner = f"{resource.account}/{resource.project}"
    return ResourceRow(kind.name, resource.id, owner, event.data, parent, name=name, state=state, live=live)


def rows_of(event: RecordedEvent) -> Sequence[ResourceRow]:
    """The rows that an event leaves in the index of the past: also that its VPC is at another revision."""
    row = row_of(event)
    if row is None:
        return ()
    if not event.stream.startswith(VPC_STREAM):
        return (row,)
    revision = ResourceRow(REVISION, event.stream.removeprefix(VPC_STREAM), "", b"", live=event.type != VPC_DELETED)
    return (row, revision)


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


REDUCER = Reducer(1, rows_of)
"""What the registry's past is made by."""


def projections() -> Sequence[Projection]:
    """What the registry's store is opened with."""
    return [ResourceTable(row_of), VpcRevisions()]


class Snapshot:
    """The resources as they are at one position of the log."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, kind: Kind[R], id_: str) -> R | None:
        row = resource_table.get(self._connection, kind.name, id_)
        return None if row is None else self._shown(kind, [row])[0]

    def page(
        self,
        kind: Kind[R],
        *,
        owner: str | None = None,
        parent: str | None = None,
        selection: Selection = ALL,
        after: int = 0,
        limit: int,
    ) -> list[tuple[int, R]]:
        """Up to `limit` resources in order of creation, each with the position to go on from."""
        rows = resource_table.page(
            self._connection, kind.name, project=owner, parent=parent, selection=selection, after=after, limit=limit
        )
        return list(zip((at for at, _ in rows), self._shown(kind, [row for _, row in rows]), strict=True))

    def of(self, kind: Kind[R], parent: str, limit: int) -> list[R]:
        """The first resources that are a part of another."""
        return [resource for _, resource in self.page(kind, parent=parent, limit=limit)]

    def all(self, kind: Kind[R], *, states: Sequence[str]) -> Iterator[R]:
        """Every resource in one of these states."""
        after = 0
        while page := self.page(kind, selection=Selection(tuple(states)), after=after, limit=PAGE):
            yield from (resource for _, resource in page)
            after = page[-1][0]

    def _shown(self, kind: Kind[R], rows: Sequence[ResourceRow]) -> list[R]:
        resources = [kind.of(RegistryEvent.FromString(row.data)) for row in rows]
        self._revise([vpc for vpc in resources if isinstance(vpc, vpc_pb2.Vpc)])
        return resources

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
