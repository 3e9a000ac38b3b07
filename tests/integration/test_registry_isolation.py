"""What is another's reads as not there: the same status to the byte, but for the id that was asked for."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import grpc
import pytest

from services.common.principal import Principal
from sidegate import errors
from sidegate.api.registry.v1 import registry_service_pb2 as registry_pb2
from sidegate.api.registry.v1 import vpc_pb2
from sidegate.api.registry.v1.endpoint_service_pb2 import EndpointService
from tests.support.registry_service import Client, RegistryWorld, running_registry, status_of

Attempt = Callable[[Client, str], Awaitable[object]]


@dataclass(frozen=True)
class Belongings:
    """What the payments project has, and a stranger would like to reach."""

    world: RegistryWorld
    vpc: vpc_pb2.Vpc
    subnet: vpc_pb2.Subnet
    port: vpc_pb2.Port
    service: EndpointService


@pytest.fixture
async def theirs(tmp_path: Path) -> AsyncIterator[Belongings]:
    async with running_registry(tmp_path) as world:
        vpc = await world.payments.vpc()
        subnet = await world.payments.subnet(vpc)
        port = await world.payments.port(subnet)
        yield Belongings(world, vpc, subnet, port, await world.payments.service(vpc))


def get_vpc(client: Client, id_: str) -> Awaitable[object]:
    return client.ask(client.stub.GetVpc, registry_pb2.GetVpcRequest(id=id_))


def delete_vpc(client: Client, id_: str) -> Awaitable[object]:
    return client.ask(client.stub.DeleteVpc, registry_pb2.DeleteVpcRequest(id=id_))


def create_subnet(client: Client, id_: str) -> Awaitable[object]:
    return client.subnet(vpc_pb2.Vpc(id=id_))


def create_service(client: Client, id_: str) -> Awaitable[object]:
    return client.service(vpc_pb2.Vpc(id=id_))


def get_subnet(client: Client, id_: str) -> Awaitable[object]:
    return client.ask(client.stub.GetSubnet, registry_pb2.GetSubnetRequest(id=id_))


def delete_subnet(client: Client, id_: str) -> Awaitable[object]:
    return client.ask(client.stub.DeleteSubnet, registry_pb2.DeleteSubnetRequest(id=id_))


def create_port(client: Client, id_: str) -> Awaitable[object]:
    return client.port(vpc_pb2.Subnet(id=id_))


def get_port(client: Client, id_: str) -> Awaitable[object]:
    return client.ask(client.stub.GetPort, registry_pb2.GetPortRequest(id=id_))


def delete_port(client: Client, id_: str) -> Awaitable[object]:
    return client.ask(client.stub.DeletePort, registry_pb2.DeletePortRequest(id=id_))


def get_service(client: Client, id_: str) -> Awaitable[object]:
    return client.get_service(id_)


def change_service(client: Client, id_: str) -> Awaitable[object]:
    return client.change_service(EndpointService(id=id_), "approval_required")


def permit(client: Client, id_: str) -> Awaitable[object]:
    return client.permit(id_, "shop")


def forbid(client: Client, id_: str) -> Awaitable[object]:
    return client.forbid(id_, "shop")


def delete_service(client: Client, id_: str) -> Awaitable[object]:
    return client.delete_service(id_)


def look_up(client: Client, id_: str) -> Awaitable[object]:
    return client.look_up(id_)


def look_up_by_name(client: Client, id_: str) -> Awaitable[object]:
    return client.look_up(f"local.web.{id_}")


ATTEMPTS: list[tuple[Attempt, str]] = [
    (get_vpc, "vpc"),
    (delete_vpc, "vpc"),
    (create_subnet, "vpc"),
    (create_service, "vpc"),
    (get_subnet, "subnet"),
    (delete_subnet, "subnet"),
    (create_port, "subnet"),
    (get_port, "port"),
    (delete_port, "port"),
    (get_service, "service"),
    (change_service, "service"),
    (permit, "service"),
    (forbid, "service"),
    (delete_service, "service"),
    (look_up, "service"),
    (look_up_by_name, "service"),
]


@pytest.mark.parametrize(("attempt", "kind"), ATTEMPTS, ids=[attempt.__name__ for attempt, _ in ATTEMPTS])
async def test_what_is_anothers_reads_as_not_there(theirs: Belongings, attempt: Attempt, kind: str) -> None:
    before = await theirs.world.store.head()
    theirs_id, nobodys_id = getattr(theirs, kind).id, str(uuid4())
    assert await refusal(theirs.world.shop, attempt, theirs_id) == await refusal(theirs.world.shop, attempt, nobodys_id)
    assert await theirs.world.store.head() == before


@pytest.mark.parametrize("stranger", [Principal("shop", "payments-live"), Principal("payments", "another")])
async def test_neither_the_account_nor_the_project_alone_owns_anything(theirs: Belongings, stranger: Principal) -> None:
    client = Client(theirs.world.address, stranger)
    try:
        assert await refusal(client, get_vpc, theirs.vpc.id) == await refusal(client, get_vpc, str(uuid4()))
        listed = await client.ask(client.stub.ListVpcs, registry_pb2.ListVpcsRequest())
        assert list(listed.vpcs) == []
    finally:
        await client.close()


async def test_lists_show_nothing_of_another_project(theirs: Belongings) -> None:
    ask, stub = theirs.world.shop.ask, theirs.world.shop.stub
    assert not (await ask(stub.ListVpcs, registry_pb2.ListVpcsRequest())).vpcs
    assert not (await ask(stub.ListSubnets, registry_pb2.ListSubnetsRequest(vpc_id=theirs.vpc.id))).subnets
    assert not (await ask(stub.ListPorts, registry_pb2.ListPortsRequest(subnet_id=theirs.subnet.id))).ports
    services = await ask(stub.ListEndpointServices, registry_pb2.ListEndpointServicesRequest())
    assert not services.endpoint_services


async def test_a_reservation_tells_no_more_of_a_foreign_service_or_subnet(theirs: Belongings) -> None:
    world = theirs.world
    subnet = await world.shop.subnet(await world.shop.vpc())

    def of_service(client: Client, id_: str) -> Awaitable[object]:
        return client.reserve(id_, subnet)

    def of_subnet(client: Client, id_: str) -> Awaitable[object]:
        return client.reserve(theirs.service.id, vpc_pb2.Subnet(id=id_))

    nobodys = str(uuid4())
    hidden = await refusal(world.program, of_service, theirs.service.id)
    assert hidden == await refusal(world.program, of_service, nobodys)
    await world.payments.permit(theirs.service.id, "shop")
    foreign = await refusal(world.program, of_subnet, theirs.subnet.id)
    assert foreign == await refusal(world.program, of_subnet, nobodys)


async def test_a_deleted_service_reads_as_one_that_never_was(theirs: Belongings) -> None:
    world = theirs.world
    await world.payments.permit(theirs.service.id, "shop")
    await world.payments.delete_service(theirs.service.id)
    for attempt in (get_service, look_up, delete_service):
        assert await refusal(world.shop, attempt, theirs.service.id) == await refusal(world.shop, attempt, str(uuid4()))


async def refusal(client: Client, attempt: Attempt, id_: str) -> tuple[grpc.StatusCode, bytes]:
    """The code and the bytes of the status that the attempt on this id ends with, the id itself left out."""
    with pytest.raises(errors.NotFound) as refused:
        await attempt(client, id_)
    code, status = status_of(refused.value)
    assert id_.encode() in status
    return code, status.replace(id_.encode(), b"<id>")
