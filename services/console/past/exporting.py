"""The timeline as a file: CSV for people, JSON lines for programs; written as it is read, and never without end."""

import csv
import io
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import asdict

from services.console.past import deeds, wanted
from services.console.past.deeds import Entry, Wanted
from sidegate import errors
from sidegate.client import Client

MOST = 100_000
COLUMNS = (
    *("time", "result", "account", "project", "acting", "access_key", "what", "kind", "id", "name", "method"),
    *("reason", "peer", "log", "position", "request_id", "hash"),
)
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet would compute instead of showing it."""

Line = Callable[[Mapping[str, str | int]], str]


def _plain(value: str | int) -> str | int:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def csv_line(row: Mapping[str, str | int]) -> str:
    written = io.StringIO()
    csv.writer(written).writerow([_plain(row.get(name, "")) for name in COLUMNS])
    return written.getvalue()


def json_line(row: Mapping[str, str | int]) -> str:
    return json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n"


FORMATS: Mapping[str, tuple[str, str, Line]] = {
    "csv": ("text/csv; charset=utf-8", csv_line(dict(zip(COLUMNS, COLUMNS, strict=True))), csv_line),
    "jsonl": ("application/jsonl; charset=utf-8", "", json_line),
}
"""By what their names end in: type, head, a line."""


async def lines(client: Client, sought: Wanted, line: Line, head: str, most: int = MOST) -> AsyncIterator[str]:
    """The newest `most`. What keeps it from being whole stands in its last line: the answer has begun by then."""
    written = 0
    if head:
        yield head
    try:
        async for entry in deeds.all_of(client, sought, most + 1):
            if written == most:
                yield line({"result": "left out", "reason": f"there is more than {most}: name a time range"})
                return
            written += 1
            yield line(row(entry))
    except errors.SidegateError as error:
        yield line({"result": "ended early", "reason": error.text})


def row(entry: Entry) -> Mapping[str, str | int]:
    found = asdict(entry) | {"time": wanted.text_of(entry.time)}
    return {name: found[name] for name in COLUMNS}
