"""Standalone's own authority for certificates and users of NATS: made at the first start, used at any later one."""

import asyncio
from ipaddress import ip_address
from socket import gethostname

import structlog

from services.common.identity.nats.authority import NatsAuthority
from services.common.identity.pki import LOCAL, Authority, Subject, Unfit, gateway_uri, program_uri
from services.standalone.data_directory import DataDirectory
from services.standalone.settings import StandaloneSettings

PROGRAMS = ("registry", "endpoint", "http_api", "console")
RENEWAL_SECONDS = 6 * 3600.0
"""How often it is looked whether a certificate is near its end, which is months before it."""

log = structlog.get_logger(__name__)


def provide(data: DataDirectory, settings: StandaloneSettings) -> None:
    """Certificates and users of NATS for every program, in folders of theirs.

    Raises Unfit for an authority that is damaged.
    """
    users = NatsAuthority(data.tls)
    certify(data, settings)
    for program in PROGRAMS:
        users.program(data.tls / program, program)
    users.gateway(data.tls / "gateway", settings.cell, data.gateway_id)


def certify(data: DataDirectory, settings: StandaloneSettings) -> None:
    """Certificates for every program: those there stay while they are good for long. Raises Unfit."""
    authority, region = Authority(data.tls, settings.region), settings.region
    for program in PROGRAMS:
        subject = Subject(program, program_uri(region, program), hosts(settings.listen))
        authority.provide(data.tls / program, subject)
    gateway = Subject(data.gateway_id, gateway_uri(region, settings.cell, data.gateway_id))
    authority.provide(data.tls / "gateway", gateway)


async def keep(data: DataDirectory, settings: StandaloneSettings, every: float = RENEWAL_SECONDS) -> None:
    """Renews certificates for as long as it runs; programs take them while they do, without a restart."""
    while True:
        await asyncio.sleep(every)
        try:
            await asyncio.to_thread(certify, data, settings)
        except (OSError, Unfit) as error:
            log.warning("certificates cannot be renewed, those there stay", why=str(error))


def hosts(listen: str) -> tuple[str, ...]:
    """By what names the programs are called that listen there: all of the machine's, where that is everywhere."""
    everywhere = ip_address(listen).is_unspecified
    return tuple(dict.fromkeys((*LOCAL, gethostname() if everywhere else listen)))
