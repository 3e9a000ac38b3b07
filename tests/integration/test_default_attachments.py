"""VPCs that tenants make are attached as the operator has said, in the same append, and by nobody else's hand."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from services.common.eventsourcing.rebuild import rebuild_holdings
from services.common.principal import OPERATOR
from sidegate import errors
from sidegate.api.registry.v1 import registry_service_pb2 as registry_pb2
from sidegate.api.registry.v1 import vpc_pb2
from sidegate.transport import Caller
from tests.support import identity
from tests.support.registry_service import Client, RegistryWorld, running_registry
from tests.support.stores import LOGS

NAMESPACES = vpc_pb2.DefaultAttachment(netns=vpc_pb2.NetnsPattern(namespace="net-{vpc_id}"))
SEGMENTS = vpc_pb2.DefaultAttachment(
    vxlan=vpc_pb2.VxlanRange(first_vni=100, last_vni=107, remotes=["192.0.2.10"]), cell="west"
)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[RegistryWorld]:
    async with running_registry(tmp_path) as running:
        yield running


async def set_default(world: RegistryWorld, default: vpc_pb2.DefaultAttachment) -> vpc_pb2.DefaultAttachment:
    request = registry_pb2.SetDefaultAttachmentRequest(default_attachment=default)
    return await world.operator.ask(world.operator.stub.SetDefaultAttachment, request)


async def attachments(world: RegistryWorld, vpc_id: str = "") -> list[vpc_pb2.Attachment]:
    request = registry_pb2.ListAttachmentsRequest(vpc_id=vpc_id, page_size=1000)
    return list((await world.operator.ask(world.operator.stub.ListAttachments, request)).attachments)


async def delete_vpc(client: Client, id_: str) -> None:
    await client.ask(client.stub.DeleteVpc, registry_pb2.DeleteVpcRequest(id=id_))


async def delete_attachment(world: RegistryWorld, id_: str) -> None:
    await world.operator.ask(world.operator.stub.DeleteAttachment, registry_pb2.DeleteAttachmentRequest(id=id_))


async def test_a_tenants_vpc_is_attached_in_each_cell_in_the_append_that_makes_it(world: RegistryWorld) -> None:
    await set_default(world, NAMESPACES)
    await set_default(world, SEGMENTS)
    before = (await world.store.head()).position
    vpc = await world.shop.vpc()
    events = await world.store.read(before, 10)
    assert [event.type.removeprefix("registry.v1.") for event in events] == ["VpcCreated", *["AttachmentCreated"] * 2]
    assert len({(event.stream, event.meta) for event in events}) == 1
    first, second = await attachments(world, vpc.id)
    assert (first.cell, first.netns.namespace, first.by_default) == ("default", f"net-{vpc.id}", True)
    assert second.cell == "west"
    assert 100 <= second.vxlan.vni <= 107
    assert vpc.etag == "3"


async def test_a_vpc_that_the_operator_makes_is_the_operators_to_attach(world: RegistryWorld) -> None:
    await set_default(world, NAMESPACES)
    names = (("sidegate-account", "shop"), ("sidegate-project", "shop-live"))
    acting = Caller(world.address, identity.Bearing(identity.token(OPERATOR), *names))
    try:
        wanted = vpc_pb2.Vpc(name="for-shop", cidrs=["10.0.0.0/24"])
        vpc = await acting.ask(world.shop.stub.CreateVpc, registry_pb2.CreateVpcRequest(vpc=wanted))
    finally:
        await acting.close()
    assert vpc.account == "shop"
    await world.operator.vpc()
    assert await attachments(world) == []
    assert (await world.operator.attachment(vpc.id)).by_default is False


async def test_what_was_there_before_a_default_was_set_stays_as_it_is(world: RegistryWorld) -> None:
    before = await world.shop.vpc()
    await set_default(world, NAMESPACES)
    assert await attachments(world, before.id) == []


async def test_a_default_is_replaced_listed_and_taken_away(world: RegistryWorld) -> None:
    ask, stub = world.operator.ask, world.operator.stub
    made = await set_default(world, NAMESPACES)
    assert (made.cell, made.netns.device) == ("default", "sidegate0")
    assert await set_default(world, NAMESPACES) == made
    await set_default(world, SEGMENTS)
    listed = await ask(stub.ListDefaultAttachments, registry_pb2.ListDefaultAttachmentsRequest())
    assert [each.cell for each in listed.default_attachments] == ["default", "west"]
    attached = await world.shop.vpc()
    await ask(stub.DeleteDefaultAttachment, registry_pb2.DeleteDefaultAttachmentRequest())
    await ask(stub.DeleteDefaultAttachment, registry_pb2.DeleteDefaultAttachmentRequest(cell="west"))
    assert len(await attachments(world, attached.id)) == 2
    assert await attachments(world, (await world.shop.vpc(name="later")).id) == []
    with pytest.raises(errors.NotFound, match="west"):
        await ask(stub.DeleteDefaultAttachment, registry_pb2.DeleteDefaultAttachmentRequest(cell="west"))


async def test_the_first_start_says_it_once_and_what_was_taken_away_stays_so(world: RegistryWorld) -> None:
    defaults = world.registry.defaults
    await defaults.begin("default", "first-{vpc_id}", time.time_ns())
    await defaults.begin("default", "second-{vpc_id}", time.time_ns())
    (attached,) = await attachments(world, (await world.shop.vpc()).id)
    assert attached.netns.namespace.startswith("first-")
    request = registry_pb2.DeleteDefaultAttachmentRequest()
    await world.operator.ask(world.operator.stub.DeleteDefaultAttachment, request)
    await defaults.begin("default", "third-{vpc_id}", time.time_ns())
    assert await attachments(world, (await world.shop.vpc(name="later")).id) == []


@pytest.mark.parametrize("database", LOGS)
async def test_no_two_vpcs_get_one_segment_however_many_are_made_at_once(database: str, tmp_path: Path) -> None:
    with LOGS[database](tmp_path) as where:
        async with running_registry(tmp_path, where=where) as world:
            await set_default(world, SEGMENTS)
            made = await asyncio.gather(
                *(world.shop.vpc(name=f"vpc-{number}") for number in range(12)), return_exceptions=True
            )
            vpcs = [each for each in made if isinstance(each, vpc_pb2.Vpc)]
            refused = [each for each in made if isinstance(each, BaseException)]
            assert sorted(each.vxlan.vni for each in await attachments(world)) == list(range(100, 108))
            assert len(vpcs) == 8
            assert all(isinstance(each, errors.QuotaReached) for each in refused)
            await delete_vpc(world.shop, vpcs[0].id)
            assert (await world.shop.vpc(name="one-more")).id
            events = await world.store.read(0, 1000)
            assert rebuild_holdings(events, world.registry.streams.meaning()) == await world.store.holdings()


async def test_a_refusal_says_nothing_of_the_operators_networks(world: RegistryWorld) -> None:
    one = vpc_pb2.VxlanRange(first_vni=4711, last_vni=4711, remotes=["192.0.2.10"])
    await set_default(world, vpc_pb2.DefaultAttachment(vxlan=one))
    await world.shop.vpc()
    with pytest.raises(errors.QuotaReached) as refused:
        await world.shop.vpc(name="second")
    assert not any(word in str(refused.value) for word in ("4711", "vxlan", "VXLAN", "192.0.2.10"))


async def test_attachments_by_default_go_with_their_vpc_and_others_stand_in_the_way(world: RegistryWorld) -> None:
    await set_default(world, NAMESPACES)
    vpc = await world.shop.vpc()
    by_hand = await world.operator.attachment(vpc.id, "other", "west")
    with pytest.raises(errors.WrongState) as refused:
        await delete_vpc(world.shop, vpc.id)
    assert by_hand.id in refused.value.blockers
    assert len(await attachments(world, vpc.id)) == 2, "a refused deletion detaches nothing"
    await delete_attachment(world, by_hand.id)
    await delete_vpc(world.shop, vpc.id)
    assert await attachments(world) == []


async def test_the_operator_takes_one_away_and_attaches_the_vpc_otherwise(world: RegistryWorld) -> None:
    await set_default(world, NAMESPACES)
    vpc = await world.shop.vpc()
    (attached,) = await attachments(world, vpc.id)
    with pytest.raises(errors.AlreadyExists, match="attached in cell default already"):
        await world.operator.attachment(vpc.id, "mine")
    await delete_attachment(world, attached.id)
    assert (await world.operator.attachment(vpc.id, "mine")).netns.namespace == "mine"
    with pytest.raises(errors.NotFound):
        await delete_attachment(world, attached.id)


async def test_a_tenant_neither_sees_nor_sets_a_default(world: RegistryWorld) -> None:
    await set_default(world, NAMESPACES)
    stub = world.shop.stub
    with pytest.raises(errors.NotFound):
        await world.shop.ask(stub.ListDefaultAttachments, registry_pb2.ListDefaultAttachmentsRequest())
    with pytest.raises(errors.NotFound):
        request = registry_pb2.SetDefaultAttachmentRequest(default_attachment=NAMESPACES)
        await world.shop.ask(stub.SetDefaultAttachment, request)
    with pytest.raises(errors.NotFound):
        await world.shop.ask(stub.DeleteDefaultAttachment, registry_pb2.DeleteDefaultAttachmentRequest())


@pytest.mark.parametrize("namespace", ["shop", "x" * 28 + "{vpc_id}x", "../{vpc_id}", "{vpc_id}-{vpc_id}"])
async def test_a_pattern_names_one_namespace_for_each_vpc(world: RegistryWorld, namespace: str) -> None:
    with pytest.raises(errors.InvalidRequest):
        await set_default(world, vpc_pb2.DefaultAttachment(netns=vpc_pb2.NetnsPattern(namespace=namespace)))


async def test_vpcs_and_subnets_change_in_what_their_owner_names(world: RegistryWorld) -> None:
    shop = world.shop
    vpc = await shop.vpc("10.0.0.0/24")
    subnet = await shop.subnet(vpc)
    wanted = vpc_pb2.Vpc(id=vpc.id, name="store", cidrs=["10.0.0.0/24", "10.1.0.0/24"], description="not named")
    request = registry_pb2.UpdateVpcRequest(vpc=wanted, update_mask=FieldMask(paths=["name", "cidrs"]))
    changed = await shop.ask(shop.stub.UpdateVpc, request)
    assert (changed.name, list(changed.cidrs), changed.description) == ("store", list(wanted.cidrs), "")
    assert await shop.ask(shop.stub.GetVpc, registry_pb2.GetVpcRequest(id=vpc.id)) == changed
    said = vpc_pb2.Subnet(id=subnet.id, description="front", dns_servers=["10.0.0.53"])
    mask = FieldMask(paths=["description", "dns_servers"])
    told = await shop.ask(shop.stub.UpdateSubnet, registry_pb2.UpdateSubnetRequest(subnet=said, update_mask=mask))
    assert (told.description, list(told.dns_servers), told.name) == ("front", ["10.0.0.53"], subnet.name)
    assert await shop.ask(shop.stub.GetSubnet, registry_pb2.GetSubnetRequest(id=subnet.id)) == told
    with pytest.raises(errors.NotFound):
        await world.payments.ask(world.payments.stub.UpdateVpc, request)
    with pytest.raises(errors.NotFound):
        other = registry_pb2.UpdateSubnetRequest(subnet=said, update_mask=mask)
        await world.payments.ask(world.payments.stub.UpdateSubnet, other)


@pytest.mark.parametrize(
    ("vpc", "path"),
    [
        (vpc_pb2.Vpc(name="no blanks"), "name"),
        (vpc_pb2.Vpc(), "cidrs"),
        (vpc_pb2.Vpc(cidrs=["10.9.0.0/24"] * 9), "cidrs"),
        (vpc_pb2.Vpc(description="<b>"), "description"),
        (vpc_pb2.Vpc(), "owner"),
        (vpc_pb2.Vpc(), ""),
    ],
)
async def test_what_a_vpc_cannot_become_is_refused(world: RegistryWorld, vpc: vpc_pb2.Vpc, path: str) -> None:
    vpc.id = (await world.shop.vpc()).id
    request = registry_pb2.UpdateVpcRequest(vpc=vpc, update_mask=FieldMask(paths=[path]))
    with pytest.raises(errors.InvalidRequest):
        await world.shop.ask(world.shop.stub.UpdateVpc, request)
