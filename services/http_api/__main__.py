"""`python -m services.http_api`: the composition root of the HTTPS API."""

import asyncio
import os
import sys

from services.common.config import HttpApiSettings
from services.common.https.server import HttpsServer
from services.common.https.status import Status
from services.common.identity.certificates import Certificates, NoCertificate
from services.common.program import CannotListen, run, write_ready
from services.common.telemetry import tracing
from services.common.telemetry.exposition import exposed
from services.common.telemetry.logs import configure_logging
from services.http_api.app import Ports, build
from services.http_api.auth.recognition import Recognition
from services.http_api.auth.registry import RegistryChecks
from services.http_api.auth.replays import Replays
from services.http_api.limits import Limits
from services.http_api.limits.protocol import bounded
from services.http_api.upstream import Upstream
from sidegate.access import Certified
from sidegate.transport import Caller


def limits_of(settings: HttpApiSettings) -> Limits:
    return Limits(
        head=settings.head_bytes,
        head_seconds=settings.head_seconds,
        body=settings.body_bytes,
        body_seconds=settings.body_seconds,
        send_seconds=settings.send_seconds,
        connections=settings.connections,
        connections_of_address=settings.connections_per_address,
        in_flight=settings.in_flight,
        in_flight_of_address=settings.in_flight_per_address,
        in_flight_of_key=settings.in_flight_per_key,
        rate_of_address=settings.rate_per_address,
        rate_of_key=settings.rate_per_key,
        streams_of_project=settings.streams_per_project,
    )


async def serve(settings: HttpApiSettings) -> None:
    certificates = Certificates(settings.tls)
    upstream = Upstream(settings.registry_address, settings.endpoint_address, certificates.trusting())
    internal = Caller(settings.registry_internal_address, Certified(certificates.calling))
    recognition = Recognition(upstream, RegistryChecks(internal), Replays())
    limits = limits_of(settings)
    ports = Ports(recognition, settings.region, limits)
    server = HttpsServer(build(ports), settings.listen, settings.tls, bounded(limits), websockets=True)
    status = Status("http_api", settings.socket, upstream.channels)
    try:
        await status.start()
        async with exposed(settings.metrics) as metrics:
            status.servicer.metrics = metrics
            facts = {"https": f"https://{await server.start()}", "socket": str(settings.socket), "metrics": metrics}
            await status.health.look()
            write_ready(settings.ready_file, {**facts, "pid": os.getpid()})
            async with asyncio.TaskGroup() as parts:
                parts.create_task(status.health.run())
                parts.create_task(server.run())
    finally:
        ports.gate.ending.set()
        await server.stop()
        await status.stop()
        await internal.close()
        await upstream.close()


def main() -> int:
    settings = HttpApiSettings()
    configure_logging("http_api", settings.log_level, settings.log_file)
    tracing.configure("http_api")
    try:
        run(serve(settings))
    except (CannotListen, NoCertificate, OSError) as error:
        print(f"http_api: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
