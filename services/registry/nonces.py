"""Nonces that were taken: a table of the registry's database that is no part of the log."""

from collections.abc import Mapping, Sequence

from sqlalchemy import Column, Connection, Float, LargeBinary, MetaData, Table, bindparam, delete, insert, select

from services.common.eventsourcing.sql_store import SqlStore

METADATA = MetaData()
TAKEN = Table(
    "taken_nonces",
    METADATA,
    Column("digest", LargeBinary(32), primary_key=True),
    Column("until", Float, nullable=False),
)
FORGET = delete(TAKEN).where(TAKEN.c.digest == bindparam("over"))


class TakenNonces:
    def __init__(self, store: SqlStore) -> None:
        self._store = store

    async def recall(self) -> Mapping[bytes, float]:
        await self._store.write(METADATA.create_all)
        rows = await self._store.query(lambda connection: connection.execute(select(TAKEN)).all())
        return {bytes(row.digest): row.until for row in rows}

    async def keep(self, taken: bytes, until: float, over: Sequence[bytes]) -> None:
        def write(connection: Connection) -> None:
            if over:
                connection.execute(FORGET, [{"over": each} for each in over])
            connection.execute(insert(TAKEN).values(digest=taken, until=until))

        await self._store.write(write)
