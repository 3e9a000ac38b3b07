"""`python -m services.gateway_agent`: the composition root of a gateway agent."""

import asyncio
import os
import sys
from pathlib import Path

from services.common.config import GatewaySettings
from services.common.identity.certificates import Certificates, NoCertificate
from services.common.messaging.connection import Connection, NoCredential
from services.common.program import CannotListen, run, write_ready
from services.common.telemetry import tracing
from services.common.telemetry.exposition import exposed
from services.common.telemetry.logs import configure_logging
from services.common.telemetry.metrics import REGISTRY
from services.gateway_agent.agent import Agent, AgentSettings, FlowSettings
from services.gateway_agent.dataplane.haproxy import Haproxies
from services.gateway_agent.dataplane.kernel import KernelDataplane
from services.gateway_agent.dataplane.port import Unusable
from services.gateway_agent.flows import FULL, OFF
from services.gateway_agent.numbers import GatewayNumbers
from services.gateway_agent.proxies import Proxies
from services.gateway_agent.resolving.annexed import in_annexes
from sidegate.access import Certified
from sidegate.transport import Caller


def dataplane_of(settings: GatewaySettings) -> KernelDataplane:
    return KernelDataplane(settings.gateway_id, settings.bpffs, settings.max_sessions)


def haproxies_of(settings: GatewaySettings) -> Haproxies:
    directory = settings.socket.with_name(settings.socket.name + ".annexes")
    return Haproxies(settings.gateway_id, directory, settings.haproxy)


def flows_of(settings: GatewaySettings) -> FlowSettings:
    """Of "off", "full" or "1/N", and of "nats" or "file:PATH"."""
    one_of = {"off": OFF, "full": FULL}.get(settings.flow_log)
    kind, _, path = settings.flow_log_to.partition(":")
    return FlowSettings(
        int(settings.flow_log.partition("/")[2]) if one_of is None else one_of, Path(path) if kind == "file" else None
    )


async def serve(settings: GatewaySettings) -> None:
    caller = Caller(settings.endpoint_address, Certified(Certificates(settings.tls).calling))

    nats = Connection(settings.nats_url, settings.gateway_id, settings.nats_user)

    async def to_nats() -> Connection:
        await nats.open()
        return nats

    about = AgentSettings(settings.gateway_id, settings.cell, settings.socket, flows=flows_of(settings))
    sockets, proxies = in_annexes(settings.gateway_id), Proxies(haproxies_of(settings), about.pace)
    agent = Agent(about, dataplane_of(settings), caller, to_nats, open_sockets=sockets, proxies=proxies)

    async def tell() -> None:
        await agent.serving.wait()
        REGISTRY.register(numbers)
        async with exposed(settings.metrics) as metrics:
            agent.status.metrics = metrics
            ready = {"socket": str(settings.socket), "metrics": metrics, "pid": os.getpid()}
            write_ready(settings.ready_file, ready)
            await asyncio.Event().wait()

    numbers = GatewayNumbers(agent.figures, asyncio.get_running_loop(), settings.metrics_endpoints)
    try:
        async with asyncio.TaskGroup() as parts:
            parts.create_task(agent.run())
            parts.create_task(tell())
    except* (Unusable, CannotListen) as found:
        raise found.exceptions[0] from None
    finally:
        await caller.close()


async def uninstall(settings: GatewaySettings) -> None:
    dataplane = dataplane_of(settings)
    await dataplane.uninstall()
    haproxies_of(settings).keep_only(())


def main() -> int:
    settings = GatewaySettings()
    configure_logging("gateway", settings.log_level, settings.log_file)
    tracing.configure("gateway")
    try:
        if not settings.uninstall:
            run(serve(settings))
        if settings.uninstall or settings.uninstall_on_stop:
            run(uninstall(settings))
    except (Unusable, CannotListen, NoCertificate, NoCredential) as error:
        print(f"gateway: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
