"""All programs together: who is told what, in which order they start and stop."""

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import structlog

from services.common.identity.pki import CA_FILE
from services.common.messaging.server import NatsServer
from services.common.program import write_ready
from services.standalone.certificates import keep, provide
from services.standalone.data_directory import DataDirectory, may_forward
from services.standalone.ports import ReservedPort
from services.standalone.settings import StandaloneSettings
from services.standalone.supervisor import Program, Supervised, insist

SERVICES, FRONTS, GATEWAY = ("registry", "endpoint"), ("http_api", "console"), ("gateway",)

log = structlog.get_logger(__name__)


class System:
    """Everything that standalone runs. `facts` is what the ready file says."""

    def __init__(self, settings: StandaloneSettings, data: DataDirectory) -> None:
        self._settings, self._data = settings, data
        self._stack = contextlib.AsyncExitStack()
        self._nats = NatsServer(data.nats, data.nats_accounts, listen=settings.listen, port=settings.nats_port)
        self._programs: dict[str, Supervised] = {}
        self._addresses: dict[str, str] = {}
        self._internal: dict[str, str] = {}
        self._removing: asyncio.Task[None] | None = None
        self.no_gateway = may_forward()

    async def start(self) -> None:
        """Starts NATS, then services and their fronts side by side, then the gateway agent; writes the ready file."""
        provide(self._data, self._settings)
        await self._stack.enter_async_context(self._nats)
        self._telling = asyncio.create_task(asyncio.sleep(0))
        self._stack.push_async_callback(lambda: _cancel(self._telling))
        keeper = asyncio.create_task(self._keep_nats())
        self._stack.push_async_callback(_cancel, keeper)
        for name, port in (("registry", self._settings.registry_port), ("endpoint", self._settings.endpoint_port)):
            self._addresses[name] = self._reserve(port)
            self._internal[name] = self._reserve(0)
        if self._settings.http:
            self._addresses["http_api"] = self._reserve(self._settings.http_port)
        if self._settings.console:
            self._addresses["console"] = self._reserve(self._settings.console_port)
        renewing = asyncio.create_task(keep(self._data, self._settings))
        self._stack.push_async_callback(_cancel, renewing)
        self._stop_in_order()
        services = (self._service("registry", "endpoint"), self._service("endpoint", "registry"))
        http_api = [self._http_api()] if self._settings.http else []
        console = [self._console()] if self._settings.console else []
        await self._run_side_by_side(*services, *http_api, *console)
        if not self.no_gateway:
            await self._run_side_by_side(self._gateway())
        self._tell()

    def _reserve(self, port: int) -> str:
        return self._stack.enter_context(ReservedPort(self._settings.listen, port)).address

    async def stop(self) -> None:
        """Ends everything. Without `keep_forwarding` the kernel forwards nothing of ours afterwards."""
        await self._stack.aclose()

    def _stop_in_order(self) -> None:
        """What asks others before those that it asks; what the gateway leaves is taken away meanwhile.

        Each is a step of its own: to be told again to end cuts short the one that goes on, and no other.
        """
        self._stack.push_async_callback(self._forwarding_is_removed)
        self._stack.push_async_callback(self._stop_side_by_side, SERVICES)
        self._stack.push_async_callback(self._stop_side_by_side, FRONTS)
        self._stack.callback(self._begin_removing)
        self._stack.push_async_callback(self._stop_side_by_side, GATEWAY)

    async def _stop_side_by_side(self, names: Sequence[str]) -> None:
        await asyncio.gather(*[self._programs[name].stop() for name in names if name in self._programs])

    def _begin_removing(self) -> None:
        if "gateway" in self._programs and not self._settings.keep_forwarding:
            self._removing = asyncio.create_task(asyncio.to_thread(self._remove_forwarding))

    async def _forwarding_is_removed(self) -> None:
        if self._removing is not None:
            await self._removing

    @property
    def facts(self) -> Mapping[str, Any]:
        gateway = None
        if not self.no_gateway:
            about = {"id": self._data.gateway_id, "cell": self._settings.cell}
            gateway = {**about, "socket": str(self._data.gateway_socket), "metrics": self._metrics("gateway")}
        return {
            "version": version("sidegate"),
            "data_dir": str(self._data.path),
            "registry": {"grpc": self._addresses["registry"], "metrics": self._metrics("registry")},
            "endpoint": {"grpc": self._addresses["endpoint"], "metrics": self._metrics("endpoint")},
            "http_api": self._front_facts("http_api", self._data.http_socket),
            "console": self._front_facts("console", self._data.console_socket),
            "ca": str(self._data.tls / CA_FILE),
            "credential": str(self._data.operator_credential),
            "nats": {"address": self._nats.address},
            "gateway": gateway,
            "no_gateway_because": self.no_gateway,
            "pids": {"nats": self._nats.pid, **{name: each.pid for name, each in self._programs.items()}},
        }

    def _front_facts(self, program: str, socket: Path) -> Mapping[str, str] | None:
        if program not in self._addresses:
            return None
        https = f"https://{self._addresses[program]}"
        return {"https": https, "socket": str(socket), "metrics": self._metrics(program)}

    def _metrics(self, program: str) -> str:
        return str(self._programs[program].facts.get("metrics", ""))

    def _tell(self) -> None:
        for path in {self._data.ready_file, self._settings.ready_file or self._data.ready_file}:
            write_ready(path, self.facts)

    def _tell_again(self) -> None:
        """Has it said anew what runs where, as soon as the disk has room for it."""
        self._telling.cancel()
        self._telling = asyncio.create_task(insist(self._tell))

    async def _run_side_by_side(self, *programs: Program) -> None:
        started = []
        for program in programs:
            supervised = Supervised(program, self._tell_again)
            self._programs[program.name] = supervised
            started.append(supervised.start())
        await asyncio.gather(*started)

    def _program(self, name: str, module: str, *arguments: str, **environment: str) -> Program:
        ready = self._data.path / f"{name}.ready"
        return Program(
            name=name,
            module=module,
            arguments=(*arguments, *self._certificate(name), "--ready-file", str(ready), *self._logging(name)),
            log=self._data.log(name),
            ready_file=ready,
            environment={"SIDEGATE_NATS_URL": self._nats.url, **environment},
        )

    def _certificate(self, name: str) -> tuple[str, ...]:
        return ("--tls", str(self._data.tls / name))

    def _logging(self, name: str) -> tuple[str, ...]:
        return ("--log-level", self._settings.log_level, "--log-file", str(self._data.log(name)))

    def _service(self, name: str, peer: str) -> Program:
        addresses = ("--listen", self._addresses[name], "--internal-listen", self._internal[name])
        others = (f"--{peer}-address", self._internal[peer], "--region", self._settings.region)
        refused = ("--access-log", str(self._data.access_log(name)))
        evidence = ("--evidence", str(self._data.evidence(name)))
        keys: tuple[str, ...] = (
            "--master-key",
            str(self._data.master_key),
            "--operator-credential",
            str(self._data.operator_credential),
        )
        if self._data.previous_master_key.exists():
            keys += ("--previous-master-key", str(self._data.previous_master_key))
        default = ("--default-namespaces", self._settings.default_namespaces, "--default-cell", self._settings.cell)
        forwarders, servers = self._settings.allowed_forwarders, self._settings.name_servers
        names = ("--allowed-forwarders", forwarders, "--name-servers", servers)
        registrys = (*keys, *default, *names) if name == "registry" else ()
        arguments = (*addresses, *others, *refused, *evidence, *registrys)
        return self._program(name, f"services.{name}", *arguments, SIDEGATE_DATABASE=self._database(name))

    def _services(self) -> tuple[str, ...]:
        registry, endpoint = self._addresses["registry"], self._addresses["endpoint"]
        return ("--registry-address", registry, "--endpoint-address", endpoint, "--region", self._settings.region)

    def _http_api(self) -> Program:
        internal = ("--registry-internal-address", self._internal["registry"])
        here = ("--listen", self._addresses["http_api"], "--socket", str(self._data.http_socket))
        return self._program("http_api", "services.http_api", *self._services(), *internal, *here)

    def _console(self) -> Program:
        here = ("--listen", self._addresses["console"], "--socket", str(self._data.console_socket))
        gateway = () if self.no_gateway else ("--gateway-socket", str(self._data.gateway_socket))
        return self._program("console", "services.console", *self._services(), *here, *gateway)

    def _database(self, name: str) -> str:
        elsewhere = self._settings.registry_database if name == "registry" else self._settings.endpoint_database
        return elsewhere.get_secret_value() if elsewhere else str(self._data.database(name))

    def _gateway_arguments(self) -> tuple[str, ...]:
        identity = ("--gateway-id", self._data.gateway_id, "--cell", self._settings.cell)
        places = ("--socket", str(self._data.gateway_socket), "--bpffs", str(self._data.bpffs))
        flows = ("--flow-log", self._settings.flow_log, "--flow-log-to", self._settings.flow_log_to)
        return (*identity, *places, *flows, "--endpoint-address", self._internal["endpoint"])

    def _gateway(self) -> Program:
        return self._program("gateway", "services.gateway_agent", *self._gateway_arguments())

    def _remove_forwarding(self) -> None:
        """In a thread, which is waited for whatever happens to the event loop."""
        program = self._gateway()
        command = [*self._gateway_arguments(), *self._certificate("gateway"), "--uninstall"]
        done = subprocess.run(
            [sys.executable, "-m", program.module, *command],
            env={**os.environ, **program.environment},
            capture_output=True,
            text=True,
            check=False,
            start_new_session=True,
        )
        if done.returncode != 0:
            log.error("forwarding could not be removed", error=done.stderr[-500:])

    async def _keep_nats(self) -> None:
        while True:
            status = await self._nats.wait()
            log.warning("program ended, starting it again", name="nats", status=status)
            with contextlib.suppress(Exception):
                await self._nats.start()
                self._tell_again()
            await asyncio.sleep(0.1)


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
