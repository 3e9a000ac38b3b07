"""A log's database when it is opened: made if it is empty, checked if it is not."""

import time
import uuid

from sqlalchemy import Connection, insert, inspect, select

from services.common.eventsourcing.database import Database
from services.common.eventsourcing.sql_schema import SCHEMA_VERSION, log_info, metadata
from services.common.eventsourcing.store import WrongSchema

FIRST_EPOCH = 1


def open_log(connection: Connection, database: Database) -> str:
    """The log's id. Raises WrongSchema for a database that is another version's, or something else altogether."""
    inspector = inspect(connection)
    tables = inspector.get_table_names(inspector.default_schema_name)
    if not tables:
        return _create(connection, database)
    if log_info.name not in tables:
        raise WrongSchema(f"{database.where} holds tables that are not Sidegate's: give the log a database of its own")
    return _check(connection, database.where)


def _create(connection: Connection, database: Database) -> str:
    metadata.create_all(connection)
    database.protect(connection)
    log_id = str(uuid.uuid4())
    created = {"log_id": log_id, "epoch": FIRST_EPOCH, "schema_version": SCHEMA_VERSION, "created_at": time.time_ns()}
    connection.execute(insert(log_info), created)
    return log_id


def _check(connection: Connection, where: str) -> str:
    version = connection.execute(select(log_info.c.schema_version)).scalar_one_or_none()
    if version != SCHEMA_VERSION:
        raise WrongSchema(
            f"{where} has schema version {version}, this Sidegate needs {SCHEMA_VERSION}:"
            " run the Sidegate that wrote it, or start with an empty data directory"
        )
    return str(connection.execute(select(log_info.c.log_id)).scalar_one())
