"""The tables as Sidegate 0.1.0 made them."""

from alembic import op
from sqlalchemy import BigInteger, Column, Integer, LargeBinary, Text
from sqlalchemy.schema import PrimaryKeyConstraint, SchemaItem, UniqueConstraint

revision = "1"
down_revision = None

Number = BigInteger().with_variant(Integer(), "sqlite")
Name = Text().with_variant(Text(collation="C"), "postgresql")


def upgrade() -> None:
    _table("events", *_event_columns(), UniqueConstraint("stream", "version"), without_rowid=False, key=("position",))
    op.create_index("events_by_partition", "events", ["partition", "position"])
    answer = (_bytes("command_hash"), _bytes("response"), _number("position"), _number("version"))
    asked = ("account", "project", "method", "request_id")
    _table("requests", *map(_name, asked), *answer, key=asked)
    _table("claims", _name("kind"), _name("key"), _name("stream"), key=("kind", "key"))
    _table("counters", _name("kind"), _name("key"), _number("value"), key=("kind", "key"))
    _table("checkpoints", _name("name"), _number("position"), _number("version"), without_rowid=False, key=("name",))
    told = (_number("epoch"), _number("schema_version"), _number("created_at"))
    _table("log_info", _name("log_id"), *told, without_rowid=False, key=("log_id",))
    _protect()


def _event_columns() -> list[Column[object]]:
    return [
        _number("position"),
        _name("stream"),
        _number("version"),
        _bytes("event_id"),
        _name("type"),
        _number("schema_version"),
        _number("recorded_at"),
        _name("partition"),
        _number("prev"),
        _bytes("data"),
        _bytes("meta"),
        _bytes("hash"),
    ]


def _table(name: str, *items: SchemaItem, key: tuple[str, ...], without_rowid: bool = True) -> None:
    rowid = {"sqlite_with_rowid": False} if without_rowid else {}
    op.create_table(name, *items, PrimaryKeyConstraint(*key), sqlite_strict=True, **rowid)


def _protect() -> None:
    refuse = "events are only ever added"
    if op.get_bind().dialect.name == "sqlite":
        for change in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER events_refuse_{change.lower()} BEFORE {change} ON events"
                f" BEGIN SELECT RAISE(ABORT, '{refuse}'); END"
            )
    else:
        op.execute(
            "CREATE FUNCTION events_refuse() RETURNS trigger LANGUAGE plpgsql AS"
            f" $$ BEGIN RAISE EXCEPTION '{refuse}'; END $$"
        )
        op.execute(
            "CREATE TRIGGER events_refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON events"
            " FOR EACH STATEMENT EXECUTE FUNCTION events_refuse()"
        )


def _number(name: str) -> Column[object]:
    return Column(name, Number, nullable=False, autoincrement=False)


def _name(name: str) -> Column[object]:
    return Column(name, Name, nullable=False)


def _bytes(name: str) -> Column[object]:
    return Column(name, LargeBinary, nullable=False)
