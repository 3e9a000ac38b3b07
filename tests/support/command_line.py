"""The command line, run inside the test: no other program has to start for it."""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from typer import main, testing
from typer.testing import CliRunner, Result

from sidegate.cli.main import app

testing._get_command = cache(main.get_command)  # type: ignore[attr-defined] # made for each call, it took most of it
RUNNER = CliRunner()

CLEAN = {"SIDEGATE_CONFIG": None, "SIDEGATE_ACCOUNT": None, "SIDEGATE_PROJECT": None, "COLUMNS": "100"}


class Running(Protocol):
    """A Sidegate, or a fake of one."""

    @property
    def ready_file(self) -> Path: ...


class CommandLine:
    """Not from a running event loop: a command has one of its own."""

    def __init__(self, sidegate: Running) -> None:
        self._sidegate = sidegate

    def run(self, *arguments: str, environment: Mapping[str, str] | None = None) -> Result:
        """What the command printed and how it ended; nothing may escape from it but an exit code."""
        config = () if environment else ("--config", str(self._sidegate.ready_file))
        done = RUNNER.invoke(app, [*config, *arguments], env={**CLEAN, **(environment or {})})
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done

    def answer(self, *arguments: str, code: int = 0) -> Any:
        """What it answers to programs."""
        done = self.run(*arguments, "-o", "json")
        assert done.exit_code == code, done.stderr
        return json.loads(done.stdout)

    def text(self, *arguments: str, code: int = 0) -> str:
        """What it answers to people who read it through a pipe."""
        done = self.run(*arguments)
        assert done.exit_code == code, done.stderr
        return done.stdout

    def error(self, *arguments: str, code: int) -> str:
        """What it says on stderr when it fails with that code, and nothing on stdout."""
        done = self.run(*arguments)
        assert (done.exit_code, done.stdout) == (code, ""), done.output
        return done.stderr
