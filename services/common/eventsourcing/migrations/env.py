"""How Alembic is run: over the connection that it is given, within the transaction that has the log's lock."""

from alembic import context

from services.common.eventsourcing.sql_schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
