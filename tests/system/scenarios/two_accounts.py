"""Cross-VPC, two accounts: permission, approval, rejection, another approval, and a permission that is taken back."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from time import perf_counter

from sidegate import errors
from sidegate.api.endpoint.v1.endpoint_pb2 import ConnectionState, Endpoint
from sidegate.api.registry.v1.endpoint_service_pb2 import EndpointService
from tests.support.standalone import until
from tests.support.world import Conversation, call, eventually_answers, machine, tcp, who_answers
from tests.system.scenarios.scenario import Scenario
from tests.system.scenarios.stage import Host, Network, Stage, last

DRAWING = """
  VPC shop of gus, 10.0.0.0/24                            VPC bank of hal, 10.0.0.0/24
 ┌─────────────────────┐        ┌───────────┐        ┌─────────────────────┐
 │ machine 10.0.0.10   │        │           │        │ machine 10.0.0.10   │
 │ endpoint 10.0.0.100 ┼──?──▶──│  gateway  ├──?──▶──│ server :8080        │
 └─────────────────────┘        └───────────┘        └─────────────────────┘
      asks for a connection                   permits, accepts, rejects, accepts again, takes back
"""
GUS = "iam:domain::gus"
PENDING, REJECTED = ConnectionState.CONNECTION_STATE_PENDING_ACCEPTANCE, ConnectionState.CONNECTION_STATE_REJECTED
NOBODY = "nobody"
NOT_THERE = "00000000-0000-4000-8000-000000000000"


@dataclass
class World:
    stage: Stage
    shop: Network
    bank: Network
    asking: Host
    seen: list[str]
    service: EndpointService
    known: dict[str, Endpoint] = field(default_factory=dict)
    talking: list[Conversation] = field(default_factory=list)

    @property
    def endpoint(self) -> Endpoint:
        return self.known["endpoint"]

    async def asks(self, what: str, times: int = 5) -> str:
        """Who answers at the endpoint, as a row of the table; the address that the server saw, where one did."""

        async def ask() -> str:
            return await who_answers(self.asking.space, self.endpoint.address, 80) or NOBODY

        before = len(self.seen)
        through = f"endpoint {self.endpoint.address}"
        newest = last(self.seen)
        return await self.stage.observe(
            what, self.asking, through, ask, seen=lambda: newest() if len(self.seen) > before else "", times=times
        )

    async def talks(self) -> Conversation:
        found = await call(self.asking.space, self.endpoint.address, 80)
        assert found is not None
        self.talking.append(found)
        return found

    async def ended_after(self, conversation: Conversation, begun: float) -> None:
        async def ended() -> bool:
            return not await conversation.goes_on(0.1)

        await until("the established connection to end", ended)
        self.stage.tell(f"the established connection was silent within {(perf_counter() - begun) * 1000:.0f} ms")


@contextlib.asynccontextmanager
async def world(stage: Stage) -> AsyncIterator[World]:
    shop = await stage.network("shop", "gus", "10.0.0.0/24")
    bank = await stage.network("bank", "hal", "10.0.0.0/24")
    asking, answering = await shop.host("machine", "10.0.0.10"), await bank.host("machine", "10.0.0.10")
    async with machine(answering.space, "the bank") as seen:
        service = await bank.publish("ledger", tcp(80, 8080), approval=True)
        made = World(stage, shop, bank, asking, seen, service)
        try:
            yield made
        finally:
            for each in made.talking:
                each.close()


async def without_permission_it_is_not_there(world: World) -> None:
    """Without permission the service is not there for gus, in the same words as one that never was."""
    refusals = []
    for service in (world.service.id, world.service.full_name, NOT_THERE):
        for ask in (
            world.shop.client.services.lookup(service),
            world.shop.client.endpoints.create(service, world.shop.subnet_id),
        ):
            try:
                await ask
            except errors.NotFound as error:
                refusals.append(str(error).replace(service, "SERVICE"))
    assert len(refusals) == 6
    assert refusals[0::2] == refusals[:1] * 3
    assert refusals[1::2] == refusals[1:2] * 3
    world.stage.tell(f"gus reads: {refusals[1]}")


async def permitted_it_waits_and_nothing_passes(world: World) -> None:
    """hal permits gus. The endpoint has an address and waits for hal; no packet passes."""
    await world.bank.client.services.permit(world.service.id, [GUS])
    world.known["endpoint"] = await world.shop.request(world.service, "10.0.0.100")
    assert world.endpoint.state == PENDING
    assert await world.asks("TCP :80 before hal has decided", times=1) == NOBODY


async def accepted_it_passes(world: World) -> None:
    """hal accepts, and gus reaches him."""
    begun = perf_counter()
    await world.bank.client.connections.accept(world.service.id, world.endpoint.id)
    await eventually_answers(world.asking.space, world.endpoint.address, 80)
    world.stage.tell(f"{(perf_counter() - begun) * 1000:.0f} ms from the call to the first answer")
    world.known["endpoint"] = await world.shop.accepted(world.endpoint)
    assert await world.asks("TCP :80, accepted") == "the bank"
    assert all(source.startswith("198.19.") for source in world.seen)


async def rejected_it_ends(world: World) -> None:
    """hal rejects: the established connection ends, and no other begins."""
    talking = await world.talks()
    assert await talking.goes_on()
    begun = perf_counter()
    await world.bank.client.connections.reject(world.service.id, world.endpoint.id)
    await world.ended_after(talking, begun)
    assert await world.shop.state(world.endpoint) == REJECTED
    assert await world.asks("TCP :80, rejected", times=1) == NOBODY


async def accepted_again_it_is_the_same(world: World) -> None:
    """hal accepts again: the same address, the same marker, and the old connection stays dead."""
    await world.bank.client.connections.accept(world.service.id, world.endpoint.id)
    await eventually_answers(world.asking.space, world.endpoint.address, 80)
    again = await world.shop.accepted(world.endpoint)
    assert (again.address, again.marker_id) == (world.endpoint.address, world.endpoint.marker_id)
    assert not await world.talking[0].goes_on()
    assert await world.asks("TCP :80, accepted again") == "the bank"


async def a_permission_taken_back_keeps_what_is_there(world: World) -> None:
    """hal takes the permission back and lets connections be: the endpoint goes on, another is refused."""
    talking = await world.talks()
    await world.bank.client.services.forbid(world.service.id, [GUS])
    assert await talking.goes_on()
    assert await world.asks("TCP :80, permission taken back") == "the bank"
    await is_not_there(world)


async def a_permission_taken_back_ends_what_is_there(world: World) -> None:
    """hal permits, and takes it back with the connections: they end, and none can be had any more."""
    await world.bank.client.services.permit(world.service.id, [GUS])
    talking = await world.talks()
    assert await talking.goes_on()
    begun = perf_counter()
    await world.bank.client.services.forbid(world.service.id, [GUS], end_connections=True)
    await world.ended_after(talking, begun)

    async def rejected() -> bool:
        return await world.shop.state(world.endpoint) == REJECTED

    await until("the endpoint to be rejected", rejected)
    shown = await world.shop.client.endpoints.get(world.endpoint.id)
    assert shown.rejection
    world.stage.tell(f"gus reads: rejected, {shown.rejection}")
    assert await world.asks("TCP :80, connections ended", times=1) == NOBODY
    await is_not_there(world)


async def is_not_there(world: World) -> None:
    try:
        await world.shop.request(world.service)
    except errors.NotFound:
        return
    raise AssertionError("an endpoint was made without permission")


SCENARIO = Scenario(
    name="two-accounts",
    title="Two VPCs of two accounts: permission, approval, rejection, and the end of it",
    drawing=DRAWING,
    world=world,
    steps=(
        without_permission_it_is_not_there,
        permitted_it_waits_and_nothing_passes,
        accepted_it_passes,
        rejected_it_ends,
        accepted_again_it_is_the_same,
        a_permission_taken_back_keeps_what_is_there,
        a_permission_taken_back_ends_what_is_there,
    ),
)
