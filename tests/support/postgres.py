"""A PostgreSQL server of this run's own, from the distribution's programs: made when a test first asks for it."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psycopg

from tests.support import namespaces

PROGRAMS = Path("/usr/lib/postgresql")
USER, PASSWORD = "sidegate", "correct-horse"  # of a server that lives as long as a test run
PATIENCE = 60.0
READY_LINE, READY = 7, "ready"
"""Where postmaster.pid says that connections are taken."""


class Missing(Exception):
    """The machine lacks what tests need."""


@cache
def programs() -> Path:
    """Where the newest of the distribution's servers has its programs."""
    found = [path.parent for path in PROGRAMS.glob("*/bin/initdb")]
    if not found:
        raise Missing(f"tests need PostgreSQL's server in {PROGRAMS}: run `make setup-test`")
    return max(found, key=lambda path: float(path.parent.name))


@dataclass(frozen=True, slots=True)
class Server:
    """Data, socket and log are in a directory of the server's own. It writes to the disk as in production."""

    directory: Path
    port: int

    def url(self, database: str = "postgres") -> str:
        """By the socket, without a password."""
        return f"postgresql://{USER}@/{database}?host={self.directory}&port={self.port}"

    def tcp_url(self, database: str = "postgres", password: str = PASSWORD) -> str:
        return f"postgresql://{USER}:{password}@127.0.0.1:{self.port}/{database}"

    def execute(self, *statements: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """As the superuser, each by itself; gives the rows of the last one."""
        with closing(psycopg.connect(self.url(database), autocommit=True)) as connection:
            cursor = connection.cursor()
            for statement in statements:
                cursor.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def make(self) -> None:
        """Makes the cluster. Its order of text is a language's, which a log must not depend on."""
        secret = self.directory / "password"
        secret.write_text(PASSWORD)
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            for path in (self.directory, secret):
                os.chown(path, nobody.pw_uid, nobody.pw_gid)
        order = ["--locale=C.UTF-8"]
        if float(programs().parent.name) >= 15:
            order += ["--locale-provider=icu", "--icu-locale=en-US"]
        auth = ["--auth-local=trust", "--auth-host=scram-sha-256", f"--username={USER}", f"--pwfile={secret}"]
        command = [str(programs() / "initdb"), f"--pgdata={self._data}", "--encoding=UTF8", "--no-sync", *order, *auth]
        done = subprocess.run([*_unprivileged(), *command], capture_output=True, text=True, check=False, cwd="/")
        assert done.returncode == 0, done.stderr

    def start(self) -> None:
        """Starts it where it is not running, and waits until it takes connections. In the main thread, for it ends with
        the thread that started it."""
        if self._pid() is not None:
            return
        told = {"port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": self.directory}
        settings = [word for name, value in told.items() for word in ("-c", f"{name}={value}")]
        command = [str(programs() / "postgres"), "-D", str(self._data), *settings]
        with self._log.open("ab") as output:
            started = subprocess.Popen(
                [*_unprivileged(), *command], stdout=output, stderr=output, start_new_session=True, cwd="/"
            )
        _CHILDREN[self.directory] = started
        deadline = time.monotonic() + PATIENCE
        while self._pid_file()[READY_LINE : READY_LINE + 1] != [READY]:
            assert started.poll() is None, self._log.read_text()[-2000:]
            assert time.monotonic() < deadline, f"PostgreSQL did not start: {self._log.read_text()[-2000:]}"
            time.sleep(0.02)

    def stop(self) -> None:
        """As an operator does: who is connected is told that the server shuts down."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """kill -9 of all its processes at once."""
        pid = self._pid()
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)  # so that it makes no new ones meanwhile
        for child in _children(pid):
            os.kill(child, signal.SIGKILL)
        self._end(signal.SIGKILL)
        (self._data / "postmaster.pid").unlink()

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """SIGSTOP of all its processes for a while: connections stand, and nobody answers."""
        pid = self._pid()
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        processes = [pid, *_children(pid)]
        try:
            for each in processes[1:]:
                os.kill(each, signal.SIGSTOP)
            yield
        finally:
            for each in reversed(processes):
                os.kill(each, signal.SIGCONT)

    def disconnect(self, database: str) -> None:
        """Ends all connections to a database."""
        self.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'")  # noqa: S608 - a name of ours

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    @property
    def _log(self) -> Path:
        return self.directory / "log"

    def _pid_file(self) -> Sequence[str]:
        try:
            return [line.strip() for line in (self._data / "postmaster.pid").read_text().splitlines()]
        except FileNotFoundError:
            return []

    def _pid(self) -> int | None:
        started = _CHILDREN.get(self.directory)
        return started.pid if started is not None and started.poll() is None else None

    def _end(self, how: signal.Signals) -> None:
        started = _CHILDREN.pop(self.directory, None)
        if started is not None:
            started.send_signal(how)
            started.wait(PATIENCE)


_CHILDREN: dict[Path, subprocess.Popen[bytes]] = {}
_SHARED: list[Server] = []


def shared() -> Server:
    """The run's server, running."""
    if not _SHARED:
        directory = Path(tempfile.mkdtemp(prefix=f"{namespaces.PREFIX}-postgres-"))
        server = Server(directory, _free_port())
        _SHARED.append(server)
        server.make()
    _SHARED[0].start()
    return _SHARED[0]


def remove_shared() -> None:
    """Leaves nothing of it behind."""
    for server in _SHARED:
        server.stop()
        shutil.rmtree(server.directory)
    _SHARED.clear()


@contextmanager
def database(options: str = "") -> Iterator[str]:
    """The name of a new, empty database of the run's server."""
    name = _new_name()
    shared().execute(f"CREATE DATABASE {name} {options}")
    try:
        yield name
    finally:
        shared().execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def schema() -> Iterator[str]:
    """The URL of a new, empty schema of the run's server: as good as a database, and made in a tenth of the time."""
    name = _new_name()
    shared().execute(f"CREATE SCHEMA {name}")
    try:
        yield f"{shared().url()}&options=-csearch_path%3D{name}"
    finally:
        shared().execute(f"DROP SCHEMA {name} CASCADE")


def _new_name() -> str:
    return f"log_{uuid.uuid4().hex}"


def _unprivileged() -> Sequence[str]:
    """Runs what follows as somebody who is not root; it ends with the tests, however they end."""
    become = ["--reuid=nobody", "--regid=nogroup", "--clear-groups"] if os.geteuid() == 0 else []
    return ["setpriv", *become, "--pdeathsig=INT", "--"]


def _children(pid: int) -> Sequence[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
