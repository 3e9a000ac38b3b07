"""Programs as processes that may be killed or stopped at any moment."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from services.common.offspring import ends_with_us

ROOT = Path(__file__).resolve().parents[3]
END_SECONDS = 10.0


class Processes:
    """Started by name; each ends with the tests, however they end."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._commands: dict[str, list[str]] = {}
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, module: str, *arguments: str) -> None:
        self._commands[name] = [sys.executable, "-m", module, *arguments]
        self.restart(name)

    def restart(self, name: str) -> None:
        """Starts it once more, as it was started before."""
        with (self._directory / f"{name}.log").open("ab") as output:
            self._running[name] = subprocess.Popen(
                ends_with_us(self._commands[name]),
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def kill(self, name: str) -> None:
        """kill -9; fails if it had ended by itself."""
        process = self._running.pop(name)
        ended = process.poll()
        process.kill()
        process.wait()
        assert ended is None, f"{name} ended by itself with {ended}: {self.said(name)}"

    @contextmanager
    def stopped(self, name: str) -> Iterator[None]:
        """SIGSTOP for a while."""
        process = self._running[name]
        process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            process.send_signal(signal.SIGCONT)

    def said(self, name: str) -> str:
        return (self._directory / f"{name}.log").read_text(errors="replace")[-2000:]

    def end(self) -> None:
        """Ends them in good order, each one within ten seconds."""
        for process in self._running.values():
            process.terminate()
        for name, process in self._running.items():
            try:
                process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise AssertionError(f"{name} does not end when it is told to: {self.said(name)}") from None
        self._running.clear()
