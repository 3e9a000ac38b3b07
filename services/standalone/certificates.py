"""Standalone's own authority for certificates and users of NATS: made at the first start, used at any later one."""

from ipaddress import ip_address
from socket import gethostname

from services.common.identity.nats.authority import NatsAuthority
from services.common.identity.pki import LOCAL, Authority, Subject, gateway_uri, program_uri
from services.standalone.data_directory import DataDirectory
from services.standalone.settings import StandaloneSettings


def provide(data: DataDirectory, settings: StandaloneSettings) -> None:
    """Certificates and users of NATS for every program, in folders of theirs.

    Raises Unfit for an authority that is damaged.
    """
    users = NatsAuthority(data.tls)
    authority, region = Authority(data.tls, settings.region), settings.region
    for program in ("registry", "endpoint", "http_api"):
        subject = Subject(program, program_uri(region, program), hosts(settings.listen))
        authority.provide(data.tls / program, subject)
        users.program(data.tls / program, program)
    gateway = Subject(data.gateway_id, gateway_uri(region, settings.cell, data.gateway_id))
    authority.provide(data.tls / "gateway", gateway)
    users.gateway(data.tls / "gateway", settings.cell, data.gateway_id)


def hosts(listen: str) -> tuple[str, ...]:
    """By what names the programs are called that listen there: all of the machine's, where that is everywhere."""
    everywhere = ip_address(listen).is_unspecified
    return tuple(dict.fromkeys((*LOCAL, gethostname() if everywhere else listen)))
