"""The fast way to the cloud: a data centre uses endpoints in VPC 1, over a VPN and then over a direct line."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from tests.support.wire_tap import Talk, Tap
from tests.support.world import eventually_answers, machine, tcp, who_answers
from tests.system.scenarios import cloud, datacentre
from tests.system.scenarios.scenario import Scenario
from tests.system.scenarios.stage import Host, Network, Stage, last

DRAWING = """
  data centre                     VPC 1                                          cloud
  192.168.10.0/24                 10.0.0.0/24                                    192.168.10.0/24
 ┌───────────────┐               ┌─────────────────────────┐   ┌─────────┐      ┌──────────────────────┐
 │ .10 machine   │     VPN       │ .254 router             │   │         ├─────▶│ .53 DNS server       │
 │ .11 another   │  (OpenVPN)    │ .101 endpoint 1 ────────┼──▶│ gateway │      └──────────────────────┘
 │ .1  edge      ├───────────────┤ .102 endpoint 2 ────────┼──▶│         │       VPC 2, 10.0.0.0/24
 │               │  then direct  │ .10  machine ◀──────────┼───┤         │      ┌──────────────────────┐
 │               │  line (VXLAN) │ .103 endpoint 3 ────────┼──▶│         ├─────▶│ .10 machine          │
 └───────────────┘               └─────────────────────────┘   └─────────┘      └──────────────────────┘
"""
CLOUD, IN_VPC_1, IN_VPC_2, LISTED = "10.0.0.101", "10.0.0.102", "10.0.0.103", "10.0.0.104"
MACHINE = "10.0.0.10"


@dataclass
class World:
    stage: Stage
    vpc1: Network
    router: datacentre.Router
    centre: datacentre.DataCentre
    ours: Host
    another: Host
    near: Host
    names: cloud.Names
    lan: Tap
    seen: dict[str, list[str]]
    line: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)
    way: str = ""

    def through(self, address: str, host: Host) -> str:
        return f"endpoint {address}" + ("" if host == self.near else f", over the {self.way}")


@contextlib.asynccontextmanager
async def world(stage: Stage) -> AsyncIterator[World]:
    vpc1 = await stage.network("VPC 1", "anna", "10.0.0.0/24")
    vpc2 = await stage.network("VPC 2", "bert", "10.0.0.0/24")
    provider = await stage.network("cloud", "operator", "192.168.10.0/24")
    names = await cloud.names(provider, "192.168.10.53")
    near, far = await vpc1.host("machine", MACHINE), await vpc2.host("machine", MACHINE)
    router = await datacentre.router_of(vpc1)
    lan = stage.tap(router.title, router.space, datacentre.LAN)
    centre = datacentre.DataCentre.make("192.168.10.0/24", stage)
    ours = centre.host("data centre's machine", "192.168.10.10")
    another = centre.host("data centre's other", "192.168.10.11")
    async with contextlib.AsyncExitStack() as stack:
        seen = {
            who: await stack.enter_async_context(machine(host.space, who, address=MACHINE))
            for who, host in (("the machine in VPC 1", near), ("the machine in VPC 2", far))
        }
        await endpoints(vpc1, vpc2, names)
        made = World(stage, vpc1, router, centre, ours, another, near, names, lan, seen)
        stack.push_async_exit(made.line)
        yield made


async def endpoints(vpc1: Network, vpc2: Network, names: cloud.Names) -> None:
    """Three, as in the picture, and one with a whitelist of one address in the data centre."""
    own = await vpc1.publish("own", tcp(80, 8080), approval=False, backend=MACHINE)
    others = await vpc2.publish("others", tcp(80, 8080), approval=False, backend=MACHINE)
    await vpc2.client.services.permit(others.id, ["iam:domain::anna"])
    requested = [
        await vpc1.request(names.service, CLOUD),
        await vpc1.request(own, IN_VPC_1),
        await vpc1.request(others, IN_VPC_2),
        await vpc1.request(others, LISTED, ("192.168.10.10/32",)),
    ]
    await asyncio.gather(*map(vpc1.accepted, requested))


async def a_vpn_leads_to_vpc_1(world: World) -> None:
    """A VPN leads from the data centre to VPC 1: OpenVPN, whose packets are all that the internet between them sees."""
    internet = await world.line.enter_async_context(datacentre.vpn(world.router, world.centre.edge))
    world.way = "VPN"
    assert await ask_machine(world, world.ours, IN_VPC_1) == "the machine in VPC 1"
    wrapped = {(talk.protocol, talk.port) for talk in internet.talks}
    assert wrapped == {("udp", datacentre.OPENVPN_PORT)}, internet.lines()


async def a_direct_line_takes_over(world: World) -> None:
    """The VPN is shut down, and a direct line takes over: VXLAN on a carrier's wire."""
    await world.line.aclose()
    assert await who_answers(world.ours.space, IN_VPC_1, 80) is None, "there is no way left"
    carrier = await world.line.enter_async_context(datacentre.direct_line(world.router, world.centre.edge))
    world.way = "direct line"
    await eventually_answers(world.ours.space, IN_VPC_1, 80)
    wrapped = {(talk.protocol, talk.port) for talk in carrier.talks}
    assert wrapped == {("udp", datacentre.VXLAN_PORT)}, carrier.lines()


