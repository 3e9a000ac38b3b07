"""A gateway agent as a program of its own, to be killed, and what it has pinned."""

import asyncio
import os
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path

from services.common.offspring import ends_with_us
from services.gateway_agent.dataplane.bpffs import Pins
from services.gateway_agent.dataplane.kernel import KernelDataplane
from tests.support import identity, namespaces, pinned
from tests.support.control_plane import CELL

DEADLINE = 60.0


class GatewayProgram:
    """`python -m services.gateway_agent`, of the test's cell."""

    def __init__(self, directory: Path, endpoint_address: str, nats_url: str) -> None:
        self.gateway_id = f"{namespaces.PREFIX}-{secrets.token_hex(2)}"
        self._bpffs = directory / "bpf"
        self._ready, self._log = directory / "gateway.ready", directory / "gateway.log"
        tls = identity.directory_of_gateway(CELL, self.gateway_id)
        self._command = [
            *(sys.executable, "-m", "services.gateway_agent", "--gateway-id", self.gateway_id, "--cell", CELL),
            *("--tls", str(tls), "--bpffs", str(self._bpffs)),
            *("--socket", str(directory / "socket"), "--ready-file", str(self._ready)),
            *("--endpoint-address", endpoint_address, "--log-level", "warning"),
        ]
        self._environment = {**os.environ, "SIDEGATE_NATS_URL": nats_url}
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        self._ready.unlink(missing_ok=True)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                ends_with_us(self._command), env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        deadline = time.monotonic() + DEADLINE
        while not self._ready.exists():
            assert self._process.poll() is None, self.output[-3000:]
            assert time.monotonic() < deadline, f"the gateway did not start: {self.output[-3000:]}"
            await asyncio.sleep(0.01)

    async def kill(self) -> None:
        """kill -9, if it runs."""
        if self._process is not None:
            process, self._process = self._process, None
            process.send_signal(signal.SIGKILL)
            await asyncio.to_thread(process.wait, DEADLINE)

    async def uninstall(self) -> None:
        """Leaves nothing of it on the machine."""
        await self.kill()
        dataplane = KernelDataplane(self.gateway_id, self._bpffs)
        await dataplane.uninstall()
        await dataplane.remove_devices()

    @property
    def output(self) -> str:
        return self._log.read_text()

    @property
    def memory(self) -> int:
        """Bytes that are resident."""
        assert self._process is not None
        status = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        (line,) = [line for line in status if line.startswith("VmRSS:")]
        return int(line.split()[1]) * 1024

    def entries(self) -> dict[str, int]:
        """How many entries each of its maps has."""
        return pinned.entries(self._pins)

    def counted_sessions(self) -> int:
        """How many sessions its program has counted for endpoints."""
        return pinned.counted_sessions(self._pins)

    @property
    def _pins(self) -> Path:
        return Pins(self._bpffs, self.gateway_id).directory
