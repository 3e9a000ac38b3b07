"""What is PostgreSQL's own: its settings, its lock, its order of text, and databases that are no log."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from dataclasses import replace

import psycopg
import pytest
from sqlalchemy import Connection, select, text

from services.common.eventsourcing.database_url import database_at
from services.common.eventsourcing.postgres import LOCK, Postgres
from services.common.eventsourcing.sql_ledger import LedgerTables
from services.common.eventsourcing.sql_queries import LogQueries
from services.common.eventsourcing.sql_schema import last_of_partition
from services.common.eventsourcing.sql_store import SqlStore
from services.common.eventsourcing.sql_writer import SqlWriter
from services.common.eventsourcing.store import (
    Appended,
    Claim,
    Constraints,
    NotALog,
    OutcomeUnknown,
    RecordedEvent,
    Unavailable,
    WrongSchema,
)
from sidegate.evidence import verify
from tests.support import postgres
from tests.support.stores import Tally, an_append, attempts_to_lock, whole_log

PATIENCE = 20
ROWS_READ = "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'events'"
SETTINGS = (
    "synchronous_commit",
    "lock_timeout",
    "idle_in_transaction_session_timeout",
    "statement_timeout",
    "transaction_isolation",
    "transaction_read_only",
    "application_name",
    "plan_cache_mode",  # a plan kept from when the log was empty reads all of it: a lone append took four times as long
)

WRITER, READER = ("sidegate writer", "force_custom_plan"), ("sidegate reader", "force_custom_plan")


@pytest.fixture
def database() -> Iterator[str]:
    with postgres.database() as name:
        yield name


@pytest.fixture
def where(database: str) -> str:
    return postgres.shared().url(database)


@pytest.fixture
async def store(where: str) -> AsyncIterator[SqlStore]:
    opened = await SqlStore.open(where, projections=[Tally(poison="poison")])
    try:
        yield opened
    finally:
        await opened.close()


def settings(connection: Connection) -> list[str]:
    return [connection.execute(text(f"SHOW {name}")).scalar_one() for name in SETTINGS]


async def test_a_commit_waits_for_the_disk_and_nothing_else_waits_for_ever(database: str, where: str) -> None:
    postgres.shared().execute(f"ALTER DATABASE {database} SET synchronous_commit = off")
    writer = SqlWriter(database_at(where, "FULL"), [])
    try:
        assert writer.run(settings) == ["on", "2s", "5s", "10s", "read committed", "off", *WRITER]
    finally:
        writer.close()
    store = await SqlStore.open(where)
    try:
        assert await store.query(settings) == ["on", "2s", "1min", "30s", "repeatable read", "on", *READER]
    finally:
        await store.close()


async def test_who_waits_for_standbys_goes_on_doing_so(database: str, where: str) -> None:
    postgres.shared().execute(f"ALTER DATABASE {database} SET synchronous_commit = remote_apply")
    writer = SqlWriter(database_at(where, "FULL"), [])
    try:
        assert writer.run(settings)[0] == "remote_apply"
    finally:
        writer.close()


@pytest.mark.parametrize("change", ["UPDATE events SET data = ''", "DELETE FROM events", "TRUNCATE events"])
async def test_the_database_refuses_to_change_or_delete_events(store: SqlStore, database: str, change: str) -> None:
    await store.append(an_append(events=3))
    with pytest.raises(psycopg.errors.RaiseException, match="events are only ever added"):
        postgres.shared().execute(change, database=database)
    assert verify((await store.head()).log_id, await whole_log(store)).ok


async def test_readers_cannot_write(store: SqlStore) -> None:
    with pytest.raises(Unavailable, match="read-only"):
        await store.query(lambda connection: connection.execute(text("DELETE FROM checkpoints")))


async def test_commands_while_another_holds_the_lock_wait_for_it_together_and_fail(
    store: SqlStore, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.append(an_append())
    attempts = attempts_to_lock(Postgres, monkeypatch)
    with closing(psycopg.connect(where)) as other:
        other.execute(LOCK.encode())
        found = await asyncio.gather(*[store.append(an_append()) for _ in range(10)], return_exceptions=True)
        assert all(isinstance(outcome, Unavailable) and not isinstance(outcome, OutcomeUnknown) for outcome in found)
        assert "another program has the log's lock" in str(found[0])
        assert len(attempts) <= 2, "who came first, and all who came meanwhile"
    assert await store.append(an_append()) == Appended(2, 2, b"")


class Hanging(Tally):
    """A projection over whose poison its program hangs, in the middle of a transaction, until it is let go on."""

    def __init__(self) -> None:
        super().__init__()
        self.hangs, self.go_on = threading.Event(), threading.Event()

    def apply(self, connection: Connection, event: RecordedEvent) -> None:
        super().apply(connection, event)
        if event.stream == "poison":
            self.hangs.set()
            self.go_on.wait(PATIENCE)


async def test_a_program_that_hangs_does_not_keep_the_log(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.common.eventsourcing.postgres.IDLE_MILLISECONDS", 500)
    hanging = Hanging()
    first, second = await SqlStore.open(where, projections=[hanging]), await SqlStore.open(where, projections=[Tally()])
    try:
        lost = asyncio.create_task(first.append(an_append("poison")))
        assert await asyncio.to_thread(hanging.hangs.wait, PATIENCE)
        assert (await second.append(an_append())).position == 1  # waits for less than the lock may be waited for
        hanging.go_on.set()
        with pytest.raises(Unavailable):
            await lost
        assert (await first.append(an_append())).position == 2
        assert await second.query(Tally().read) == {"endpoint-1": 2}
    finally:
        hanging.go_on.set()
        await first.close()
        await second.close()


async def test_logs_in_two_schemas_of_one_database_do_not_wait_for_each_other(store: SqlStore, where: str) -> None:
    with postgres.schema() as one, postgres.schema() as two:
        first, second = await SqlStore.open(one), await SqlStore.open(two)
        try:
            with closing(psycopg.connect(one)) as holding:
                holding.execute(LOCK.encode())
                assert (await second.append(an_append())).position == 1
                with pytest.raises(Unavailable):
                    await first.append(an_append())
            assert (await first.head()).position == 0
            assert (await first.head()).log_id != (await second.head()).log_id
        finally:
            await first.close()
            await second.close()


async def test_an_append_that_the_database_refuses_takes_no_other_with_it(store: SqlStore) -> None:
    streams = [f"endpoint-{number}" for number in range(40)]
    streams[17] = "poison"
    found = await asyncio.gather(*[store.append(an_append(stream)) for stream in streams], return_exceptions=True)
    assert isinstance(found.pop(17), ValueError)
    assert [outcome.position for outcome in found if isinstance(outcome, Appended)] == list(range(1, 40))


async def test_what_follows_a_prefix_is_found_in_the_order_of_bytes(store: SqlStore) -> None:
    keys = ["a", "a-", "a/1", "a~", "aB", "ab", "aé", "a\U0001f600", "A", "B", "b", "á"]
    claims = tuple(Claim("name", key) for key in keys)
    await store.append(an_append(constraints=Constraints(claims=claims)))
    assert set(await store.holders("name", "a")) == {key for key in keys if key.startswith("a")}
    assert set(await store.holders("name", "a/")) == {"a/1"}
    assert set(await store.holders("name", "")) == set(keys)


async def test_a_new_log_is_made_once_however_many_open_it(where: str) -> None:
    stores = await asyncio.gather(*[SqlStore.open(where, projections=[Tally()]) for _ in range(5)])
    try:
        assert len({(await store.head()).log_id for store in stores}) == 1
        await asyncio.gather(*[store.append(an_append(f"endpoint-{n}")) for n in range(10) for store in stores])
        log = await whole_log(stores[0])
        assert [event.position for event in log] == list(range(1, 51))
        assert verify((await stores[0].head()).log_id, log).ok
    finally:
        await asyncio.gather(*[store.close() for store in stores])


async def test_a_database_of_something_else_is_left_alone(where: str, database: str) -> None:
    postgres.shared().execute("CREATE TABLE recipes (name TEXT)", database=database)
    with pytest.raises(WrongSchema, match="database of its own"):
        await SqlStore.open(where)
    tables = postgres.shared().execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'", database=database)
    assert tables == [("recipes",)]


async def test_a_database_that_cannot_hold_every_name_is_refused() -> None:
    with (
        postgres.database("ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0") as name,
        pytest.raises(WrongSchema, match=r"LATIN1.*createdb --encoding=UTF8"),
    ):
        await SqlStore.open(postgres.shared().url(name))


async def test_no_message_shows_a_password(database: str) -> None:
    server = postgres.shared()
    elsewhere = replace(server, port=1)
    urls = [server.tcp_url("nowhere"), server.tcp_url(database, "wrong-secret"), elsewhere.tcp_url(database)]
    for url in urls:
        with pytest.raises(Unavailable) as refused:
            await SqlStore.open(url)
        assert "postgresql://sidegate:***@127.0.0.1" in str(refused.value)
        assert not any(secret in str(refused.value) for secret in (postgres.PASSWORD, "wrong-secret"))
    assert postgres.PASSWORD not in repr(database_at(server.tcp_url(), "FULL"))


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://u:se@cret@h/log", "%40"),
        ("postgresql://u:secret@h:port/log", "USER:PASSWORD@HOST:PORT/NAME"),
        ("postgresql://u:secret@h/", "names no database"),
        ("postgresql://u:secret@h/log?colour=blue", "colour"),
        ("mysql://u:secret@h/log", "is no log"),
    ],
)
async def test_a_url_that_cannot_be_a_log_is_refused_in_words_without_secrets(url: str, words: str) -> None:
    with pytest.raises(NotALog) as refused:
        await SqlStore.open(url)
    assert words in str(refused.value)
    assert "secret" not in str(refused.value)
    assert "cret@" not in str(refused.value)


async def test_a_user_who_may_not_make_tables_is_told(database: str) -> None:
    server = postgres.shared()
    server.execute("DROP ROLE IF EXISTS guest", "CREATE ROLE guest LOGIN")
    server.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC", database=database)
    try:
        with pytest.raises(Unavailable, match="permission denied"):
            await SqlStore.open(server.url(database).replace(postgres.USER, "guest", 1))
    finally:
        server.execute("DROP ROLE guest")


async def test_the_last_event_of_a_cell_is_found_without_going_through_the_log(
    store: SqlStore, where: str, database: str
) -> None:
    async def write(partition: str) -> None:
        many = [an_append(f"{partition}-{number}", events=500, partition=partition) for number in range(8)]
        await asyncio.gather(*map(store.append, many))

    await write("quiet")
    await write("busy")
    postgres.shared().execute("ANALYZE events", database=database)

    def rows_read(connection: Connection) -> int:
        """More often than the server needs before it may choose a plan that is for any partition."""
        queries = LogQueries(connection.dialect)
        ledgers = LedgerTables(database_at(where, "FULL"), connection.dialect, queries)
        for partition in ("busy", "quiet", "none") * 5:
            ledgers.open(connection, "a-log", [an_append("new", partition=partition)])
            connection.execute(select(last_of_partition(partition))).scalar()
            queries.read(connection, 10, 5, partition)
        return int(connection.execute(text(ROWS_READ)).scalar_one())

    assert await store.query(rows_read) < 500
