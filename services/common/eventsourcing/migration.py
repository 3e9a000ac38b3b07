"""A log that an older Sidegate wrote, brought to this one's tables: forward, step by step, or not at all."""

from pathlib import Path

from sqlalchemy import Connection

from services.common.eventsourcing.sql_schema import SCHEMA_VERSION, alembic_version, log_info

SCRIPTS = Path(__file__).with_name("migrations")


def stamp(connection: Connection, version: int) -> None:
    """Says which version the tables are of."""
    alembic_version.create(connection, checkfirst=True)
    connection.execute(alembic_version.delete())
    connection.execute(alembic_version.insert().values(version_num=str(version)))
    connection.execute(log_info.update().values(schema_version=version))


def migrate(connection: Connection, version: int) -> None:
    """Makes the steps from that version's tables to ours, in the caller's transaction. Events are left as they are."""
    stamp(connection, version)  # 0.1.0 did not: it had one version only
    upgrade(connection, SCHEMA_VERSION)
    stamp(connection, SCHEMA_VERSION)  # also where an older Sidegate looks, so that it leaves the log alone


def upgrade(connection: Connection, version: int) -> None:
    """Makes the steps up to that version: all of them where there is nothing yet."""
    # Alembic costs a tenth of a second to import, and most logs need it never.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    command.upgrade(config, str(version))
