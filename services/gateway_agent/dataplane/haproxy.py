"""HAProxy in annexes: one process for each that needs it, which goes on when the agent does not.

Synchronous: starting one takes 60 ms, so it belongs on a thread of its own.
"""

import os
import resource
import shutil
import signal
import socket
import subprocess
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from pwd import getpwnam
from select import POLLIN, poll

from services.gateway_agent.annexes import Proxied
from services.gateway_agent.dataplane.annex import is_whole
from services.gateway_agent.dataplane.namespaces import NamespaceIdentity, namespace_identity, within
from services.gateway_agent.dataplane.naming import Naming
from services.gateway_agent.dataplane.port import DataplaneError, NotReady, ProxyMissing
from services.gateway_agent.proxy_config import MAP, SOCKET, Process, configuration, map_lines
from services.gateway_agent.targets import annex_id

NAME = "haproxy"
USERS = ("haproxy", "nobody")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
MOST_CONNECTIONS = 50_000
MOST_THREADS = 4
FILES_BESIDE = 200  # descriptors that are of no connection and no port
START_SECONDS = 10.0
END_SECONDS = 2.0
MOST_BEFORE = 8
"""Processes of an annex that go on for the connections that they have, once another has taken their place."""

LINES_AT_ONCE = 64  # of a map: a command of HAProxy's is no longer than 16 KB
LONGEST_WHY = 300
CONFIGURATION, NEXT, PID = "haproxy.cfg", "next.cfg", "pid"
PROC = Path("/proc")


def find_haproxy(name: str = NAME) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:{PATH}")


class Haproxies:
    """Those of one gateway. Each has a directory below `directory`, which is root's alone: the configuration that it
    runs with, its endpoints, its process id, and the socket by which it is told of others."""

    def __init__(self, gateway_id: str, directory: Path, program: str = NAME) -> None:
        self._naming = Naming(gateway_id)
        self._directory = directory
        self._program = program

    def put(self, vpc: str, proxied: Collection[Proxied]) -> int:
        """Has the process of the VPC's annex know these endpoints; gives its id. Open connections go on. Raises
        ProxyMissing, NotReady where there is no annex, DataplaneError with HAProxy's words."""
        namespace, where = self._naming.annex(vpc), self._of(vpc)
        identity = namespace_identity(namespace)
        if identity is None or not is_whole(namespace):
            raise NotReady(f"network namespace {namespace} is not there yet")
        where.mkdir(mode=0o700, parents=True, exist_ok=True)
        process = _process(len({port for each in proxied for port in each.ports}))
        text, lines = configuration(proxied, process), map_lines(proxied)
        pid = _running(where, identity)
        if pid and _read(where / CONFIGURATION) == text:
            if _read(where / MAP) != _joined(lines):
                (where / MAP).unlink(missing_ok=True)  # until it is told, nobody knows what it knows
                _replace_map(where, lines)
                _write(where / MAP, _joined(lines))
            return pid
        (where / CONFIGURATION).unlink(missing_ok=True)  # the map is the next one's from here on
        _write(where / MAP, _joined(lines))
        _write(where / NEXT, text)
        return self._start(namespace, where, identity, pid)

    def stop(self, vpc: str) -> None:
        """Ends the process of the VPC's annex, and those before it that had connections still."""
        end_all(self._naming.annex(vpc))
        self._remove(self._of(vpc))

    def keep_only(self, vpcs: Collection[str]) -> None:
        """Takes away the directories of annexes that went while nobody was there."""
        kept = {self._of(vpc) for vpc in vpcs}
        for each in self._directory.iterdir() if self._directory.exists() else ():
            if each not in kept:
                self._remove(each)
        if not vpcs:
            shutil.rmtree(self._directory, ignore_errors=True)

    def _remove(self, where: Path) -> None:
        """With a process that is still there, though its annex went and has no name any more."""
        place = str(where.resolve())
        _end([pid for pid in _haproxies() if _link(pid, "cwd") == place])
        shutil.rmtree(where, ignore_errors=True)

    def _of(self, vpc: str) -> Path:
        return self._directory / self._naming.device(annex_id(vpc))

    def _start(self, namespace: str, where: Path, identity: NamespaceIdentity, before: int) -> int:
        program = find_haproxy(self._program)
        if program is None:
            raise ProxyMissing(f"there is no {self._program}: apt-get install haproxy, or say by --haproxy where it is")
        _make_room(identity, before)
        successor = ("-x", SOCKET, "-sf", str(before)) if before else ()
        command = (program, *_beginning(where), *successor)
        done = within(namespace, lambda: _run(command))
        if done.returncode != 0:
            raise DataplaneError(f"HAProxy does not start: {_why(done.stderr)}")
        (where / NEXT).replace(where / CONFIGURATION)
        pid = _running(where, identity)
        if not pid:
            raise DataplaneError("HAProxy ended as soon as it had started")
        return pid


def _beginning(where: Path) -> Sequence[str]:
    """What each of ours is started with, and known by afterwards: its program may have any name."""
    return "-D", "-C", str(where), "-f", NEXT, "-p", PID


