"""The cloud's own services, published by the operator: a real DNS server (dnsmasq), a real object store (moto's S3)."""

import re
import sys
from dataclasses import dataclass

from sidegate.api.registry.v1.endpoint_service_pb2 import Backend, EndpointService, PortMapping
from tests.support.daemons import Daemon, listens, run_in
from tests.support.world import tcp, udp
from tests.system.scenarios.stage import DNSMASQ, Host, Network, Stage

NAME, ADDRESS = "objects.cloud.example", "203.0.113.80"
LONG_NAME, LONG = "long.cloud.example", "x" * 200
OBJECTS_PORT = 5000


@dataclass(frozen=True)
class Names:
    """The DNS server, and whom it has answered."""

    host: Host
    service: EndpointService
    daemon: Daemon

    def seen(self) -> str:
        """The address that asked last."""
        return newest(r"query\[\w+\] \S+ from (\S+)", self.daemon)


@dataclass(frozen=True)
class Objects:
    """The object store."""

    stage: Stage
    host: Host
    service: EndpointService
    daemon: Daemon

    def seen(self) -> str:
        return newest(r"^([\d.]+) - - \[", self.daemon)


async def publish(cloud: Network, name: str, host: Host, *mappings: PortMapping) -> EndpointService:
    """A platform service: everybody may connect to it."""
    return await cloud.client.services.create(
        name, cloud.vpc_id, [Backend(address=host.address)], mappings, server_type=EndpointService.SERVER_TYPE_CLOUD
    )


async def names(cloud: Network, address: str) -> Names:
    """dnsmasq, which knows NAME, and LONG_NAME with more text than a datagram holds."""
    host = await cloud.host("DNS server", address)
    known = [f"--host-record={NAME},{ADDRESS}", *(f"--txt-record={LONG_NAME},{LONG}{n}" for n in range(8))]
    daemon = cloud.stage.run("dnsmasq", host.space, "dnsmasq", *DNSMASQ, f"--listen-address={address}", *known)
    await daemon.ready(lambda: listens(host.space, 53) and listens(host.space, 53, "udp"))
    return Names(host, await publish(cloud, "names", host, udp(53, 53), tcp(53, 53)), daemon)


async def objects(cloud: Network, address: str) -> Objects:
    host = await cloud.host("object store", address)
    names = "S3_IGNORE_SUBDOMAIN_BUCKETNAME=true"  # the bucket stands in the path, by whatever name the store is called
    server = ("-m", "moto.server", "-H", address, "-p", str(OBJECTS_PORT))
    daemon = cloud.stage.run("objects", host.space, "env", names, sys.executable, *server)
    await daemon.ready(lambda: listens(host.space, OBJECTS_PORT))
    return Objects(cloud.stage, host, await publish(cloud, "objects", host, tcp(80, OBJECTS_PORT)), daemon)


def newest(pattern: str, daemon: Daemon) -> str:
    """What the last line of the daemon's log that fits says."""
    return str(re.findall(pattern, daemon.said, re.MULTILINE)[-1])


def dig(host: Host, server: str, *question: str) -> str:
    """What dig prints, as short as it can, asked once."""
    return run_in(host.space, "dig", f"@{server}", "+short", "+tries=1", "+time=5", *question).strip()
