"""The stage: network namespaces that play VPCs, processes inside them, and a running standalone beside them."""

import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from services.common.offspring import ends_with_us

DEVICE = "sidegate0"
DEADLINE_SECONDS = 60.0


class Failed(Exception):
    """The story did not go as told; the text says where."""


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


class Actor:
    """A process that speaks JSON lines."""

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.said: list[Mapping[str, Any]] = []

    def hear(self) -> Mapping[str, Any]:
        """The next thing it says. Raises Failed when it ends instead."""
        assert self._process.stdout is not None  # noqa: S101 # it is a pipe
        line = self._process.stdout.readline()
        if not line:
            assert self._process.stderr is not None  # noqa: S101 # it is a pipe
            raise Failed(self._process.stderr.read().strip() or "a client ended without a word")
        self.said.append(json.loads(line))
        return self.said[-1]

    def hear_until(self, key: str) -> Mapping[str, Any]:
        while key not in (said := self.hear()):
            pass
        return said

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


class Vpc:
    """A network namespace with one machine in it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._actors: list[Actor] = []

    def make(self) -> None:
        try:
            run("ip", "netns", "add", self.name)
        except Failed as error:
            raise Failed(f"{error} (an earlier demo was killed? `ip netns delete {self.name}`)") from None

    def remove(self) -> None:
        for actor in self._actors:
            actor.end()
        # A server that was cut off and killed leaves a socket that still waits for answers, and with it the namespace,
        # nameless, for minutes: the gateway's device must not wait for that.
        with contextlib.suppress(Failed):
            run("ip", "-n", self.name, "link", "delete", DEVICE)
        with contextlib.suppress(Failed):
            run("ip", "netns", "delete", self.name)

    def give_address(self, cidr: str) -> None:
        """Puts the machine's address on the device that the gateway has made."""
        wait_for(f"the gateway's device in {self.name}", lambda: DEVICE in run("ip", "-n", self.name, "link"))
        run("ip", "-n", self.name, "address", "add", cidr, "dev", DEVICE)

    def routes(self) -> str:
        return run("ip", "-n", self.name, "route").strip()

    def start(self, verb: str, address: str, port: int, *more: object) -> Actor:
        """Begins `traffic VERB` inside the namespace."""
        traffic = [sys.executable, "-m", "services.standalone.demo.traffic", verb, address, str(port), *map(str, more)]
        actor = Actor(["ip", "netns", "exec", self.name, *traffic])
        self._actors.append(actor)
        return actor

    def ask(self, verb: str, address: str, port: int, *more: object) -> Mapping[str, Any]:
        """Runs `traffic VERB` to its end; gives the last that it said."""
        actor = self.start(verb, address, port, *more)
        with contextlib.suppress(Failed):
            while True:
                actor.hear()
        if not actor.said:
            raise Failed(f"{verb} from {self.name} to {address}:{port} said nothing")
        return actor.said[-1]


def wait_for(what: str, ready: Any, seconds: float = DEADLINE_SECONDS) -> Any:
    """Returns what `ready()` gives as soon as that is true. Raises Failed after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (found := ready()):
        if time.monotonic() > deadline:
            raise Failed(f"waited {seconds:.0f} s for {what}")
        time.sleep(0.01)
    return found


class Sidegate:
    """A running standalone in a directory of its own, driven by the command line like any other."""

    def __init__(self, directory: Path) -> None:
        self.data = directory / "data"
        self._output = (directory / "standalone.log").open("w+")
        command = [sys.executable, "-m", "services.standalone", "--data-dir", str(self.data), "--no-console"]
        self._process = subprocess.Popen(
            ends_with_us(command),
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=self._output,
        )

    @property
    def ready(self) -> Mapping[str, Any]:
        return dict(json.loads((self.data / "ready.json").read_text()))

    def wait_until_ready(self) -> None:
        def check() -> bool:
            if self._process.poll() is not None:
                self._output.seek(0)
                raise Failed(f"standalone ended:\n{self._output.read().strip()}")
            return (self.data / "ready.json").exists()

        wait_for("standalone", check)

    def cli(self, account: str, *arguments: str) -> Any:
        """What `sidegate ARGUMENTS` answers, as data."""
        done = self.try_cli(account, *arguments)
        if done.returncode != 0:
            raise Failed(f"sidegate {' '.join(arguments)}: {done.stderr.strip()}")
        return json.loads(done.stdout)

    def try_cli(self, account: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        program = Path(sys.executable).with_name("sidegate")
        command = [str(program), "--data-dir", str(self.data), "--account", account, *arguments, "-o", "json"]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(timeout=DEADLINE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._output.close()


@contextlib.contextmanager
def raised(*names: str) -> Iterator[tuple[Sidegate, tuple[Vpc, ...]]]:
    """Standalone and a namespace for each name; all of it is gone afterwards, whatever happens."""
    with contextlib.ExitStack() as ending:
        directory = Path(ending.enter_context(tempfile.TemporaryDirectory(prefix="sidegate-demo-")))
        vpcs = tuple(map(Vpc, names))
        for vpc in vpcs:
            vpc.make()
            ending.callback(vpc.remove)
            run("ip", "-n", vpc.name, "link", "set", "lo", "up")
        sidegate = Sidegate(directory)
        ending.callback(sidegate.stop)
        sidegate.wait_until_ready()
        yield sidegate, vpcs
