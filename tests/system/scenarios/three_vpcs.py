"""The picture of the architecture: three VPCs, a data centre, and the cloud's own services."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from sidegate.api.endpoint.v1.endpoint_pb2 import Endpoint
from tests.support.world import machine, tcp, who_answers
from tests.system.scenarios.scenario import Scenario
from tests.system.scenarios.stage import Host, Network, Stage, last

DRAWING = """
  VPC 1, 10.0.0.0/24                                      VPC 3, 10.0.0.0/24
 ┌─────────────────────┐        ┌───────────┐        ┌─────────────────────┐
 │ machine 10.0.0.10   │        │           │        │ machine 10.0.0.10   │
 │ endpoint 10.0.0.100 ┼───────▶│  gateway  ├───────▶│ server :8080        │
 └─────────────────────┘        │           │        └─────────────────────┘
                                └───────────┘
"""


@dataclass
class World:
    stage: Stage
    vpc1: Network
    vpc3: Network
    asking: Host
    answering: Host
    seen: list[str]
    endpoint: Endpoint


@contextlib.asynccontextmanager
async def world(stage: Stage) -> AsyncIterator[World]:
    vpc1 = await stage.network("VPC 1", "anna", "10.0.0.0/24")
    vpc3 = await stage.network("VPC 3", "carl", "10.0.0.0/24")
    asking, answering = await vpc1.host("machine", "10.0.0.10"), await vpc3.host("machine", "10.0.0.10")
    async with machine(answering.space, "the machine in VPC 3", address=answering.address) as seen:
        service = await vpc3.publish("web", tcp(80, 8080), approval=False, backend=answering.address)
        await vpc3.client.services.permit(service.id, ["iam:domain::anna"])
        endpoint = await vpc1.accepted(await vpc1.request(service, "10.0.0.100"))
        yield World(stage, vpc1, vpc3, asking, answering, seen, endpoint)


async def a_machine_in_vpc_1_reaches_one_in_vpc_3(world: World) -> None:
    """A machine in VPC 1 reaches a machine in VPC 3 through an endpoint; both have the address 10.0.0.10."""

    async def ask() -> str:
        return str(await who_answers(world.asking.space, world.endpoint.address, 80))

    through = f"endpoint {world.endpoint.address}"
    answer = await world.stage.observe("TCP :80", world.asking, through, ask, seen=last(world.seen))
    assert answer == "the machine in VPC 3"


SCENARIO = Scenario(
    name="three-vpcs",
    title="Three VPCs, a data centre, and the cloud's own services",
    drawing=DRAWING,
    world=world,
    steps=(a_machine_in_vpc_1_reaches_one_in_vpc_3,),
)
