"""The cluster of docker-compose.yml while it runs, as its users reach it: by Compose, curl and the command line."""

import json
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.compose.base_images import REPOSITORY
from tests.compose.engine import Engine

ENDPOINT = "10.61.0.100"
MACHINE = "sidegate-machine"
PATIENCE_SECONDS = 90.0
PAUSE_SECONDS = 0.2
CURL_SECONDS = 3
TIMED_OUT = 28  # curl's exit code
PINS = "/sys/fs/bpf/sidegate"


@dataclass(frozen=True)
class Cluster:
    engine: Engine
    command: tuple[str, ...]  # of Compose
    secrets: Path
    project: str

    def compose(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        where = ("--file", str(REPOSITORY / "docker-compose.yml"), "--env-file", str(self.secrets))
        return self.engine.run(*self.command, *where, "--project-name", self.project, *arguments, check=check)

    def up(self) -> None:
        self.compose("up", "--detach")
        self.wait_for_setup()

    def wait_for_setup(self) -> None:
        ended = self.engine.docker("wait", self.container("setup")).stdout.strip()
        assert ended == "0", self.engine.docker("logs", self.container("setup")).stderr

    def container(self, service: str) -> str:
        (found,) = self.listed("ps", "--all", "--filter", f"label=com.docker.compose.service={service}")
        return found

    def listed(self, *what: str) -> list[str]:
        """Ids of the project's containers (`ps --all`), networks (`network ls`) or volumes (`volume ls`)."""
        label = f"label=com.docker.compose.project={self.project}"
        return self.engine.docker(*what, "--quiet", "--filter", label).stdout.split()

    def about(self, service: str) -> Any:
        return json.loads(self.engine.docker("inspect", self.container(service)).stdout)[0]

    def curl(self, address: str = ENDPOINT, port: int = 80) -> subprocess.CompletedProcess[str]:
        url = f"http://{address}:{port}/"
        return self.engine.docker(
            "exec", self.container("client"), "curl", "-s", "-m", str(CURL_SECONDS), url, check=False
        )

    def start_in_client(self, *command: str) -> "subprocess.Popen[str]":
        """A process in the client's container whose output is read while it runs."""
        full = ["docker", "exec", self.container("client"), *command]
        return subprocess.Popen(full, env=dict(self.engine.environment), stdout=subprocess.PIPE, text=True)

    def sidegate(self, account: str, *arguments: str) -> Any:
        """The command line on the machine, through the published ports. Raises CommandFailed."""
        command = [str(Path(sys.executable).with_name("sidegate")), "--config", str(self.config())]
        acting = () if account == "operator" else ("--account", account)
        asked = (*acting, "-o", "json", *arguments)
        return json.loads(self.engine.run(*self.engine.inside, *command, *asked, timeout=60).stdout)

    def config(self) -> Path:
        """What deploy/operator writes: where the cluster is, whom to trust, and the operator's access key."""
        path = self.secrets.with_name("operator.json")
        if not path.exists():
            said = {name: self._said(name) for name in ("operator.json", "ca.pem")}
            where = {"registry": {"grpc": "127.0.0.1:7401"}, "endpoint": {"grpc": "127.0.0.1:7402"}}
            path.write_text(json.dumps({**json.loads(said["operator.json"]), **where, "ca": said["ca.pem"]}))
        return path

    def _said(self, name: str) -> str:
        return self.engine.docker(
            "exec", self.container("registry"), "cat", f"/var/lib/sidegate/operator/{name}"
        ).stdout

    def beside(self, container: str, *command: str) -> subprocess.CompletedProcess[str]:
        """Runs in the container's network with the right to change it."""
        shared = ("--network", f"container:{container}", "--cap-add", "NET_ADMIN")
        return self.engine.docker("run", "--rm", *shared, MACHINE, *command, check=False)

    def kill(self, service: str) -> None:
        """kill -9 of its first process, by nobody whom the engine knows: it is a crash, and is restarted."""
        process = self.about(service)["State"]["Pid"]
        crash = ("python", "-c", f"import os; os.kill({process}, 9)")
        self.engine.docker("run", "--rm", "--pid", "host", "--cap-add", "KILL", MACHINE, *crash)

    def pins(self) -> str:
        mount = ("--volume", "/sys/fs/bpf:/sys/fs/bpf")
        return self.engine.docker("run", "--rm", *mount, MACHINE, "find", "/sys/fs/bpf", "-path", f"{PINS}*").stdout


def eventually(true: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < deadline, otherwise
        time.sleep(PAUSE_SECONDS)


def cluster_of(engine: Engine, version: str, secrets: Path) -> Cluster:
    subprocess.run([REPOSITORY / "deploy/secrets", secrets], check=True)
    return Cluster(engine, engine.composes[version], secrets, f"sidegate-test-{uuid.uuid4().hex[:8]}")


@contextmanager
def cluster(engine: Engine, version: str, secrets: Path) -> Iterator[Cluster]:
    """Up and told its story; however it goes, it is down in the end."""
    made = cluster_of(engine, version, secrets)
    try:
        made.up()
        yield made
    except BaseException:
        print(made.compose("logs", "--no-color", "--tail", "40", check=False).stdout)
        raise
    finally:
        made.compose("down", "--volumes", "--remove-orphans")
