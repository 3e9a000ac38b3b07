"""The picture of the architecture: three VPCs, a data centre, and the cloud's own services."""

import asyncio
import contextlib
import hashlib
import secrets
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from tests.support.daemons import resolving
from tests.support.switched import NIC
from tests.support.world import machine, tcp, udp, who_answers
from tests.system.scenarios import cloud, datacentre, other_ways, quic
from tests.system.scenarios.objects_client import ObjectsClient
from tests.system.scenarios.scenario import Scenario
from tests.system.scenarios.stage import Host, Network, Stage, last

DRAWING = """
  VPC 1, 10.0.0.0/24                                               VPC 3, 10.0.0.0/24
 ┌──────────────────────────────┐                               ┌──────────────────────────────┐
 │ .10 machine                  │          ┌─────────┐          │ .10 machine                  │
 │ .100 endpoint ───────────────┼─────────▶│         ├─────────▶│     TCP :8080, QUIC :8443    │
 │ route to 203.0.113.80/32 ────┼─────────▶│         ├─ ─ ┐     └──────────────────────────────┘
 └──────────────────────────────┘          │         │    └ ─ ─▶ the object store below
  VPC 2, 10.0.0.0/24                       │ gateway │           cloud, 192.168.10.0/24
 ┌──────────────────────────────┐          │         │          ┌──────────────────────────────┐
 │ .10 machine                  │          │         ├─────────▶│ .10 object store (S3)        │
 │ .101 endpoint: objects ──────┼─────────▶│         ├─────────▶│ .53 DNS server               │
 │ .102 endpoint: names ────────┼─────────▶│         │          └──────────────────────────────┘
 │ .103 endpoint: by its name ──┼─────────▶│         │
 │ .2   resolver ◀──────────────┼──────────┤         │
 │ .254 router                  │          └─────────┘
 └──────┬───────────────────────┘
 ┌──────┴───────────────────────┐
 │ .10 machine                  │
 └──────────────────────────────┘
  data centre, 192.168.10.0/24
"""
MACHINE = "10.0.0.10"
PEER, OBJECTS, NAMES = "10.0.0.100", "10.0.0.101", "10.0.0.102"
SIZE, LESS = 100_000_000, 20_000_000
FLOW = 1_000_000


@dataclass
class World:
    stage: Stage
    vpc1: Network
    vpc2: Network
    first: Host
    second: Host
    third: Host
    ours: Host
    names: cloud.Names
    objects: cloud.Objects
    greeted: list[str]
    flowed: list[str]
    stored: dict[str, str] = field(default_factory=dict)
    """What each object hashes to, by its key."""

    @property
    def small(self) -> tuple[str, str]:
        """An object that is quickly fetched, and what it hashes to."""
        return "from-the-data-centre", self.stored["from-the-data-centre"]


@contextlib.asynccontextmanager
async def world(stage: Stage) -> AsyncIterator[World]:
    vpc1, vpc2, vpc3 = [
        await stage.network(f"VPC {number}", account, "10.0.0.0/24")
        for number, account in ((1, "anna"), (2, "bert"), (3, "carl"))
    ]
    first, second, third = [await vpc.host("machine", MACHINE) for vpc in (vpc1, vpc2, vpc3)]
    centre = datacentre.DataCentre.make("192.168.10.0/24", stage)
    router = await datacentre.router_of(vpc2)
    datacentre.plain_line(router, centre.edge)
    ours = centre.host("data centre's machine", "192.168.10.10")
    provider = await stage.network("cloud", "operator", "192.168.10.0/24")
    names, objects = await cloud.names(provider, "192.168.10.53"), await cloud.objects(provider, "192.168.10.10")
    async with (
        machine(third.space, "the machine in VPC 3", address=MACHINE) as greeted,
        quic.server(third, stage.directory) as flowed,
    ):
        await connect(vpc1, vpc3)
        yield World(stage, vpc1, vpc2, first, second, third, ours, names, objects, greeted, flowed)


async def connect(vpc1: Network, vpc3: Network) -> None:
    """VPC 3's owner publishes for VPC 1's alone, who asks for an endpoint."""
    mappings = tcp(80, 8080), udp(443, quic.PORT)
    service = await vpc3.publish("web", *mappings, approval=False, backend=MACHINE)
    await vpc3.client.services.permit(service.id, [f"iam:domain::{vpc1.account}"])
    await vpc1.accepted(await vpc1.request(service, PEER, name="peer"))


async def a_machine_in_vpc_1_reaches_one_in_vpc_3(world: World) -> None:
    """A machine in VPC 1 reaches a machine in VPC 3 through an endpoint; both have the address 10.0.0.10."""

    async def ask() -> str:
        return str(await who_answers(world.first.space, PEER, 80))

    answer = await world.stage.observe("TCP :80", world.first, f"endpoint {PEER}", ask, seen=last(world.greeted))
    assert answer == "the machine in VPC 3"


async def a_long_flow_of_quic(world: World) -> None:
    """A QUIC connection between the same two is one long flow of datagrams: pings, and a megabyte there and back."""
    stage, data = world.stage, secrets.token_bytes(FLOW)
    async with quic.connected(world.first, PEER, 443, stage.directory) as flow:

        async def ping() -> str:
            await flow.ping()
            return "pong"

        async def echo() -> str:
            return "the same" if await flow.echoed(data) == data else "damaged"

        through, seen = f"endpoint {PEER}", last(world.flowed)
        await stage.observe("QUIC: ping", world.first, through, ping, seen=seen, times=20)
        told = await stage.observe(f"QUIC: {FLOW:,} bytes echoed", world.first, through, echo, seen=seen, times=1)
    assert (told, len(world.flowed)) == ("the same", 1), "one flow, from one address"


