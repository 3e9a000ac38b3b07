"""A story of a registry, told in random steps through its public interface."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar
from uuid import uuid4

from sqlalchemy import Connection, select

from services.common.clock import SECOND, now
from services.common.errors import Refused
from services.common.eventsourcing.rebuild import rebuild_holdings
from services.common.eventsourcing.resource_table import RESOURCES
from services.registry.policies import Upkeep
from services.registry.projections import VpcRevisions
from sidegate import errors
from sidegate.api.registry.v1 import registry_service_pb2 as registry_pb2
from sidegate.api.registry.v1 import vpc_pb2
from sidegate.api.registry.v1.endpoint_service_pb2 import EndpointService
from tests.support.registry_service import RegistryWorld

T = TypeVar("T")


class NothingThere(Exception):
    """The step is about something that the story has not got."""


class Story:
    """Steps that a story is made of; numbers choose among what there is."""

    def __init__(self, world: RegistryWorld) -> None:
        self._world = world
        self._us, self._operator, self._program = world.payments, world.operator, world.program
        self._endpoints = [str(uuid4()) for _ in range(4)]

    async def create_vpc(self, one: int, _other: int) -> None:
        await self._us.vpc(name=f"vpc-{one}")

    async def delete_vpc(self, one: int, _other: int) -> None:
        request = registry_pb2.DeleteVpcRequest(id=(await self._vpc(one)).id)
        await self._us.ask(self._us.stub.DeleteVpc, request)

    async def create_subnet(self, one: int, other: int) -> None:
        await self._us.subnet(await self._vpc(one), f"10.0.0.{64 * other}/26", f"subnet-{other}")

    async def delete_subnet(self, one: int, _other: int) -> None:
        request = registry_pb2.DeleteSubnetRequest(id=(await self._subnet(one)).id)
        await self._us.ask(self._us.stub.DeleteSubnet, request)

    async def create_port(self, one: int, other: int) -> None:
        await self._us.port(await self._subnet(one), f"10.0.0.{64 * other + 5}" if one % 2 else "")

    async def delete_port(self, one: int, _other: int) -> None:
        ports = (await self._us.ask(self._us.stub.ListPorts, registry_pb2.ListPortsRequest())).ports
        request = registry_pb2.DeletePortRequest(id=_chosen(ports, one).id)
        await self._us.ask(self._us.stub.DeletePort, request)

    async def attach(self, one: int, other: int) -> None:
        await self._operator.attachment((await self._vpc(one)).id, f"target-{other}", f"cell-{one % 2}")

    async def detach(self, one: int, _other: int) -> None:
        ask, stub = self._operator.ask, self._operator.stub
        attachments = (await ask(stub.ListAttachments, registry_pb2.ListAttachmentsRequest())).attachments
        await ask(stub.DeleteAttachment, registry_pb2.DeleteAttachmentRequest(id=_chosen(attachments, one).id))

    async def publish(self, one: int, other: int) -> None:
        await self._us.service(await self._vpc(one), f"service-{other}")

    async def change(self, one: int, other: int) -> None:
        changed = EndpointService(id=(await self._service(one)).id, approval_required=bool(other % 2))
        await self._us.change_service(changed, "approval_required")

    async def ask(self, one: int, other: int) -> None:
        """Other idle limits, a health check, none of either."""
        wanted = EndpointService(id=(await self._service(one)).id)
        if other % 2:
            wanted.session_settings.udp_one_way_seconds = 10 * other
            wanted.health_check.interval_seconds = other
        await self._us.change_service(wanted, ("session_settings", "health_check")[other // 2])

    async def permit(self, one: int, other: int) -> None:
        await self._us.permit((await self._service(one)).id, f"account-{other}")

    async def forbid(self, one: int, other: int) -> None:
        await self._us.forbid((await self._service(one)).id, f"account-{other}")

    async def withdraw(self, one: int, other: int) -> None:
        """Deletes a service: unconnected, with the endpoint service away, in use, or by force."""
        service = await self._service(one)
        self._world.endpoints.away = other == 1
        self._world.endpoints.live[service.id] = [str(uuid4())] if other >= 2 else []
        await self._us.delete_service(service.id, force=other == 3)

    async def reserve(self, one: int, other: int) -> None:
        service, subnet = await self._service(one), await self._subnet(other)
        await self._program.reserve(service.id, subnet, owner=self._us.who, endpoint=self._endpoints[one])

    async def release(self, one: int, _other: int) -> None:
        await self._program.release(self._endpoints[one])

    async def wait(self, _one: int, other: int) -> None:
        """Time passes, and policies do their work."""
        self._world.endpoints.away = other == 1
        later = 61 * SECOND if other >= 2 else 0
        registry = self._world.registry
        await Upkeep(registry.deletions, registry.reservations, lambda: now() + later).once()

    async def _vpc(self, number: int) -> vpc_pb2.Vpc:
        listed = await self._us.ask(self._us.stub.ListVpcs, registry_pb2.ListVpcsRequest())
        return _chosen(listed.vpcs, number)

    async def _subnet(self, number: int) -> vpc_pb2.Subnet:
        listed = await self._us.ask(self._us.stub.ListSubnets, registry_pb2.ListSubnetsRequest())
        return _chosen(listed.subnets, number)

    async def _service(self, number: int) -> EndpointService:
        request = registry_pb2.ListEndpointServicesRequest()
        listed = await self._us.ask(self._us.stub.ListEndpointServices, request)
        return _chosen(listed.endpoint_services, number)


def _chosen(items: Sequence[T], number: int) -> T:
    if not items:
        raise NothingThere
    return items[number % len(items)]


Step = Callable[[Story, int, int], Awaitable[None]]
STEPS: list[Step] = [
    *(Story.create_vpc, Story.create_subnet, Story.create_port, Story.publish, Story.reserve) * 2,
    *(Story.delete_vpc, Story.delete_subnet, Story.delete_port, Story.attach, Story.detach, Story.change),
    Story.ask,
    *(Story.permit, Story.forbid, Story.withdraw, Story.release, Story.wait),
]


async def attempt(step: Awaitable[None]) -> None:
    """What cannot be done is refused, and that is well; what fails in another way is not."""
    try:
        await step
    except (NothingThere, Refused):
        return
    except errors.SidegateError as refused:
        assert not isinstance(refused, errors.Unexpected)


async def check(world: RegistryWorld) -> None:
    """Tables, claims and counters are a function of the log, and the version that a list shows is the stream's."""
    live = await world.store.query(tables)
    await world.store.rebuild()
    assert await world.store.query(tables) == live
    events = await world.store.read(0, 1_000_000)
    assert rebuild_holdings(events, world.registry.streams.meaning()) == await world.store.holdings()
    ask, stub, streams = world.payments.ask, world.payments.stub, world.registry.streams
    for vpc in (await ask(stub.ListVpcs, registry_pb2.ListVpcsRequest())).vpcs:
        assert vpc.etag == str((await streams.vpcs.load(f"vpc-{vpc.id}"))[1])
    listed = await ask(stub.ListEndpointServices, registry_pb2.ListEndpointServicesRequest())
    for service in listed.endpoint_services:
        assert service.version == (await streams.services.load(f"service-{service.id}"))[1]


def tables(connection: Connection) -> list[tuple[object, ...]]:
    rows = [tuple(row) for table in (RESOURCES, VpcRevisions.table) for row in connection.execute(select(table))]
    return sorted(rows, key=repr)
