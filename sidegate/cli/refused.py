"""The access logs in words: who was refused what, and why."""

from collections.abc import Sequence

from sidegate.api.events.v1.log_pb2 import Refusal
from sidegate.cli import facts, words
from sidegate.cli.facts import Json
from sidegate.cli.outcome import printable
from sidegate.cli.view import View, table
from sidegate.resources.logs import LogName

TITLES = ("time", "program", "who", "method", "resource", "why", "from")
WIDE_TITLES = ("code", "access key", "left out")

Told = tuple[LogName, Refusal]


def view(found: Sequence[Told]) -> View:
    told: list[Json] = [{"program": log.value, **facts.of(refusal)} for log, refusal in found]
    return View(
        told,
        lambda wide: table(TITLES + WIDE_TITLES * wide, [_row(each, wide) for each in found]) if found else None,
        remark="" if found else "nothing was refused",
    )


def _row(told: Told, wide: bool) -> list[str]:
    log, refusal = told
    who = f"{refusal.account}/{refusal.project}" if refusal.account else "nobody known"
    cells = [
        words.of(refusal.time),
        log.value,
        f"{who} ({refusal.acting})" if refusal.acting else who,
        refusal.method.rpartition("/")[2],
        refusal.resource,
        refusal.reason,
        refusal.peer,
    ]
    return [printable(cell) for cell in cells + [refusal.code, refusal.access_key, str(refusal.left_out)] * wide]
