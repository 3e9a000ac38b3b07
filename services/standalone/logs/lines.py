"""Lines of the programs' logs: read, chosen, and shown to people. Pure."""

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from rich.text import Text

from sidegate.cli.outcome import printable

LEVELS = ("debug", "info", "warning", "error", "critical")
LEVEL_STYLES = {"debug": "dim", "info": "", "warning": "yellow", "error": "bold red", "critical": "bold red"}
PROGRAM_STYLES = {"registry": "cyan", "endpoint": "magenta", "gateway": "green", "nats": "blue", "standalone": "white"}
PLACE_OF_ITS_OWN = ("timestamp", "program", "level", "event", "exception")

OF_NATS = re.compile(r"\[\d+\] (\d{4}/\d\d/\d\d \d\d:\d\d:\d\d\.\d+) \[(\w{3})\] (.*)")
LEVELS_OF_NATS = {"DBG": "debug", "TRC": "debug", "INF": "info", "WRN": "warning", "ERR": "error", "FTL": "critical"}


@dataclass(frozen=True, slots=True)
class Line:
    """One line. `time` is UTC in ISO 8601, so that lines sort; `raw` is the line as it stands in the file."""

    time: str
    program: str
    level: str
    event: str
    raw: str
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Choice:
    """Which lines are shown; what is empty chooses nothing out. `level` is the lowest."""

    programs: Collection[str] = ()
    level: str = "debug"
    request_id: str = ""
    trace_id: str = ""

    def takes(self, line: Line) -> bool:
        if self.programs and line.program not in self.programs:
            return False
        if LEVELS.index(line.level) < LEVELS.index(self.level):
            return False
        ids = (("request_id", self.request_id), ("trace_id", self.trace_id))
        return all(str(line.fields.get(name, "")).startswith(wanted) for name, wanted in ids)


def parse(program: str, raw: str, before: Line | None) -> Line:
    """What a program has said; a line that is none of its log's belongs to the one before it."""
    if found := OF_NATS.fullmatch(raw):
        time = datetime.strptime(found[1], "%Y/%m/%d %H:%M:%S.%f").astimezone(UTC)
        level = LEVELS_OF_NATS.get(found[2], "info")
        return Line(time.strftime("%Y-%m-%dT%H:%M:%S.%fZ"), program, level, found[3], raw)
    try:
        told = json.loads(raw)
        level = told["level"] if told["level"] in LEVELS else "info"
        return Line(str(told["timestamp"]), program, level, str(told["event"]), raw, told)
    except (ValueError, TypeError, KeyError):
        stray = Line(before.time if before else "", program, "error", raw, raw)
        return replace(stray, fields=before.fields) if before else stray


def shown(line: Line) -> Text:
    """One line for people, in local time; a traceback follows on its own lines."""
    text = Text()
    text.append(_clock(line.time), "dim")
    text.append(f" {line.program:<10} ", PROGRAM_STYLES.get(line.program, ""))
    text.append(f"{line.level:<8}", LEVEL_STYLES[line.level])
    text.append(printable(line.event), "bold" if line.fields else "")
    if line.event != line.raw:
        for name in sorted(line.fields.keys() - set(PLACE_OF_ITS_OWN)):
            text.append(f" {printable(name)}=", "dim")
            text.append(printable(_value(line.fields[name])))
        for each in str(line.fields.get("exception", "")).splitlines():
            text.append(f"\n    {printable(each)}", "red")
    return text


def _value(value: object) -> str:
    return value if isinstance(value, str) and " " not in value else json.dumps(value)


def _clock(time: str) -> str:
    try:
        return datetime.fromisoformat(time).astimezone().strftime("%H:%M:%S.%f")[:-3]
    except ValueError:
        return " " * 12
