"""The directory that standalone keeps everything in: one owner at a time, and a format that is checked."""

import fcntl
import json
import os
import secrets
from pathlib import Path
from typing import IO

from services.common.identity.nats.authority import SERVER_FILE

FORMAT = 1


class Unfit(Exception):
    """The directory cannot be used; the text says why and what to do."""


class DataDirectory:
    """Names what lies where. Held from `open` to `close`: a second standalone is refused."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self._lock: IO[str] | None = None

    @property
    def ready_file(self) -> Path:
        return self.path / "ready.json"

    @property
    def gateway_socket(self) -> Path:
        return self.path / "gateway.sock"

    @property
    def http_socket(self) -> Path:
        return self.path / "http_api.sock"

    @property
    def console_socket(self) -> Path:
        return self.path / "console.sock"

    def database(self, program: str) -> Path:
        return self.path / f"{program}.sqlite"

    def evidence(self, program: str) -> Path:
        """Where the program's signing key and signed heads are."""
        return self.path / "evidence" / program

    @property
    def tls(self) -> Path:
        """The certificate authority, and a folder for each program's certificate."""
        return self.path / "tls"

    @property
    def master_key(self) -> Path:
        return self.path / "credentials" / "master.key"

    @property
    def previous_master_key(self) -> Path:
        """Where the master key is put that another is to replace."""
        return self.path / "credentials" / "master.key.previous"

    @property
    def operator_credential(self) -> Path:
        return self.path / "credentials" / "operator.json"

    def access_log(self, program: str) -> Path:
        """Where the calls are that the program has refused."""
        return self.path / "logs" / f"{program}.access.jsonl"

    def log(self, program: str) -> Path:
        return self.path / "logs" / f"{program}.log"

    @property
    def nats(self) -> Path:
        return self.path / "nats"

    @property
    def nats_accounts(self) -> Path:
        """What NATS is told of who may do what."""
        return self.tls / SERVER_FILE

    @property
    def bpffs(self) -> Path:
        return self.path / "bpf"

    def open(self) -> None:
        """Makes or checks the directory, and holds it. Raises Unfit."""
        try:
            for folder in (self.path, self.path / "logs", self.nats, self.bpffs):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise Unfit(f"cannot make {error.filename}: {error.strerror}") from error
        self._hold()
        self._check_format()
        self.ready_file.unlink(missing_ok=True)

    def _hold(self) -> None:
        lock = (self.path / "lock").open("a")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            text = f"{self.path} is in use by another Sidegate: stop it, or give another --data-dir"
            raise Unfit(text) from None
        self._lock = lock

    def _check_format(self) -> None:
        about = self.path / "format.json"
        if not about.exists():
            facts = {"format": FORMAT, "gateway_id": f"gw-{secrets.token_hex(4)}"}
            part = about.with_suffix(".part")
            part.write_text(json.dumps(facts) + "\n")
            part.replace(about)
        try:
            found = json.loads(about.read_text())
            version = found["format"]
            self.gateway_id = str(found["gateway_id"])
        except (ValueError, KeyError, TypeError):
            raise Unfit(f"{about} is not readable: restore it, or give another --data-dir") from None
        if version != FORMAT:
            text = f"{self.path} has data format {version}, this Sidegate knows {FORMAT}: use the version that made it"
            raise Unfit(f"{text}, or give another --data-dir")

    def close(self) -> None:
        """Lets go, if it was held: what tells others that we run goes with it."""
        if self._lock is None:
            return
        self.ready_file.unlink(missing_ok=True)
        self.gateway_socket.unlink(missing_ok=True)
        self.http_socket.unlink(missing_ok=True)
        self.console_socket.unlink(missing_ok=True)
        self._lock.close()
        self._lock = None


def is_held(path: Path) -> bool:
    """Whether a standalone runs on the directory now."""
    try:
        with (path / "lock").open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def may_forward() -> str:
    """Why this process cannot run a gateway agent; empty where it can."""
    return "" if os.geteuid() == 0 else "not root: a gateway agent programs the kernel; run as root to forward packets"
