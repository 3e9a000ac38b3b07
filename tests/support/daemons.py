"""Real programs inside network namespaces: started, waited for, read, and ended whatever happens."""

import contextlib
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from services.common.offspring import ends_with_us
from tests.support.namespaces import Namespace
from tests.support.standalone import ROOT, until

END_SECONDS = 5.0


@dataclass(frozen=True)
class Daemon:
    """A program that runs, and the file that it writes to."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def said(self) -> str:
        return self.log.read_text(errors="replace")

    async def ready(self, is_ready: Callable[[], bool], seconds: float = 30.0) -> None:
        """Waits until it is; fails with what the program said if it ends before."""

        async def ask() -> bool:
            assert self.process.poll() is None, f"{self.name} ended: {self.said}"
            return is_ready()

        await until(f"{self.name} to be ready", ask, seconds)

    async def says(self, words: str, seconds: float = 30.0) -> None:
        await self.ready(lambda: words in self.said, seconds)


@contextlib.contextmanager
def daemon(name: str, namespace: Namespace | None, command: Sequence[str], log: Path) -> Iterator[Daemon]:
    """Runs a command, which stays in the foreground, until the end: in a namespace, or in the tests' own."""
    inside = ("ip", "netns", "exec", namespace.name) if namespace else ()
    with log.open("wb") as output:
        process = subprocess.Popen(
            ends_with_us([*inside, *command]),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield Daemon(name, process, log)
    finally:
        process.terminate()
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def run_in(namespace: Namespace, *command: str, seconds: float = 30.0) -> str:
    """What a command that runs to its end prints."""
    whole = ["ip", "netns", "exec", namespace.name, *command]
    done = subprocess.run(whole, capture_output=True, text=True, check=False, timeout=seconds)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"
    return done.stdout


@contextlib.contextmanager
def resolving(namespace: Namespace, server: str) -> Iterator[None]:
    """Programs that are started in the namespace meanwhile resolve names by this server."""
    directory = Path("/etc/netns", namespace.name)
    directory.mkdir(parents=True)
    try:
        (directory / "resolv.conf").write_text(f"nameserver {server}\noptions timeout:2 attempts:2\n")
        yield
    finally:
        shutil.rmtree(directory)
        with contextlib.suppress(OSError):  # others have theirs there
            directory.parent.rmdir()


def said_in(namespace: Namespace, *command: str, seconds: float = 30.0) -> str:
    """What a command prints, whatever comes of it."""
    whole = ["ip", "netns", "exec", namespace.name, *command]
    done = subprocess.run(whole, capture_output=True, text=True, check=False, timeout=seconds)
    return done.stdout + done.stderr


def listens(namespace: Namespace, port: int, kind: str = "tcp") -> bool:
    """Whether somebody in the namespace has a port open; `kind` is tcp or udp."""
    lines = namespace.run(Path(f"/proc/thread-self/net/{kind}").read_text).splitlines()[1:]
    states = {"tcp": "0A", "udp": "07"}
    return any(
        local.endswith(f":{port:04X}") and state == states[kind] for _, local, _, state, *_ in map(str.split, lines)
    )