async def cloud_services_are_found(world: World) -> None:
    """VPC 2's owner, whom nobody has permitted, finds the operator's services and asks for endpoints of them."""
    found = {each.id: each.full_name async for each in world.vpc2.client.services.list_platform()}
    for service, address, name in ((world.objects.service, OBJECTS, "objects"), (world.names.service, NAMES, "names")):
        world.stage.tell(f"{found[service.id]} gets the endpoint {address}")
        await world.vpc2.accepted(await world.vpc2.request(service, address, name=name))


async def a_machine_in_vpc_2_uses_cloud_services(world: World) -> None:
    """A machine in VPC 2 uses them: 100 MB into the object store and out again, and names, over UDP and over TCP."""
    client = ObjectsClient(f"http://{OBJECTS}", world.second)
    with contextlib.closing(client):
        await asyncio.to_thread(client.make_bucket)
        await store(world, client, world.second, "from-vpc-2")
    await resolve(world, world.second, NAMES)


async def the_data_centre_uses_them_too(world: World) -> None:
    """The data centre behind VPC 2's router uses the same services by the same endpoints."""
    client = ObjectsClient(f"http://{OBJECTS}", world.ours)
    with contextlib.closing(client):
        await store(world, client, world.ours, "from-the-data-centre", LESS)
        keys = await asyncio.to_thread(client.keys)
        assert keys == ["from-the-data-centre", "from-vpc-2"], "both are in one bucket"
    await resolve(world, world.ours, NAMES)


async def by_its_private_name(world: World) -> None:
    """The object store's own name leads there, too: its owner has proven it, and VPC 2's resolver answers to it."""
    await other_ways.prove_name(world.objects)
    await other_ways.ask_resolver(world.vpc2, world.objects, world.second)
    through = f"endpoint {other_ways.NAMED}, by its name"
    with resolving(world.second.space, other_ways.RESOLVER):
        await other_ways.fetch(world.second, f"http://{cloud.NAME}", world.small, through, world.objects)


async def by_its_ordinary_address(world: World) -> None:
    """Its ordinary address leads there as well: by a gateway-type endpoint, which is a route in VPC 1's route table."""
    await other_ways.route(world.vpc1, world.objects, world.first)
    through = "gateway-type endpoint, by its address"
    await other_ways.fetch(world.first, f"http://{cloud.ADDRESS}", world.small, through, world.objects)
    assert await other_ways.connects(world.first, cloud.ADDRESS, 80)
    assert not await other_ways.connects(world.first, cloud.ADDRESS, 81), "the port is not published"
    world.second.space.ip("route", "add", f"{cloud.ADDRESS}/32", "dev", NIC)
    assert not await other_ways.connects(world.second, cloud.ADDRESS, 80), "VPC 2's route table has no such route"


async def store(world: World, client: ObjectsClient, host: Host, key: str, size: int = SIZE) -> None:
    """Uploads, downloads, and compares byte for byte."""
    data = secrets.token_bytes(size)
    world.stored[key] = hashlib.sha256(data).hexdigest()
    through = f"endpoint {OBJECTS}"

    async def put() -> str:
        await asyncio.to_thread(client.upload, key, data)
        return "stored"

    async def get() -> str:
        return "the same, byte for byte" if await asyncio.to_thread(client.download, key) == data else "damaged"

    seen = world.objects.seen
    await world.stage.observe(f"S3: put {size:,} bytes", host, through, put, seen=seen, times=1)
    told = await world.stage.observe(f"S3: get {size:,} bytes", host, through, get, seen=seen, times=1)
    assert told.startswith("the same")


async def resolve(world: World, host: Host, server: str) -> None:
    """By dig: over UDP, over TCP, and over TCP after an answer that was too long for UDP."""
    questions: Sequence[tuple[str, Sequence[str]]] = (
        (f"DNS over UDP: {cloud.NAME}", (cloud.NAME, "A", "+notcp")),
        (f"DNS over TCP: {cloud.NAME}", (cloud.NAME, "A", "+tcp")),
    )
    for asked, question in questions:

        async def ask(question: Sequence[str] = question) -> str:
            return await asyncio.to_thread(cloud.dig, host, server, *question)

        answer = await world.stage.observe(asked, host, f"endpoint {server}", ask, seen=world.names.seen, times=3)
        assert answer == cloud.ADDRESS
    long = await asyncio.to_thread(cloud.dig, host, server, cloud.LONG_NAME, "TXT", "+noedns")
    assert len(long) > 8 * len(cloud.LONG), "dig asks again over TCP"


SCENARIO = Scenario(
    name="three-vpcs",
    title="Three VPCs, a data centre, and the cloud's own services",
    drawing=DRAWING,
    world=world,
    steps=(
        a_machine_in_vpc_1_reaches_one_in_vpc_3,
        a_long_flow_of_quic,
        cloud_services_are_found,
        a_machine_in_vpc_2_uses_cloud_services,
        the_data_centre_uses_them_too,
        by_its_private_name,
        by_its_ordinary_address,
    ),
)
