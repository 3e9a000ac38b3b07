"""Logs of older versions are brought to this one's tables; those of newer ones are left alone."""

import asyncio
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, insert, inspect, select, text
from sqlalchemy.exc import OperationalError

from services.common.eventsourcing.database_url import database_at
from services.common.eventsourcing.migration import SCRIPTS, upgrade
from services.common.eventsourcing.sql_schema import SCHEMA_VERSION, log_info, metadata
from services.common.eventsourcing.sql_store import SqlStore
from services.common.eventsourcing.store import RecordedEvent, WrongSchema
from sidegate.api.registry.v1 import registry_service_pb2 as registry_pb2
from sidegate.evidence import verify
from tests.support.registry_service import running_registry
from tests.support.registry_story import check, tables
from tests.support.stores import LOGS, Tally, an_append, whole_log

RELEASED = Path(__file__).with_name("released")
Description = Mapping[str, object]


@pytest.fixture(params=LOGS)
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with LOGS[request.param](tmp_path) as made:
        yield made


def written_by_0_1_0(path: Path) -> list[RecordedEvent]:
    """Puts the registry's log there, as that version left it; gives its events."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((RELEASED / "registry-0.1.0.sql").read_text())
        return [RecordedEvent(*row) for row in connection.execute("SELECT * FROM events ORDER BY position")]


@contextmanager
def connected(where: str) -> Iterator[Connection]:
    """A transaction that has the log's lock."""
    database = database_at(where, "FULL")
    engine = database.writer()
    try:
        with engine.begin() as connection:
            database.lock(connection)
            yield connection
    finally:
        engine.dispose()


def described(connection: Connection) -> Description:
    """All that there is to know of the tables, in words that can be compared."""
    found = inspect(connection)
    schema = found.default_schema_name
    made = "SELECT sql FROM sqlite_master WHERE type = 'trigger' ORDER BY name"
    if connection.dialect.name == "postgresql":
        made = "SELECT pg_get_triggerdef(oid, true) FROM pg_trigger WHERE tgrelid = 'events'::regclass"
    return {
        "triggers": connection.execute(text(made)).scalars().all(),
        **{name: _described_table(connection, name) for name in found.get_table_names(schema)},
    }


def _described_table(connection: Connection, name: str) -> Description:
    found = inspect(connection)
    columns = [{**column, "type": repr(column["type"])} for column in found.get_columns(name)]
    return {
        "columns": columns,
        "key": found.get_pk_constraint(name)["constrained_columns"],
        "unique": sorted(unique["column_names"] for unique in found.get_unique_constraints(name)),
        "indexes": sorted((index["name"], index["column_names"]) for index in found.get_indexes(name)),
        "options": found.get_table_options(name),
    }


async def test_a_log_that_0_1_0_wrote_is_the_same_log_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "registry.sqlite"
    before = written_by_0_1_0(path)
    async with running_registry(tmp_path) as world:
        head, log = await world.store.head(), await whole_log(world.store)
        assert log == before
        assert verify(head.log_id, log).ok
        assert (head.position, head.hash) == (len(before), before[-1].hash)
        listed = await world.payments.ask(world.payments.stub.ListVpcs, registry_pb2.ListVpcsRequest())
        assert [vpc.name for vpc in listed.vpcs] == ["payments"]
        asked = registry_pb2.ListRouteTablesRequest(vpc_id=listed.vpcs[0].id)
        routed = await world.payments.ask(world.payments.stub.ListRouteTables, asked)
        assert [(table.name, table.by_default) for table in routed.route_tables] == [("default", True)]
        again = await world.payments.vpc(name="payments", request_id="11111111-1111-4111-8111-111111111111")
        assert again.id == listed.vpcs[0].id
        await world.payments.vpc("10.7.0.0/16", name="since")
        await check(world)
        live = await world.store.query(tables)
        continued = await whole_log(world.store)
        assert verify(head.log_id, continued).ok
        assert len(continued) == len(before) + 1
    async with running_registry(tmp_path) as world:
        assert await world.store.query(tables) == live


async def test_a_migrated_log_is_made_as_a_new_one(where: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    with connected(where) as connection:
        upgrade(connection, SCHEMA_VERSION)
        migrated = described(connection)
    kind = "sqlite" if where.startswith("/") else "postgres"
    with LOGS[kind](tmp_path_factory.mktemp("fresh")) as fresh:
        await (await SqlStore.open(fresh)).close()
        with connected(fresh) as connection:
            assert described(connection) == migrated


def test_the_steps_lead_to_what_the_schema_says(where: str) -> None:
    with connected(where) as connection:
        upgrade(connection, SCHEMA_VERSION)
        told = {"compare_type": True, "compare_server_default": True}
        assert compare_metadata(MigrationContext.configure(connection, opts=told), metadata) == []
    assert ScriptDirectory(str(SCRIPTS)).get_current_head() == str(SCHEMA_VERSION)


async def test_a_log_that_is_opened_is_stamped_once(where: str) -> None:
    for _ in range(2):
        await (await SqlStore.open(where)).close()
    with connected(where) as connection:
        assert MigrationContext.configure(connection).get_current_heads() == (str(SCHEMA_VERSION),)
        assert connection.execute(select(log_info.c.schema_version)).scalar_one() == SCHEMA_VERSION


async def test_an_old_log_that_many_open_at_once_is_migrated_once(where: str) -> None:
    with connected(where) as connection:
        upgrade(connection, 1)
        connection.execute(text("DROP TABLE alembic_version"))  # as 0.1.0 left it
        columns = {"log_id": "a-log", "epoch": 1, "schema_version": 1, "created_at": 1}
        connection.execute(insert(log_info).values(columns))
    stores = await asyncio.gather(*[SqlStore.open(where, projections=[Tally()]) for _ in range(4)])
    try:
        await asyncio.gather(*[store.append(an_append(f"endpoint-{n}")) for n in range(5) for store in stores])
        log = await whole_log(stores[0])
        assert [event.position for event in log] == list(range(1, 21))
        assert verify("a-log", log).ok
    finally:
        await asyncio.gather(*[store.close() for store in stores])


async def test_a_step_that_cannot_be_made_leaves_the_log_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "registry.sqlite"
    written_by_0_1_0(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("ALTER TABLE log_info ADD COLUMN program TEXT")  # somebody was here before
        before = list(connection.iterdump())
    with pytest.raises(OperationalError, match="duplicate column"):
        await SqlStore.open(path)
    with closing(sqlite3.connect(path)) as connection:
        assert list(connection.iterdump()) == before


async def test_a_log_of_a_newer_sidegate_is_left_alone_in_a_sentence(where: str) -> None:
    await (await SqlStore.open(where)).close()
    with connected(where) as connection:
        connection.execute(log_info.update().values(schema_version=99))
    with pytest.raises(WrongSchema, match=r"99.*up to \d+: run the newer Sidegate that wrote it") as refused:
        await SqlStore.open(where)
    assert where in str(refused.value) or "postgresql://" in str(refused.value)


async def test_the_log_of_another_program_is_not_opened(where: str) -> None:
    await (await SqlStore.open(where)).close()  # nobody's
    for _ in range(2):
        await (await SqlStore.open(where, program="registry")).close()
    with pytest.raises(WrongSchema, match="is the log of the registry service: give the endpoint service"):
        await SqlStore.open(where, program="endpoint")
