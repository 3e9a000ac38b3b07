"""Cross-VPC, one account: endpoints to a machine of another VPC, and to a load balancer with two servers behind it."""

import contextlib
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from sidegate.api.endpoint.v1.endpoint_pb2 import Endpoint
from sidegate.api.registry.v1.endpoint_service_pb2 import Backend, EndpointService
from tests.support.daemons import Daemon, listens
from tests.support.standalone import until
from tests.support.world import call, machine, tcp, who_answers
from tests.system.scenarios.scenario import Scenario
from tests.system.scenarios.stage import Host, Network, Stage, last

DRAWING = """
  VPC 1 of fay, 10.0.0.0/24                               VPC 2 of fay, 10.0.0.0/24
 ┌───────────────────────┐      ┌───────────┐      ┌────────────────────────────────────────────┐
 │ machine    10.0.0.10  │      │           │      │ machine        10.0.0.10:8080              │
 │ endpoint 1 10.0.0.101 ┼─────▶│  gateway  ├─────▶│                                            │
 │ endpoint 2 10.0.0.102 ┼─────▶│           ├─────▶│ load balancer  10.0.0.20:80 (HAProxy)      │
 └───────────────────────┘      └───────────┘      │   ├─▶ server a 10.0.0.21:8080              │
                                                   │   └─▶ server b 10.0.0.22:8080              │
                                                   └────────────────────────────────────────────┘
"""
BALANCER, SERVERS = "10.0.0.20", {"server a": "10.0.0.21", "server b": "10.0.0.22"}
CONFIGURATION = """
global
    log stdout format raw local0
defaults
    mode tcp
    log global
    log-format "%ci %s"
    timeout connect 2s
    timeout client 60s
    timeout server 60s
frontend published
    bind {balancer}:80
    default_backend servers
backend servers
    balance roundrobin
    option redispatch
    default-server inter 200ms fall 1 rise 1 check
    server a {a}:8080
    server b {b}:8080
"""


@dataclass
class World:
    stage: Stage
    asking: Host
    seen: list[str]
    endpoint: Endpoint
    balanced: Endpoint
    published: EndpointService
    balancer: Daemon
    servers: dict[str, contextlib.AsyncExitStack]

    def balancer_saw(self) -> str:
        """The client's address in the newest line of HAProxy's log."""
        found = re.findall(r"^(\d+\.\d+\.\d+\.\d+) [ab]$", self.balancer.said, re.MULTILINE)
        return found[-1] if found else ""


@contextlib.asynccontextmanager
async def world(stage: Stage) -> AsyncIterator[World]:
    vpc1 = await stage.network("VPC 1", "fay", "10.0.0.0/24")
    vpc2 = await stage.network("VPC 2", "fay", "10.0.0.0/24")
    asking, answering = await vpc1.host("machine", "10.0.0.10"), await vpc2.host("machine", "10.0.0.10")
    async with contextlib.AsyncExitStack() as running:
        seen = await running.enter_async_context(machine(answering.space, "the machine in VPC 2"))
        servers = {}
        for name, address in SERVERS.items():
            host = await vpc2.host(name, address)
            servers[name] = await running.enter_async_context(contextlib.AsyncExitStack())
            await servers[name].enter_async_context(machine(host.space, name, address=address))
        balancer = await balance(stage, vpc2)
        web = await vpc2.publish("web", tcp(80, 8080), approval=False)
        published = await vpc2.client.services.create(
            "shared",
            vpc2.vpc_id,
            [Backend(address=BALANCER)],
            [tcp(80, 80)],
            server_type=EndpointService.SERVER_TYPE_LB,
        )
        endpoint = await vpc1.accepted(await vpc1.request(web, "10.0.0.101"))
        balanced = await vpc1.accepted(await vpc1.request(published, "10.0.0.102"))
        yield World(stage, asking, seen, endpoint, balanced, published, balancer, servers)


async def balance(stage: Stage, network: Network) -> Daemon:
    """A load balancer that has found both of its servers."""
    host = await network.host("load balancer", BALANCER)
    file = stage.directory / "haproxy.cfg"
    file.write_text(CONFIGURATION.format(balancer=BALANCER, a=SERVERS["server a"], b=SERVERS["server b"]))
    daemon = stage.run("haproxy", host.space, "haproxy", "-db", "-f", str(file))
    await daemon.ready(lambda: listens(host.space, 80))
    return daemon


async def a_machine_reaches_a_machine_of_the_other_vpc(world: World) -> None:
    """A machine in VPC 1 reaches the machine in VPC 2; no permission is needed, since both are fay's."""
    answer = await asks(world, world.endpoint, "endpoint 1", seen=last(world.seen))
    assert answer == "the machine in VPC 2"
    assert all(source.startswith("198.19.") for source in world.seen)


async def a_load_balancer_answers_with_both_of_its_servers(world: World) -> None:
    """Through endpoint 2 it reaches HAProxy, which shares its connections out between both servers."""
    assert world.published.server_type == EndpointService.SERVER_TYPE_LB

    async def ask() -> str:
        answers = [await who_answers(world.asking.space, world.balanced.address, 80, 5.0) for _ in range(2)]
        return " and ".join(sorted(map(str, answers)))

    asked, through = "TCP :80, twice", f"endpoint 2, {world.balanced.address}"
    answer = await world.stage.observe(asked, world.asking, through, ask, seen=world.balancer_saw)
    assert answer == "server a and server b"
    assert world.balancer_saw().startswith("198.19.")


async def a_server_fails_and_the_balancer_goes_on_with_the_other(world: World) -> None:
    """Server b ends: HAProxy goes on with the other, and neither the endpoint nor a connection to it notices."""
    first = await call(world.asking.space, world.balanced.address, 80, patience=5.0)
    while first is not None and first.name != "server a":
        first.close()
        first = await call(world.asking.space, world.balanced.address, 80, patience=5.0)
    assert first is not None
    await world.servers.pop("server b").aclose()

    async def noticed() -> bool:
        return "servers/b is DOWN" in world.balancer.said

    await until("HAProxy to find server b gone", noticed)
    answer = await asks(world, world.balanced, "endpoint 2", seen=world.balancer_saw)
    assert answer == "server a"
    assert await first.goes_on(5.0)
    first.close()


async def asks(world: World, endpoint: Endpoint, name: str, *, seen: Callable[[], str]) -> str:
    async def ask() -> str:
        return str(await who_answers(world.asking.space, endpoint.address, 80, 5.0))

    through = f"{name}, {endpoint.address}"
    return await world.stage.observe("TCP :80", world.asking, through, ask, seen=seen)


SCENARIO = Scenario(
    name="one-account",
    title="Two VPCs of one account: a machine, and a load balancer with two servers behind it",
    drawing=DRAWING,
    world=world,
    steps=(
        a_machine_reaches_a_machine_of_the_other_vpc,
        a_load_balancer_answers_with_both_of_its_servers,
        a_server_fails_and_the_balancer_goes_on_with_the_other,
    ),
)
