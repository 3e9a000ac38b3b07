"""Steps from the tables of each released version to those of the next. None of them touches an event.

A step is made once, in the transaction that opens the log, and is never edited after its release. `sql_schema.py` says
what the tables are after the last one; `alembic check` is a test.
"""