def _make_room(identity: NamespaceIdentity, before: int) -> None:
    """Ends the oldest that only go on for connections: who changes an idle time again and again had one for each."""
    earlier = [pid for pid in _haproxies() if pid != before and _namespace(pid) == identity.inode]
    _end(sorted(earlier, key=_started)[: max(0, len(earlier) + 1 - MOST_BEFORE)])


def end_all(namespace: str) -> None:
    """Ends every HAProxy in an annex: there is nobody's but ours."""
    identity = namespace_identity(namespace)
    if identity is not None:
        _end([pid for pid in _haproxies() if _namespace(pid) == identity.inode])


def _end(pids: Sequence[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    for pid in pids:
        if not wait_for(pid, END_SECONDS):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            wait_for(pid, END_SECONDS)


def wait_for(pid: int, seconds: float) -> bool:
    """Whether the process has ended, within so many seconds."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        poller = poll()
        poller.register(handle, POLLIN)
        return bool(poller.poll(seconds * 1000))
    finally:
        os.close(handle)
        reap(pid)


def reap(pid: int) -> None:
    """Where the agent is a container's first process, what has lost its parent is its child."""
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def _running(where: Path, identity: NamespaceIdentity) -> int:
    """The process that the directory's id names, if it is ours and in this annex; one of ours elsewhere is ended."""
    text = _read(where / PID).split()
    pid = int(text[-1]) if text and text[-1].isdigit() else 0
    if not pid or not _is_haproxy(pid) or _link(pid, "cwd") != str(where.resolve()):
        return 0
    if _namespace(pid) == identity.inode:
        return pid
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    wait_for(pid, END_SECONDS)
    return 0


def _haproxies() -> Iterator[int]:
    for path in PROC.iterdir():
        if path.name.isdigit() and _is_haproxy(int(path.name)):
            yield int(path.name)


def _is_haproxy(pid: int) -> bool:
    """Whether it was started as ours are, wherever."""
    words = tuple(_told_of(pid, "cmdline").split("\0")[1:8])
    return len(words) > 2 and words == _beginning(Path(words[2]))


def _started(pid: int) -> int:
    """When, in ticks since the machine began."""
    told = _told_of(pid, "stat").rpartition(")")[2].split()
    return int(told[19]) if len(told) > 19 else 0


def _namespace(pid: int) -> int:
    inode = _link(pid, "ns/net").removeprefix("net:[").removesuffix("]")
    return int(inode) if inode.isdigit() else 0


def _told_of(pid: int, name: str) -> str:
    try:
        return (PROC / str(pid) / name).read_text(errors="replace")
    except OSError:
        return ""


def _link(pid: int, name: str) -> str:
    try:
        return str((PROC / str(pid) / name).readlink())
    except OSError:
        return ""


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=START_SECONDS, start_new_session=True
        )
    except subprocess.TimeoutExpired as error:
        raise DataplaneError(f"HAProxy has not started for {START_SECONDS:.0f} s") from error


def _why(said: str) -> str:
    """What HAProxy complains of, on one line."""
    told = [line.partition(" : ")[2].strip() for line in said.splitlines() if line.startswith("[ALERT]")]
    return (
        "; ".join(line for line in told if line)[:LONGEST_WHY] or said.strip()[-LONGEST_WHY:] or "it does not say why"
    )


def _process(ports: int) -> Process:
    """As many connections as there are descriptors for: two for each, and two for each port."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    room = MOST_CONNECTIONS if most == resource.RLIM_INFINITY else max(1, (most - FILES_BESIDE) // 2 - ports)
    user, group = _unprivileged()
    return Process(min(room, MOST_CONNECTIONS), min(os.cpu_count() or 1, MOST_THREADS), user, group)


def _unprivileged() -> tuple[int, int]:
    for name in USERS:
        with suppress(KeyError):
            found = getpwnam(name)
            return found.pw_uid, found.pw_gid
    raise DataplaneError(f"this machine has none of the users {' and '.join(USERS)}: HAProxy is not to run as root")


def _replace_map(where: Path, lines: Sequence[str]) -> None:
    """All at once: no connection finds a part of it."""
    version = _command(where, f"prepare map {MAP}").rpartition(":")[2].strip()
    if not version.isdigit():
        raise DataplaneError(f"HAProxy does not take its endpoints: {version[:LONGEST_WHY]}")
    for at in range(0, len(lines), LINES_AT_ONCE):
        _told(where, f"add map @{version} {MAP} <<\n" + _joined(lines[at : at + LINES_AT_ONCE]))
    _told(where, f"commit map @{version} {MAP}")


def _told(where: Path, command: str) -> None:
    if answer := _command(where, command).strip():
        raise DataplaneError(f"HAProxy does not take its endpoints: {answer[:LONGEST_WHY]}")


def _command(where: Path, command: str) -> str:
    """By way of a descriptor, since the path of a socket must not be long."""
    directory = os.open(where, os.O_PATH | os.O_DIRECTORY)
    try:
        with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as line:
            line.settimeout(START_SECONDS)
            line.connect(f"/proc/self/fd/{directory}/{SOCKET}")
            line.sendall(command.encode() + b"\n")
            with line.makefile() as answers:
                return answers.read()
    finally:
        os.close(directory)


def _joined(lines: Sequence[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""


def _write(path: Path, text: str) -> None:
    """Whole or not at all, and for root alone."""
    temporary = path.with_name(path.name + ".new")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    temporary.replace(path)
