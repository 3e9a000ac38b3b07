"""VPCs, subnets, ports and attachments, through the registry's interface."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import grpc
import pytest

from sidegate import errors
from sidegate.api.registry.v1 import registry_service_pb2 as registry_pb2
from sidegate.api.registry.v1 import vpc_pb2
from sidegate.api.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from tests.support import identity
from tests.support.registry_service import RegistryWorld, running_registry


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[RegistryWorld]:
    async with running_registry(tmp_path) as running:
        yield running


async def test_a_vpc_is_shown_as_it_was_created(world: RegistryWorld) -> None:
    made = await world.payments.vpc("10.0.0.0/16", "192.168.0.0/24")
    assert (made.project, made.account, made.name, made.etag) == ("payments-live", "payments", "main", "1")
    assert list(made.cidrs) == ["10.0.0.0/16", "192.168.0.0/24"]
    assert made.HasField("create_time")
    assert await world.payments.ask(world.payments.stub.GetVpc, registry_pb2.GetVpcRequest(id=made.id)) == made


async def test_two_projects_use_the_same_name_and_range(world: RegistryWorld) -> None:
    ours, theirs = await world.payments.vpc(), await world.shop.vpc()
    assert ours.id != theirs.id
    assert list(ours.cidrs) == list(theirs.cidrs)


@pytest.mark.parametrize(
    ("cidrs", "field"),
    [
        (["ten"], "vpc.cidrs[0]"),
        (["10.0.0.0/24", "10.0.1.1/24"], "vpc.cidrs[1]"),
        (["10.0.0.0/16", "10.0.4.0/24"], "vpc.cidrs[1]"),
        (["198.19.128.0/24"], "vpc.cidrs[0]"),
        (["fd00::1/64"], "vpc.cidrs[0]"),
        (["10.0.0.0/24", "fd00::/64", "fd00::/48"], "vpc.cidrs[2]"),
        (["fd73:6964:6567:6174::/64"], "vpc.cidrs[0]"),
    ],
)
async def test_a_bad_range_is_refused_with_its_field(world: RegistryWorld, cidrs: list[str], field: str) -> None:
    with pytest.raises(errors.InvalidRequest) as refused:
        await world.payments.vpc(*cidrs)
    assert refused.value.field == field
    assert (await world.store.head()).position == 0


async def test_a_name_is_taken_once_and_free_again(world: RegistryWorld) -> None:
    made = await world.payments.vpc()
    with pytest.raises(errors.AlreadyExists) as refused:
        await world.payments.vpc("10.1.0.0/24")
    assert (refused.value.reason, refused.value.field) == ("NAME_TAKEN", "vpc.name")
    await delete_vpc(world, made)
    await world.payments.vpc("10.1.0.0/24")


async def test_the_etag_of_a_vpc_changes_with_its_subnets(world: RegistryWorld) -> None:
    made = await world.payments.vpc()
    subnet = await world.payments.subnet(made)
    listed = await world.payments.ask(world.payments.stub.ListVpcs, registry_pb2.ListVpcsRequest())
    assert [vpc.etag for vpc in listed.vpcs] == ["2"]
    await delete_subnet(world, subnet)
    with pytest.raises(errors.Outdated):
        await delete_vpc(world, made, etag="2")
    await delete_vpc(world, made, etag="3")


async def test_a_deleted_vpc_is_gone(world: RegistryWorld) -> None:
    made = await world.payments.vpc()
    await delete_vpc(world, made)
    with pytest.raises(errors.NotFound):
        await world.payments.ask(world.payments.stub.GetVpc, registry_pb2.GetVpcRequest(id=made.id))
    with pytest.raises(errors.NotFound):
        await delete_vpc(world, made)
    with pytest.raises(errors.NotFound):
        await world.payments.subnet(made)


async def test_a_vpc_in_use_is_not_deleted_and_its_users_are_named(world: RegistryWorld) -> None:
    vpc = await world.payments.vpc()
    subnet = await world.payments.subnet(vpc)
    assert await blockers(world, vpc) == [subnet.id]
    await delete_subnet(world, subnet)
    service = await world.payments.service(vpc)
    attachment = await world.operator.attachment(vpc.id)
    assert await blockers(world, vpc) == [service.id, attachment.id]
    await world.payments.delete_service(service.id)
    assert await blockers(world, vpc) == [attachment.id]
    await world.operator.ask(
        world.operator.stub.DeleteAttachment, registry_pb2.DeleteAttachmentRequest(id=attachment.id)
    )
    await delete_vpc(world, vpc)


async def test_a_subnet_lies_in_its_vpc_and_apart_from_others(world: RegistryWorld) -> None:
    vpc = await world.payments.vpc()
    made = await world.payments.subnet(vpc, "10.0.0.0/25", "a")
    assert (made.vpc_id, made.project, made.account) == (vpc.id, "payments-live", "payments")
    assert made.gateway_address == "10.0.0.1"
    for cidr in ("10.0.0.0/26", "10.0.1.0/25", "10.0.0.130/25", "nonsense/9"):
        with pytest.raises(errors.InvalidRequest) as refused:
            await world.payments.subnet(vpc, cidr, "b")
        assert refused.value.field == "subnet.cidr"
    with pytest.raises(errors.AlreadyExists) as taken:
        await world.payments.subnet(vpc, "10.0.0.128/25", "a")
    assert taken.value.field == "subnet.name"


async def test_a_subnet_with_addresses_in_use_is_not_deleted_and_its_ports_are_named(world: RegistryWorld) -> None:
    subnet = await world.payments.subnet(await world.payments.vpc())
    port = await world.payments.port(subnet)
    with pytest.raises(errors.WrongState) as refused:
        await delete_subnet(world, subnet)
    assert (refused.value.reason, refused.value.blockers) == ("SUBNET_IN_USE", (port.id,))
    await delete_port(world, port)
    await delete_subnet(world, subnet)
    with pytest.raises(errors.NotFound):
        await world.payments.port(subnet)


async def test_a_full_subnet_names_only_some_of_its_ports(world: RegistryWorld) -> None:
    subnet = await world.payments.subnet(await world.payments.vpc(), "10.0.0.0/26")
    await asyncio.gather(*(world.payments.port(subnet) for _ in range(61)))
    with pytest.raises(errors.WrongState) as in_use:
        await delete_subnet(world, subnet)
    assert len(in_use.value.blockers) == 20
    with pytest.raises(errors.QuotaReached) as full:
        await world.payments.port(subnet)
    assert full.value.reason == "SUBNET_FULL"


async def test_ports_take_the_lowest_free_address_or_the_one_wanted(world: RegistryWorld) -> None:
    subnet = await world.payments.subnet(await world.payments.vpc())
    first = await world.payments.port(subnet)
    wanted = await world.payments.port(subnet, "10.0.0.3")
    third = await world.payments.port(subnet)
    assert [port.address for port in (first, wanted, third)] == ["10.0.0.2", "10.0.0.3", "10.0.0.4"]
    await delete_port(world, first)
    assert (await world.payments.port(subnet)).address == "10.0.0.2"


@pytest.mark.parametrize("address", ["10.0.0.0", "10.0.0.1", "10.0.0.255", "10.0.1.2", "10.0.0.300", "fd00::1"])
async def test_an_address_that_nobody_can_have_is_refused_with_its_field(world: RegistryWorld, address: str) -> None:
    subnet = await world.payments.subnet(await world.payments.vpc())
    with pytest.raises(errors.InvalidRequest) as refused:
        await world.payments.port(subnet, address)
    assert refused.value.field == "port.address"


async def test_an_address_in_use_is_refused(world: RegistryWorld) -> None:
    subnet = await world.payments.subnet(await world.payments.vpc())
    await world.payments.port(subnet, "10.0.0.10")
    with pytest.raises(errors.AlreadyExists) as refused:
        await world.payments.port(subnet, "10.0.0.10")
    assert (refused.value.reason, refused.value.field) == ("ADDRESS_TAKEN", "port.address")


async def test_nobody_but_the_platform_takes_an_address_for_an_endpoint(world: RegistryWorld) -> None:
    subnet = await world.payments.subnet(await world.payments.vpc())
    with pytest.raises(errors.InvalidRequest) as refused:
        await world.payments.port(subnet, holder=f"endpoint/{uuid4()}")
    assert refused.value.field == "port.holder"


async def test_only_the_operator_attaches_vpcs_and_sees_attachments(world: RegistryWorld) -> None:
    vpc = await world.payments.vpc()
    made = await world.operator.attachment(vpc.id)
    assert (made.cell, made.netns.namespace, made.netns.device) == ("default", "payments", "sidegate0")
    stub, get = world.payments.stub, registry_pb2.GetAttachmentRequest(id=made.id)
    assert await world.operator.ask(world.operator.stub.GetAttachment, get) == made
    with pytest.raises(errors.NotFound):
        await world.payments.attachment(vpc.id)
    with pytest.raises(errors.NotFound):
        await world.payments.ask(stub.GetAttachment, get)
    with pytest.raises(errors.NotFound):
        await world.payments.ask(stub.ListAttachments, registry_pb2.ListAttachmentsRequest())
    with pytest.raises(errors.NotFound):
        await world.payments.ask(stub.DeleteAttachment, registry_pb2.DeleteAttachmentRequest(id=made.id))


async def test_a_target_and_a_vpc_are_attached_once_in_a_cell(world: RegistryWorld) -> None:
    ours, theirs = await world.payments.vpc(), await world.shop.vpc()
    await world.operator.attachment(ours.id, "payments")
    with pytest.raises(errors.AlreadyExists) as target:
        await world.operator.attachment(theirs.id, "payments")
    assert target.value.reason == "TARGET_TAKEN"
    with pytest.raises(errors.AlreadyExists) as twice:
        await world.operator.attachment(ours.id, "elsewhere")
    assert twice.value.reason == "VPC_ATTACHED"
    await world.operator.attachment(ours.id, "payments", "east")
    await world.operator.attachment(theirs.id, "shop")


async def test_an_attachment_leads_to_a_vpc_that_is_there(world: RegistryWorld) -> None:
    with pytest.raises(errors.NotFound):
        await world.operator.attachment(str(uuid4()))


async def test_the_operator_sees_every_vpc_and_changes_only_its_own(world: RegistryWorld) -> None:
    ours, theirs = await world.payments.vpc(), await world.shop.vpc()
    listed = await world.operator.ask(world.operator.stub.ListVpcs, registry_pb2.ListVpcsRequest())
    assert [vpc.id for vpc in listed.vpcs] == [ours.id, theirs.id]
    assert await world.operator.ask(world.operator.stub.GetVpc, registry_pb2.GetVpcRequest(id=ours.id)) == ours
    with pytest.raises(errors.NotFound):
        await world.operator.ask(world.operator.stub.DeleteVpc, registry_pb2.DeleteVpcRequest(id=ours.id))


async def test_lists_have_pages_in_order_of_creation(world: RegistryWorld) -> None:
    vpc = await world.payments.vpc()
    subnet = await world.payments.subnet(vpc)
    made = [await world.payments.port(subnet) for _ in range(5)]
    await world.shop.port(await world.shop.subnet(await world.shop.vpc()))
    request = registry_pb2.ListPortsRequest(page_size=2)
    pages = world.payments.pages(world.payments.stub.ListPorts, request)
    assert [list(page.ports) async for page in pages] == [made[at : at + 2] for at in (0, 2, 4)]


async def test_a_page_token_of_another_list_is_refused(world: RegistryWorld) -> None:
    subnet = await world.payments.subnet(await world.payments.vpc())
    for _ in range(2):
        await world.payments.port(subnet)
    stub = world.payments.stub
    first = await world.payments.ask(stub.ListPorts, registry_pb2.ListPortsRequest(page_size=1))
    for token in (first.next_page_token, "nonsense"):
        request = registry_pb2.ListPortsRequest(page_size=1, page_token=token, subnet_id=subnet.id)
        with pytest.raises(errors.InvalidRequest) as refused:
            await world.payments.ask(stub.ListPorts, request)
        assert refused.value.field == "page_token"


async def test_lists_are_filtered_by_what_their_resources_are_a_part_of(world: RegistryWorld) -> None:
    one, other = await world.payments.vpc(name="one"), await world.payments.vpc(name="other")
    subnets = [await world.payments.subnet(vpc) for vpc in (one, other)]
    ports = [await world.payments.port(subnet) for subnet in subnets]
    attachments = [
        await world.operator.attachment(vpc.id, namespace) for vpc, namespace in ((one, "one"), (other, "other"))
    ]
    ask, stub = world.payments.ask, world.payments.stub
    found = await ask(stub.ListSubnets, registry_pb2.ListSubnetsRequest(vpc_id=other.id))
    assert list(found.subnets) == subnets[1:]
    in_subnet = await ask(stub.ListPorts, registry_pb2.ListPortsRequest(subnet_id=subnets[0].id))
    assert list(in_subnet.ports) == ports[:1]
    operating = world.operator
    of_vpc = await operating.ask(operating.stub.ListAttachments, registry_pb2.ListAttachmentsRequest(vpc_id=other.id))
    assert list(of_vpc.attachments) == attachments[1:]


async def test_a_caller_without_a_token_is_told_to_get_one(world: RegistryWorld) -> None:
    async with identity.channel(world.address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await RegistryServiceStub(channel).ListVpcs(registry_pb2.ListVpcsRequest(), timeout=5)
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def delete_vpc(world: RegistryWorld, vpc: vpc_pb2.Vpc, etag: str = "") -> None:
    await world.payments.ask(world.payments.stub.DeleteVpc, registry_pb2.DeleteVpcRequest(id=vpc.id, etag=etag))


async def delete_subnet(world: RegistryWorld, subnet: vpc_pb2.Subnet) -> None:
    await world.payments.ask(world.payments.stub.DeleteSubnet, registry_pb2.DeleteSubnetRequest(id=subnet.id))


async def delete_port(world: RegistryWorld, port: vpc_pb2.Port) -> None:
    await world.payments.ask(world.payments.stub.DeletePort, registry_pb2.DeletePortRequest(id=port.id))


async def blockers(world: RegistryWorld, vpc: vpc_pb2.Vpc) -> list[str]:
    with pytest.raises(errors.WrongState) as refused:
        await delete_vpc(world, vpc)
    assert refused.value.reason == "VPC_IN_USE"
    return list(refused.value.blockers)
