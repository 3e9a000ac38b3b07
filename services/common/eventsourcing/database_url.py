"""Where a log is, as settings say it: a path or a URL. Errors show nothing of what may be a password."""

from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from services.common.eventsourcing.database import Database
from services.common.eventsourcing.postgres import Postgres
from services.common.eventsourcing.sqlite import Sqlite, Synchronous
from services.common.eventsourcing.store import NotALog

POSTGRES = ("postgresql", "postgres")
EXAMPLE = "postgresql://USER:PASSWORD@HOST:PORT/NAME"


def database_at(url_or_path: str | Path, synchronous: Synchronous) -> Database:
    """The database there. Raises NotALog, which names the way out."""
    if isinstance(url_or_path, Path) or "://" not in url_or_path:
        return Sqlite(Path(url_or_path), synchronous)
    url = _parsed(url_or_path)
    if url.drivername in POSTGRES:
        return Postgres(url)
    if url.drivername == "sqlite" and url.database and url.database != ":memory:":
        return Sqlite(Path(url.database), synchronous)
    raise NotALog(f"{url.drivername}://... is no log: give a path, or {EXAMPLE}")


def _parsed(text: str) -> URL:
    if text.count("@") > 1:  # where a password ends is anybody's guess
        raise NotALog("the database's URL has more than one @: write one in a name or a password as %40")
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise NotALog(f"the database's URL cannot be read: it should look like {EXAMPLE}") from None
    if url.drivername in POSTGRES:
        _require_options(url)
    return url


def _require_options(url: URL) -> None:
    if not url.database:
        raise NotALog(f"the database's URL names no database: it should look like {EXAMPLE}")
    for option in url.query:
        try:
            make_conninfo(**{option: "1"})
        except psycopg.ProgrammingError:
            raise NotALog(f"the database's URL has an option that PostgreSQL does not know: {option}") from None
