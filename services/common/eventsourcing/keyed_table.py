"""A table whose first columns are its key: read and written many rows at a time."""

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import Connection, Dialect, Table, bindparam, delete, insert, select

from services.common.eventsourcing.database import Database
from services.common.eventsourcing.driver_statement import DriverStatement

Key = tuple[str, ...]
Values = tuple[Any, ...]


class KeyedTable:
    """Maps the values of the key's columns, all of them text, to those of the other columns."""

    def __init__(self, table: Table, database: Database, dialect: Dialect) -> None:
        key = list(table.primary_key)
        self._database = database
        self._width = len(key)
        pairs = list(zip(key, database.each_key(len(key)), strict=True))
        these = [column == bindparam(f"{column.name}_") for column in key]
        self._select = DriverStatement(select(table).where(*(column == given for column, given in pairs)), dialect)
        self._insert = DriverStatement(insert(table), dialect)
        self._delete = DriverStatement(delete(table).where(*these), dialect)

    def select(self, connection: Connection, keys: Collection[Key]) -> dict[Key, Values]:
        """The rows with these keys, as far as they are there."""
        if not keys:
            return {}
        rows = self._select.rows(connection, **self._database.keys(keys))
        return {tuple(row[: self._width]): tuple(row[self._width :]) for row in rows}

    def replace(self, connection: Connection, before: Mapping[Key, Values], after: Mapping[Key, Values]) -> None:
        """Writes what differs."""
        changed = {key for key, _ in before.items() ^ after.items()}
        self._delete.execute_many(connection, [key for key in changed if key in before])
        self._insert.execute_many(connection, [(*key, *after[key]) for key in changed if key in after])
