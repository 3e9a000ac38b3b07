"""PostgreSQL as the log's database: an advisory lock is the log's, one connection writes, some read."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import cast

import psycopg
import structlog
from sqlalchemy import ARRAY, URL, ColumnElement, Connection, Engine, Text, bindparam, create_engine, event, func
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from services.common.eventsourcing.database import READERS
from services.common.eventsourcing.store import Unavailable, WrongSchema

LOCK_MILLISECONDS = 2000
"""How long a batch waits for the log's lock, which another program may hold."""

IDLE_MILLISECONDS = 5000
"""A program that stops in the middle of a transaction holds the log's lock for no longer than this."""

READ_IDLE_MILLISECONDS = 60_000
WRITE_MILLISECONDS = 10_000
"""No statement of a batch takes longer; what opens a log may."""

READ_MILLISECONDS = 30_000
"""No call has longer than this: rpc/guard.py."""

CONNECTING = {
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
}
"""What libpq is told, where the URL says nothing else: a server that does not answer is given up after ten seconds."""

# The schema is a part of the key, and an advisory lock is of one database: two logs do not wait for each other.
# In one message with the beginning, and before anything is read: what follows sees all that was committed under it.
BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED, READ WRITE; "
LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('sidegate/' || coalesce(current_schema(), ''), 0))"

# A server that is set to wait for its standbys goes on doing so; one that is set not to wait for its disk does.
DURABLE = (
    "SELECT set_config('synchronous_commit', 'on', false)"
    " WHERE current_setting('synchronous_commit') IN ('off', 'local')"
)

# A plan that is kept from when the log was empty reads all of it, until the server happens to gather statistics.
PLANNED = "SELECT set_config('plan_cache_mode', 'force_custom_plan', false)"

REFUSE = (
    "CREATE FUNCTION events_refuse() RETURNS trigger LANGUAGE plpgsql AS"
    " $$ BEGIN RAISE EXCEPTION 'events are only ever added'; END $$",
    "CREATE TRIGGER events_refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON events"
    " FOR EACH STATEMENT EXECUTE FUNCTION events_refuse()",
)

SHOWN = ("host", "port", "options")
"""What messages show of a URL's options: a password may be among the others."""

AWAY = ("08", "28", "3D", "3F", "40", "53", "55", "57", "58", "F0", "XX")
"""Classes of SQLSTATE: the connection, who may connect, no such database or schema, rolled back for another's sake, no
resources, locked, an operator's doing, the system, the configuration, broken."""

AWAY_TOO = ("25006", "25P03", "25P04", "42501")
"""It may only be read, as a standby; a transaction took too long; a permission is missing."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Postgres:
    """`url` may hold a password, and is shown without it."""

    url: URL = field(repr=False)

    @property
    def where(self) -> str:
        shown = {name: value for name, value in self.url.query.items() if name in SHOWN}
        return self.url.set(drivername="postgresql", query=shown).render_as_string(hide_password=True)

    def writer(self) -> Engine:
        settings = {
            "lock_timeout": LOCK_MILLISECONDS,
            "idle_in_transaction_session_timeout": IDLE_MILLISECONDS,
            "statement_timeout": WRITE_MILLISECONDS,
        }
        return self._engine("sidegate writer", 1, settings)

    def readers(self) -> Engine:
        settings = {
            "lock_timeout": LOCK_MILLISECONDS,
            "idle_in_transaction_session_timeout": READ_IDLE_MILLISECONDS,
            "statement_timeout": READ_MILLISECONDS,
            "default_transaction_read_only": "on",
        }
        return self._engine("sidegate reader", READERS, settings)

    def lock(self, connection: Connection) -> None:
        try:
            _execute(connection, BEGIN + LOCK)
        except psycopg.errors.LockNotAvailable as error:
            raise Unavailable(f"{self.where}: another program has the log's lock, try again") from error

    def snapshot(self, connection: Connection) -> None:
        _execute(connection, "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")

    def unhurried(self, connection: Connection) -> None:
        _execute(connection, "SET LOCAL statement_timeout = 0")

    def each_key(self, width: int) -> Sequence[ColumnElement[str]]:
        arrays = [bindparam(f"keys_{place}", type_=ARRAY(Text)) for place in range(width)]
        rows = func.unnest(*arrays).table_valued(*(f"key_{place}" for place in range(width)))
        return list(rows.render_derived().c)

    def keys(self, keys: Collection[tuple[str, ...]]) -> Mapping[str, object]:
        return {f"keys_{place}": list(values) for place, values in enumerate(zip(*keys, strict=True))}

    @property
    def driver_error(self) -> type[Exception]:
        return psycopg.Error

    def is_away(self, error: BaseException | None) -> bool:
        if not isinstance(error, psycopg.Error):
            return False
        if error.sqlstate is None:  # the driver's own word on a connection that is gone, or was never made
            return isinstance(error, psycopg.OperationalError)
        return error.sqlstate.startswith(AWAY) or error.sqlstate in AWAY_TOO

    def is_foreign(self, error: BaseException | None) -> bool:
        return False

    def protect(self, connection: Connection) -> None:
        for statement in REFUSE:
            _execute(connection, statement)

    def tidy(self, connection: Connection) -> None:
        """Nothing is to be done: the server vacuums and checkpoints by itself."""

    def _engine(self, name: str, connections: int, settings: Mapping[str, object]) -> Engine:
        told = {"application_name": name, **CONNECTING}
        engine = create_engine(
            self.url.set(drivername="postgresql+psycopg"),
            pool_size=connections,
            max_overflow=0,
            connect_args={option: value for option, value in told.items() if option not in self.url.query},
            use_native_hstore=False,
            hide_parameters=True,
        )

        @event.listens_for(engine, "connect")
        def configure(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
            made = cast("psycopg.Connection", connection)
            self._require_unicode(made)
            made.autocommit = True  # a transaction begins where we say so, as with SQLite
            for option, value in settings.items():
                made.execute("SELECT set_config(%s, %s, false)", (option, str(value)))
            made.execute(DURABLE)
            made.execute(PLANNED)

        return engine

    def _require_unicode(self, connection: psycopg.Connection) -> None:
        encoding = connection.info.parameter_status("server_encoding")
        if encoding != "UTF8":
            connection.close()
            raise WrongSchema(
                f"{self.where} is encoded in {encoding}, a log needs UTF8:"
                " make a database for it by createdb --encoding=UTF8 --template=template0"
            )


def _execute(connection: Connection, statement: str) -> None:
    """By the driver itself: it is for the connection, and there is nothing to convert."""
    with closing(connection.connection.cursor()) as cursor:
        cursor.execute(statement)