async def endpoint_1_leads_to_the_cloud(world: World) -> None:
    """Endpoint 1 leads to the cloud's DNS server, whose network has the data centre's own addresses."""
    for protocol in ("udp", "tcp"):

        async def ask(how: str = "+notcp" if protocol == "udp" else "+tcp") -> str:
            return await asyncio.to_thread(cloud.dig, world.ours, CLOUD, cloud.NAME, "A", how)

        asked, through = f"DNS over {protocol.upper()}: {cloud.NAME}", world.through(CLOUD, world.ours)
        answer = await world.stage.observe(asked, world.ours, through, ask, seen=world.names.seen, times=3)
        assert answer == cloud.ADDRESS


async def ask_machine(world: World, host: Host, address: str) -> str:
    return str(await who_answers(host.space, address, 80))


async def observe_machine(world: World, host: Host, address: str, expected: str) -> None:
    async def ask() -> str:
        return await ask_machine(world, host, address)

    answer = await world.stage.observe(
        "TCP :80", host, world.through(address, host), ask, seen=last(world.seen[expected])
    )
    assert answer == expected


async def endpoint_2_leads_to_vpc_1_itself(world: World) -> None:
    """Endpoint 2 leads to a machine in VPC 1 itself, and the answer finds back by VPC 1's router."""
    await observe_machine(world, world.ours, IN_VPC_1, "the machine in VPC 1")
    answers = [back for talk, (_, back) in world.lan.talks.items() if asked_by(world.ours, talk, IN_VPC_1)]
    assert answers and all(answers), "the router has carried the answers"


def asked_by(host: Host, talk: Talk, address: str) -> bool:
    return (talk.client, talk.server) == (host.address, address)


async def endpoint_3_leads_to_vpc_2(world: World) -> None:
    """Endpoint 3 leads to a machine in VPC 2, which has the address of the one in VPC 1."""
    await observe_machine(world, world.ours, IN_VPC_2, "the machine in VPC 2")


async def a_whitelist_names_the_data_centres_addresses(world: World) -> None:
    """A whitelist that names one machine of the data centre lets it in, and nobody else."""
    await observe_machine(world, world.ours, LISTED, "the machine in VPC 2")
    for host in (world.another, world.near):
        assert await who_answers(host.space, IN_VPC_2, 80) == "the machine in VPC 2"

        async def ask(host: Host = host) -> str:
            answer = await who_answers(host.space, LISTED, 80, patience=0.3)
            return answer or "nothing: it is not on the whitelist"

        assert "whitelist" in await world.stage.observe("TCP :80", host, world.through(LISTED, host), ask, times=1)


ASKED = (
    endpoint_1_leads_to_the_cloud,
    endpoint_2_leads_to_vpc_1_itself,
    endpoint_3_leads_to_vpc_2,
    a_whitelist_names_the_data_centres_addresses,
)

SCENARIO = Scenario(
    name="fast-way",
    title="The fast way to the cloud: a data centre uses endpoints in VPC 1, over a VPN and over a direct line",
    drawing=DRAWING,
    world=world,
    steps=(a_vpn_leads_to_vpc_1, *ASKED, a_direct_line_takes_over, *ASKED),
)
