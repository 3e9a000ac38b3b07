"""`python -m services.console`: the composition root of the web console."""

import asyncio
import os
import sys

from services.common.config import ConsoleSettings
from services.common.https.observing import Observing
from services.common.https.protocol import bounded
from services.common.https.server import HttpsServer
from services.common.https.status import Status
from services.common.identity.certificates import Certificates, NoCertificate
from services.common.identity.pki import CA_FILE
from services.common.program import CannotListen, run, write_ready
from services.common.telemetry import tracing
from services.common.telemetry.exposition import exposed
from services.common.telemetry.logs import configure_logging
from services.console.app import Console, Ports
from services.console.bounds import Bounded, Manners, bounds_of
from services.console.numbers import SESSIONS, Numbers
from services.console.sessions.store import Bounds
from services.console.signing_in.by_provider import ByProvider
from services.console.signing_in.keys import Attempts, Places
from services.console.signing_in.people import People, Unreadable, require_private
from services.console.signing_in.provider import Known, Provider
from services.console.signing_in.ways import Ways
from sidegate.channels import channel_to


def ports_of(settings: ConsoleSettings) -> Ports:
    places = Places(
        settings.registry_address,
        settings.endpoint_address,
        f"unix:{settings.gateway_socket}" if settings.gateway_socket else "",
        (settings.tls / CA_FILE).read_bytes(),
    )
    bounds = Bounds(
        idle=settings.session_idle_minutes * 60,
        longest=settings.session_hours * 3600,
        of_key=settings.sessions_per_key,
        of_all=settings.sessions,
    )
    attempts = Attempts(settings.sign_ins_per_key, settings.sign_ins_per_address)
    return Ports(places, settings.region, bounds, attempts, settings.public_url, provider_of(settings))


def provider_of(settings: ConsoleSettings) -> ByProvider | None:
    """Raises Unreadable: what is amiss is said now, and not to the first who would come in."""
    if not settings.oidc_client_secret_file or not settings.oidc_accounts:
        return None
    require_private(settings.oidc_client_secret_file)
    People.read(settings.oidc_accounts)
    known = Known(
        settings.oidc_issuer,
        settings.oidc_client_id,
        settings.oidc_client_secret_file.read_text(encoding="utf-8").strip(),
        settings.oidc_name,
        str(settings.oidc_ca) if settings.oidc_ca else None,
    )
    return ByProvider(Provider(known), settings.oidc_accounts, Ways())


async def serve(settings: ConsoleSettings) -> None:
    trusting = Certificates(settings.tls).trusting()
    behind = {
        "registry": channel_to(settings.registry_address, trusting),
        "endpoint": channel_to(settings.endpoint_address, trusting),
    }
    ending = asyncio.Event()
    console = Console(ports_of(settings))
    SESSIONS.set_function(lambda: len(console.sessions))
    app = Observing(Bounded(console.asgi, settings, ending), Numbers())
    server = HttpsServer(app, settings.listen, settings.tls, bounded(bounds_of(settings), Manners()))
    status = Status("console", settings.socket, behind)
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
                parts.create_task(console.run())
    finally:
        ending.set()
        await server.stop()
        await console.close()
        await status.stop()
        for channel in behind.values():
            await channel.close()


def main() -> int:
    settings = ConsoleSettings()
    configure_logging("console", settings.log_level, settings.log_file)
    tracing.configure("console")
    try:
        run(serve(settings))
    except (CannotListen, NoCertificate, Unreadable, OSError) as error:
        print(f"console: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
