"""A container engine: the one that is there, or in CI one of our own, which leaves nothing."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
STARTUP_SECONDS = 60.0
STOPPING_SECONDS = 30.0
TRIXIE = "deb http://deb.debian.org/debian trixie main"
KEPT = "SIDEGATE_COMPOSE_DATA"
"""Where our own engine keeps its images for the next run; without it, each run makes them anew."""


class NoEngine(Exception):
    """There is no engine to run on; the text says why."""


@dataclass(frozen=True)
class Engine:
    """`inside` goes before a command that is to run in the engine's network, where its ports are published."""

    ours: bool
    environment: Mapping[str, str]
    composes: Mapping[str, tuple[str, ...]]  # by major version
    inside: tuple[str, ...] = field(default=())

    def docker(self, *arguments: str, check: bool = True, timeout: float = 600) -> subprocess.CompletedProcess[str]:
        return self.run("docker", *arguments, check=check, timeout=timeout)

    def run(self, *command: str, check: bool = True, timeout: float = 600) -> subprocess.CompletedProcess[str]:
        """Runs a command that finds the engine in its environment. Raises CommandFailed with its last words."""
        done = subprocess.run(
            command, env=dict(self.environment), capture_output=True, text=True, check=False, timeout=timeout
        )
        if check and done.returncode:
            raise CommandFailed(
                f"{' '.join(command)} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-3000:]}"
            )
        return done


class CommandFailed(Exception):
    pass


@contextmanager
def engine() -> Iterator[Engine]:
    """Raises NoEngine. Outside CI nothing is installed and no engine is started."""
    if os.environ.get("CI") == "true":
        with own_engine() as started:
            yield started
    else:
        yield engine_that_is_there()


def engine_that_is_there() -> Engine:
    docker = shutil.which("docker")
    if docker is None or not _succeeds("docker", "info"):
        raise NoEngine(
            "no container engine answers (`docker info`): start Docker, or run with CI=true as root on Debian"
        )
    candidates = {"2": ("docker", "compose"), "1": ("docker-compose",)}
    composes = {
        number: command
        for number, command in candidates.items()
        if _succeeds(*command, "version") and _major(command) == number
    }
    if not composes:
        raise NoEngine("there is no Compose: neither `docker compose` nor `docker-compose`")
    return Engine(False, os.environ, composes)


def _succeeds(*command: str) -> bool:
    return (
        shutil.which(command[0]) is not None
        and subprocess.run(command, capture_output=True, check=False).returncode == 0
    )


def _major(command: tuple[str, ...]) -> str:
    said = subprocess.run([*command, "version", "--short"], capture_output=True, text=True, check=False).stdout
    return said.strip().removeprefix("v")[:1]


@contextmanager
def own_engine() -> Iterator[Engine]:
    """Debian's dockerd in namespaces of its own, and both versions of Compose."""
    installed = subprocess.run([HERE / "install-engine"], capture_output=True, text=True, check=False)
    if installed.returncode:
        raise NoEngine(installed.stderr.strip())
    with _directory() as directory, _daemon(directory, f"sidegate-{directory.name}") as first:
        environment = {**os.environ, "DOCKER_HOST": f"unix://{directory}/docker.sock", "DOCKER_CONFIG": str(directory)}
        composes = {"1": ("docker-compose",), "2": (str(_compose_2(directory)),)}
        started = Engine(True, environment, composes, ("nsenter", f"--net=/proc/{first}/ns/net"))
        _await_answer(started)
        _clear(started)
        yield started


@contextmanager
def _directory() -> Iterator[Path]:
    kept = os.environ.get(KEPT)
    if kept:
        Path(kept).mkdir(parents=True, exist_ok=True)
        yield Path(kept).resolve()
    else:
        with tempfile.TemporaryDirectory(prefix="engine-", dir="/var/tmp") as made:  # images are too big for a tmpfs
            yield Path(made)


@contextmanager
def _daemon(directory: Path, cgroup: str) -> Iterator[int]:
    """Yields the id of the first process in it. Whatever ends us ends it, and all that it started."""
    alone = ("unshare", "--pid", "--mount", "--fork", "--kill-child", "--mount-proc")
    with (directory / "log").open("w") as log:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *alone, HERE / "own-engine", directory, cgroup],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True,  # a Ctrl-C is ours: the containers go first, then the engine
        )  # fmt: skip
    try:
        yield _only_child(process)
    finally:
        _end(process)
        for hierarchy in (Path("/sys/fs/cgroup"), *Path("/sys/fs/cgroup").iterdir()):
            _remove_cgroups(hierarchy / cgroup)
        with suppress(OSError):  # dockerd makes it wherever it is told to work; not empty, it is somebody else's
            Path("/run/docker/plugins").rmdir()
            Path("/run/docker").rmdir()


def _only_child(process: "subprocess.Popen[bytes]") -> int:
    deadline = time.monotonic() + STARTUP_SECONDS
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while not (found := children.read_text().split()):
        if process.poll() is not None or time.monotonic() > deadline:
            raise NoEngine("the engine's namespaces cannot be made")
        time.sleep(0.02)
    return int(found[0])


def _await_answer(started: Engine) -> None:
    deadline = time.monotonic() + STARTUP_SECONDS
    while started.docker("info", check=False).returncode:
        if time.monotonic() > deadline:
            log = Path(started.environment["DOCKER_CONFIG"]) / "log"
            raise NoEngine(f"dockerd does not answer; its last words:\n{log.read_text()[-2000:]}")
        time.sleep(0.2)


def _clear(started: Engine) -> None:
    """All but the images, of an earlier run on kept data that was killed."""
    if left := started.docker("ps", "--all", "--quiet").stdout.split():
        started.docker("rm", "--force", "--volumes", *left)
    started.docker("network", "prune", "--force")
    started.docker("volume", "prune", "--force")


def _end(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        os.kill(_only_child(process), signal.SIGTERM)
    try:
        process.wait(STOPPING_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _remove_cgroups(top: Path) -> None:
    """Empty by now: their processes have ended."""
    if top.is_dir():
        for directory in sorted((each for each in top.rglob("*") if each.is_dir()), reverse=True):
            directory.rmdir()
        top.rmdir()


def _compose_2(directory: Path) -> Path:
    """Compose 2, which Debian has since trixie; the program alone, from its package."""
    program = directory / "usr/libexec/docker/cli-plugins/docker-compose"
    if program.exists():
        return program
    package = ["mmdebstrap", "--quiet", "--variant=extract", "--include=docker-compose", "trixie", "-", TRIXIE]
    with subprocess.Popen(package, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as archive:
        unpack = ["tar", "-xf", "-", "-C", str(directory), f"./{program.relative_to(directory)}"]
        unpacked = subprocess.run(unpack, stdin=archive.stdout, capture_output=True, text=True, check=False)
    if not program.exists():
        raise NoEngine(f"Compose 2 cannot be had from Debian's packages: {unpacked.stderr.strip()}")
    return program
