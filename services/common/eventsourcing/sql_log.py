"""A log's database when it is opened: made if it is empty, brought to our version if it is older."""

import time
import uuid

import structlog
from sqlalchemy import Connection, insert, inspect, select

from services.common.eventsourcing.database import Database
from services.common.eventsourcing.migration import migrate, stamp
from services.common.eventsourcing.sql_schema import SCHEMA_VERSION, log_info, metadata
from services.common.eventsourcing.store import WrongSchema

FIRST_EPOCH = 1

log = structlog.get_logger(__name__)


def open_log(connection: Connection, database: Database, program: str) -> str:
    """The log's id. Raises WrongSchema for a newer version's, another program's, or something else altogether."""
    inspector = inspect(connection)
    tables = inspector.get_table_names(inspector.default_schema_name)
    if not tables:
        _create(connection, database)
    elif log_info.name in tables:
        _upgrade(connection, database.where)
    else:
        raise WrongSchema(f"{database.where} holds tables that are not Sidegate's: give the log a database of its own")
    _claim(connection, database.where, program)
    return str(connection.execute(select(log_info.c.log_id)).scalar_one())


def _create(connection: Connection, database: Database) -> None:
    metadata.create_all(connection)
    database.protect(connection)
    log_id = str(uuid.uuid4())
    created = {"log_id": log_id, "epoch": FIRST_EPOCH, "schema_version": SCHEMA_VERSION, "created_at": time.time_ns()}
    connection.execute(insert(log_info), created)
    stamp(connection, SCHEMA_VERSION)


def _upgrade(connection: Connection, where: str) -> None:
    version = connection.execute(select(log_info.c.schema_version)).scalar_one_or_none()
    if version is None or not 0 < version <= SCHEMA_VERSION:
        raise WrongSchema(
            f"{where} has schema version {version}, this Sidegate knows up to {SCHEMA_VERSION}: run the newer Sidegate"
            " that wrote it, or give this one an empty database"
        )
    if version < SCHEMA_VERSION:
        log.info("a log of an older Sidegate is brought to this one's tables", where=where, schema_version=version)
        migrate(connection, version)


def _claim(connection: Connection, where: str, program: str) -> None:
    owner = connection.execute(select(log_info.c.program)).scalar_one()
    if program and owner and owner != program:
        raise WrongSchema(
            f"{where} is the log of the {owner} service: give the {program} service a database of its own"
        )
    if program and not owner:
        connection.execute(log_info.update().values(program=program))
