"""What a figure is worth nothing without: the machine, its kernel, the versions of all that took part."""

import json
import os
import platform
import re
import sqlite3
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from tests.support import postgres

PROGRAMS = {
    "HAProxy": ("/usr/sbin/haproxy", "-v"),
    "nginx": ("/usr/sbin/nginx", "-v"),
    "iperf3": ("/usr/bin/iperf3", "--version"),
}
VERSION = re.compile(r"\d+\.\d+(\.\d+)?")
"""The first that a program says of itself is its own."""


def facts() -> Mapping[str, str]:
    """Names and values, in the order in which they are told. Load is that before the run."""
    versions = {name: _version(*command) for name, command in PROGRAMS.items() if Path(command[0]).exists()}
    return {
        "commit": _said("git", "describe", "--always", "--dirty"),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": f"{_field('/proc/cpuinfo', 'model name')}, {os.cpu_count()} processors",
        "memory": f"{int(_field('/proc/meminfo', 'MemTotal').split()[0]) / 1024**2:.0f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "load before": f"{os.getloadavg()[0]:.2f}",
        "Python": platform.python_version(),
        "SQLite": f"{sqlite3.sqlite_version}, synchronous=FULL",
        "PostgreSQL": f"{_postgres()}, synchronous_commit=on, psycopg {psycopg.__version__}",
        **versions,
    }


def beside(figures: Path) -> Path:
    """Where the facts of a file of figures are."""
    return figures.with_name(f"{figures.stem}-machine.json")


def write(facts: Mapping[str, str], path: Path) -> None:
    path.write_text(json.dumps(facts, indent=1) + "\n")


def read(path: Path) -> Mapping[str, str]:
    return dict(json.loads(path.read_text()))


def _field(path: str, name: str) -> str:
    for line in Path(path).read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return "0"


def _version(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = VERSION.search(done.stdout + done.stderr)
    return found[0] if found else "unknown"


def _said(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parent)
    return done.stdout.strip() or "unknown"


def _postgres() -> str:
    try:
        return _version(str(postgres.programs() / "postgres"), "--version")
    except postgres.Missing:
        return "not installed"
