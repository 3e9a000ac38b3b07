"""Signed heads of a whole system: taken, kept, and a history that was rewritten behind its back."""

import sqlite3
from pathlib import Path

from sidegate.evidence import GENESIS, RecordedEvent, link_hash
from tests.support.standalone import Standalone

COLUMNS = ", ".join(RecordedEvent._fields)


def rewrite(database: Path) -> None:
    """What somebody can do who has the database: another fact in an event, and the whole chain made to fit."""
    with sqlite3.connect(database) as connection:
        for (trigger,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {trigger}")
        (log_id,) = connection.execute("SELECT log_id FROM log_info").fetchone()
        previous = GENESIS
        for row in connection.execute(f"SELECT {COLUMNS} FROM events ORDER BY position").fetchall():  # noqa: S608 - names of columns
            event = RecordedEvent(*row)
            if event.position == 4:
                event = event._replace(meta=event.meta.replace(b"shop", b"sh0p"))
            previous = link_hash(log_id, previous, event)
            connection.execute(
                "UPDATE events SET meta = ?, hash = ? WHERE position = ?", (event.meta, previous, event.position)
            )
    connection.close()


async def test_a_rewritten_history_verifies_but_not_against_a_head_that_was_signed(tmp_path: Path) -> None:
    heads, key, endpoint = (tmp_path / name for name in ("heads.jsonl", "registry.pem", "endpoint.pem"))
    async with Standalone(tmp_path, rootless=True) as sidegate:
        sidegate.answer("vpc", "create", "shop", "--cidr", "10.0.0.0/24", account="shop")
        head = sidegate.answer("audit", "head", "--append", str(heads))[0]
        # The operator's account and key come first, and the default attachment.
        assert (head["log"], head["position"]) == ("registry", 4)
        key.write_text(sidegate.cli("audit", "key", "registry").stdout)
        endpoint.write_text(sidegate.cli("audit", "key", "endpoint").stdout)
        options = ("--log", "registry", "--heads", str(heads), "--key", str(key), "--key", str(endpoint))
        assert sidegate.answer("audit", "verify", *options)[0]["ok"]

    (database,) = tmp_path.rglob("registry.sqlite")
    rewrite(database)
    async with Standalone(tmp_path, rootless=True) as sidegate:
        assert sidegate.answer("audit", "verify", "--log", "registry")[0]["ok"]
        done = sidegate.cli("audit", "verify", *options)
        assert done.returncode == 1
        assert "position 4: the head that was signed here has another hash" in done.stdout
