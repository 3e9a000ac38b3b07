"""The other ways to the object store: its own name, and its ordinary address."""

import asyncio
import contextlib
import sys

from sidegate import errors
from sidegate.api.registry.v1.endpoint_service_pb2 import Backend, EndpointService
from tests.support.daemons import run_in
from tests.support.standalone import until
from tests.support.switched import NIC
from tests.support.world import tcp
from tests.system.scenarios import cloud
from tests.system.scenarios.stage import Host, Network

RESOLVER, NAMED = "10.0.0.2", "10.0.0.103"
CLIENT = "tests.system.scenarios.objects_client"


async def prove_name(objects: cloud.Objects) -> None:
    """The operator shows that the store's name is his: the record that he is told stands in the DNS."""
    stage = objects.stage
    service = await stage.operator.services.update(objects.service.id, private_name=cloud.NAME)
    record = service.private_name
    stage.tell(f"{record.record_name} TXT {record.record_value}")
    stage.publish_in_dns(record.record_name, record.record_value)

    async def verified() -> bool:
        with contextlib.suppress(errors.WrongState):  # until the name server that has it is there
            return (await stage.operator.services.verify_name(service.id)).private_name.HasField("verify_time")
        return False

    await until("the name to be verified", verified)


async def ask_resolver(network: Network, objects: cloud.Objects, host: Host) -> None:
    """Its VPC gets a resolver, and an endpoint with names; the host asks the one for the other."""
    await network.client.vpcs.set_resolver(network.vpc_id, network.subnet_id, address=RESOLVER)
    endpoint = await network.client.endpoints.create(
        service=objects.service.full_name,
        subnet_id=network.subnet_id,
        address=NAMED,
        name="named",
        dns_enabled=True,
    )
    await network.accepted(endpoint)

    async def ask() -> str:
        return await asyncio.to_thread(cloud.dig, host, RESOLVER, cloud.NAME, "A")

    async def answered() -> bool:
        with contextlib.suppress(AssertionError):  # dig's, while nobody listens there yet
            return await ask() == NAMED
        return False

    await until("the resolver to know the name", answered)
    await network.stage.observe(f"DNS: {cloud.NAME}", host, f"resolver {RESOLVER}", ask, times=3)


async def route(network: Network, objects: cloud.Objects, host: Host) -> None:
    """The store is published by its ordinary address, too, and the network's route table gets a route there."""
    stage = objects.stage
    service = await stage.operator.services.create(
        "objects-routed",
        objects.service.vpc_id,
        [Backend(address=objects.host.address)],
        [tcp(80, cloud.OBJECTS_PORT)],
        service_type=EndpointService.SERVICE_TYPE_GATEWAY,
        server_type=EndpointService.SERVER_TYPE_CLOUD,
        public_prefixes=[f"{cloud.ADDRESS}/32"],
    )
    endpoint = await network.client.endpoints.create(service.full_name, vpc_id=network.vpc_id, name="routed")
    stage.tell(f"a route to {cloud.ADDRESS}/32 in the default route table of {network.title}")
    await network.accepted(endpoint)
    host.space.ip("route", "add", f"{cloud.ADDRESS}/32", "dev", NIC)  # as its network's DHCP would tell it


async def fetch(host: Host, url: str, expected: tuple[str, str], through: str, objects: cloud.Objects) -> None:
    """A program on the host, which knows nothing but the URL, fetches an object; `expected` is its key and its hash."""
    key, digest = expected

    async def ask() -> str:
        got = await asyncio.to_thread(run_in, host.space, sys.executable, "-m", CLIENT, url, key)
        return "the same, by its SHA-256" if got.strip() == digest else f"another: {got}"

    asked = f"S3: get from {url}"
    assert (await objects.stage.observe(asked, host, through, ask, seen=objects.seen, times=1)).startswith("the same")


async def connects(host: Host, address: str, port: int, patience: float = 0.5) -> bool:
    """Whether somebody takes a connection there, whatever he says then."""
    with host.space.tcp_socket() as mouth:
        try:
            async with asyncio.timeout(patience):
                await asyncio.get_running_loop().sock_connect(mouth, (address, port))
        except (TimeoutError, OSError):
            return False
        return True
