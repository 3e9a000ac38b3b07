"""A request that is repeated is answered alike, and done once."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from sidegate import errors
from sidegate.api.registry.v1 import registry_service_pb2 as registry_pb2
from sidegate.api.registry.v1 import vpc_pb2
from sidegate.api.registry.v1.endpoint_service_pb2 import EndpointService
from tests.support.registry_service import Client, RegistryWorld, running_registry
from tests.support.stores import LOGS


@dataclass(frozen=True)
class Scene:
    """One resource of every kind, and nothing that stands in the way of what is tried."""

    world: RegistryWorld
    vpc: vpc_pb2.Vpc
    empty_vpc: vpc_pb2.Vpc
    subnet: vpc_pb2.Subnet
    empty_subnet: vpc_pb2.Subnet
    port: vpc_pb2.Port
    attachment: vpc_pb2.Attachment
    service: EndpointService


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with running_registry(tmp_path) as world:
        payments = world.payments
        vpc, empty = await payments.vpc("10.0.0.0/16"), await payments.vpc(name="empty")
        subnet = await payments.subnet(vpc)
        yield Scene(
            world,
            vpc,
            empty,
            subnet,
            await payments.subnet(vpc, "10.0.1.0/24", "empty"),
            await payments.port(subnet),
            await world.operator.attachment(vpc.id),
            await payments.service(vpc),
        )


NAMESPACES = vpc_pb2.DefaultAttachment(netns=vpc_pb2.NetnsPattern(namespace="net-{vpc_id}"))
Write = Callable[[Scene, str], Awaitable[Message]]


def delete(client: Client, kind: str, request: Message) -> Awaitable[Message]:
    return client.ask(getattr(client.stub, f"Delete{kind}"), request)


WRITES: dict[str, Write] = {
    "CreateVpc": lambda scene, id_: scene.world.payments.vpc(name="new", request_id=id_),
    "UpdateVpc": lambda scene, id_: scene.world.payments.ask(
        scene.world.payments.stub.UpdateVpc,
        registry_pb2.UpdateVpcRequest(
            vpc=vpc_pb2.Vpc(id=scene.vpc.id, name="other"), update_mask=FieldMask(paths=["name"]), request_id=id_
        ),
    ),
    "UpdateSubnet": lambda scene, id_: scene.world.payments.ask(
        scene.world.payments.stub.UpdateSubnet,
        registry_pb2.UpdateSubnetRequest(
            subnet=vpc_pb2.Subnet(id=scene.subnet.id, name="other"),
            update_mask=FieldMask(paths=["name"]),
            request_id=id_,
        ),
    ),
    "SetDefaultAttachment": lambda scene, id_: scene.world.operator.ask(
        scene.world.operator.stub.SetDefaultAttachment,
        registry_pb2.SetDefaultAttachmentRequest(default_attachment=NAMESPACES, request_id=id_),
    ),
    "DeleteVpc": lambda scene, id_: delete(
        scene.world.payments, "Vpc", registry_pb2.DeleteVpcRequest(id=scene.empty_vpc.id, request_id=id_)
    ),
    "CreateSubnet": lambda scene, id_: scene.world.payments.subnet(scene.vpc, "10.0.2.0/24", "new", id_),
    "DeleteSubnet": lambda scene, id_: delete(
        scene.world.payments, "Subnet", registry_pb2.DeleteSubnetRequest(id=scene.empty_subnet.id, request_id=id_)
    ),
    "CreatePort": lambda scene, id_: scene.world.payments.port(scene.subnet, request_id=id_),
    "CreatePort of an address": lambda scene, id_: scene.world.payments.port(scene.subnet, "10.0.0.99", request_id=id_),
    "DeletePort": lambda scene, id_: delete(
        scene.world.payments, "Port", registry_pb2.DeletePortRequest(id=scene.port.id, request_id=id_)
    ),
    "CreateAttachment": lambda scene, id_: scene.world.operator.attachment(
        scene.vpc.id, "other", "east", request_id=id_
    ),
    "DeleteAttachment": lambda scene, id_: delete(
        scene.world.operator,
        "Attachment",
        registry_pb2.DeleteAttachmentRequest(id=scene.attachment.id, request_id=id_),
    ),
    "CreateEndpointService": lambda scene, id_: scene.world.payments.service(scene.vpc, "new", request_id=id_),
    "UpdateEndpointService": lambda scene, id_: scene.world.payments.change_service(
        EndpointService(id=scene.service.id, approval_required=True), "approval_required", request_id=id_
    ),
    "UpdateEndpointService to the same": lambda scene, id_: scene.world.payments.change_service(
        EndpointService(id=scene.service.id), "approval_required", request_id=id_
    ),
    "DeleteEndpointService": lambda scene, id_: scene.world.payments.delete_service(scene.service.id, request_id=id_),
    "AddPermissions": lambda scene, id_: scene.world.payments.permit(scene.service.id, "shop", request_id=id_),
}


@pytest.mark.parametrize("name", WRITES)
async def test_a_request_repeated_is_answered_alike_and_done_once(scene: Scene, name: str) -> None:
    first = await WRITES[name](scene, "request-1")
    head = await scene.world.store.head()
    assert (await WRITES[name](scene, "request-1")).SerializeToString() == first.SerializeToString()
    assert await scene.world.store.head() == head


@pytest.mark.parametrize("name", ["CreateVpc", "CreatePort", "CreateEndpointService", "AddPermissions"])
async def test_a_request_is_answered_alike_when_its_resource_is_another_by_now(scene: Scene, name: str) -> None:
    first = await WRITES[name](scene, "request-1")
    await scene.world.payments.forbid(scene.service.id, "shop")
    await scene.world.payments.delete_service(scene.service.id)
    if isinstance(first, EndpointService):
        await scene.world.payments.delete_service(first.id)
    assert (await WRITES[name](scene, "request-1")).SerializeToString() == first.SerializeToString()


async def test_a_request_id_is_not_taken_for_another_command(scene: Scene) -> None:
    await scene.world.payments.vpc(name="one", request_id="request-1")
    with pytest.raises(errors.InvalidRequest) as refused:
        await scene.world.payments.vpc(name="two", request_id="request-1")
    assert refused.value.field == "request_id"
    await scene.world.shop.vpc(name="two", request_id="request-1")


async def test_a_refused_request_is_not_remembered(scene: Scene) -> None:
    with pytest.raises(errors.AlreadyExists):
        await scene.world.payments.vpc(name="empty", request_id="request-1")
    await delete(scene.world.payments, "Vpc", registry_pb2.DeleteVpcRequest(id=scene.empty_vpc.id))
    assert (await scene.world.payments.vpc(name="empty", request_id="request-1")).name == "empty"


async def test_who_did_what_stands_beside_every_event(scene: Scene) -> None:
    await scene.world.payments.permit(scene.service.id, "shop", request_id="request-1")
    *_, last = await scene.world.store.read(0, 1000)
    assert last.type == "registry.v1.PermissionsAdded"
    assert all(word in last.meta for word in (b"payments", b"payments-live", b"AddPermissions", b"request-1"))


@pytest.mark.parametrize("database", LOGS)
async def test_what_cannot_be_printed_is_refused_or_not_there_whatever_the_database(
    database: str, tmp_path: Path
) -> None:
    with LOGS[database](tmp_path) as where:
        async with running_registry(tmp_path, where=where) as world:
            with pytest.raises(errors.InvalidRequest) as refused:
                await world.payments.vpc(request_id="a\0b")
            assert refused.value.field == "request_id"
            with pytest.raises(errors.NotFound):
                await world.payments.look_up("a\0b")
