"""Endpoint services, through the registry's interface: published, changed, permitted, found, deleted."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from services.common.clock import SECOND, now
from services.registry.policies import Upkeep
from sidegate import errors
from sidegate.api.registry.v1 import registry_service_pb2 as registry_pb2
from sidegate.api.registry.v1.endpoint_service_pb2 import Backend, EndpointService, PortMapping
from sidegate.api.registry.v1.listing_pb2 import LIST_ORDER_UPDATE_TIME, TagFilter, TagMatch
from sidegate.api.registry.v1.tag_pb2 import Tag
from tests.support.registry_service import Client, RegistryWorld, running_registry

AVAILABLE, CLOSING = EndpointService.STATE_AVAILABLE, EndpointService.STATE_CLOSING
DELETING, DELETED = EndpointService.STATE_DELETING, EndpointService.STATE_DELETED


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[RegistryWorld]:
    async with running_registry(tmp_path) as running:
        yield running


async def published(world: RegistryWorld, *accounts: str) -> EndpointService:
    made = await world.payments.service(await world.payments.vpc())
    return await world.payments.permit(made.id, *accounts) if accounts else made


async def test_a_service_is_open_once_it_is_created(world: RegistryWorld) -> None:
    made = await published(world)
    assert made.state == AVAILABLE
    assert (made.project, made.account, made.version, made.etag) == ("payments-live", "payments", 2, "2")
    assert made.full_name == f"local.web.{made.id}"
    assert made.port_mappings[0].protocol == PortMapping.PROTOCOL_TCP
    assert await world.payments.get_service(made.id) == made
    listed = await world.payments.ask(
        world.payments.stub.ListEndpointServices, registry_pb2.ListEndpointServicesRequest()
    )
    assert list(listed.endpoint_services) == [made]


async def test_a_backend_given_by_its_port_has_the_ports_address(world: RegistryWorld) -> None:
    vpc = await world.payments.vpc()
    port = await world.payments.port(await world.payments.subnet(vpc), "10.0.0.77")
    made = await world.payments.service(vpc, backends=[Backend(port_id=port.id)])
    assert [backend.address for backend in made.backends] == ["10.0.0.77"]


async def test_a_bad_backend_is_named_by_its_field(world: RegistryWorld) -> None:
    vpc = await world.payments.vpc()
    port = await world.payments.port(await world.payments.subnet(vpc), "10.0.0.77")
    foreign = await world.shop.port(await world.shop.subnet(await world.shop.vpc()), "10.0.0.78")
    first = Backend(address="10.0.0.77")
    for backend, field in (
        (Backend(address="10.0.1.77"), "endpoint_service.backends[1].address"),
        (Backend(address="10.0.0.77"), "endpoint_service.backends[1]"),
        (Backend(address="10.0.0.77", weight=3), "endpoint_service.backends[1]"),
        (Backend(address="10.0.0.78", weight=101), "endpoint_service.backends[1].weight"),
        (Backend(address="10.0.0.78", weight=-1), "endpoint_service.backends[1].weight"),
        (Backend(port_id=port.id), "endpoint_service.backends[1]"),
        (Backend(port_id=str(uuid4())), "endpoint_service.backends[1].port_id"),
        (Backend(port_id=foreign.id), "endpoint_service.backends[1].port_id"),
    ):
        with pytest.raises(errors.InvalidRequest) as refused:
            await world.payments.service(vpc, backends=[first, backend])
        assert refused.value.field == field


async def test_a_backend_has_weight_1_where_none_is_said_and_may_be_draining(world: RegistryWorld) -> None:
    vpc = await world.payments.vpc()
    asked = [Backend(address="10.0.0.77"), Backend(address="10.0.0.78", weight=100, draining=True)]
    made = await world.payments.service(vpc, backends=asked)
    assert [(each.weight, each.draining) for each in made.backends] == [(1, False), (100, True)]
    assert (await world.payments.get_service(made.id)).backends == made.backends
    wanted = EndpointService(id=made.id, backends=[Backend(address="10.0.0.77", weight=1), asked[1]])
    assert (await world.payments.change_service(wanted, "backends")).version == made.version, "0 stands for 1"
    wanted.backends[1].draining = False
    assert (await world.payments.change_service(wanted, "backends")).version == made.version + 1


async def test_a_name_is_taken_once_in_a_project(world: RegistryWorld) -> None:
    vpc = await world.payments.vpc()
    await world.payments.service(vpc)
    with pytest.raises(errors.AlreadyExists) as refused:
        await world.payments.service(vpc)
    assert (refused.value.reason, refused.value.field) == ("NAME_TAKEN", "endpoint_service.name")
    await world.shop.service(await world.shop.vpc())


async def test_only_what_the_mask_names_is_changed(world: RegistryWorld) -> None:
    made = await published(world)
    wanted = EndpointService(
        id=made.id,
        backends=[Backend(address="10.0.0.20"), Backend(address="10.0.0.21")],
        port_mappings=[PortMapping(client_port=53, server_port=5353, protocol=PortMapping.PROTOCOL_UDP)],
        approval_required=True,
    )
    backends = await world.payments.change_service(wanted, "backends")
    assert [backend.address for backend in backends.backends] == ["10.0.0.20", "10.0.0.21"]
    assert backends.port_mappings == made.port_mappings
    assert not backends.approval_required
    whole = await world.payments.change_service(wanted, "port_mappings", "approval_required")
    assert (whole.port_mappings[0].client_port, whole.approval_required, whole.version) == (53, True, 4)
    assert (await world.payments.change_service(wanted, "backends", "approval_required")).version == 4


@pytest.mark.parametrize(
    ("wanted", "paths", "field"),
    [
        (EndpointService(), [], "update_mask"),
        (EndpointService(), ["vpc_id"], "update_mask"),
        (EndpointService(), ["backends"], "endpoint_service.backends"),
        (EndpointService(backends=[Backend()]), ["backends"], "endpoint_service.backends[0]"),
        (EndpointService(backends=[Backend(address="1")]), ["backends"], "endpoint_service.backends[0].address"),
        (EndpointService(backends=[Backend(address="9.9.9.9")]), ["backends"], "endpoint_service.backends[0].address"),
        (
            EndpointService(port_mappings=[PortMapping(client_port=70_000, server_port=1)]),
            ["port_mappings"],
            "endpoint_service.port_mappings[0].client_port",
        ),
        (
            EndpointService(port_mappings=[PortMapping(client_port=1, server_port=1)] * 2),
            ["port_mappings"],
            "endpoint_service.port_mappings[1].client_port",
        ),
    ],
)
async def test_a_bad_change_is_named_by_its_field(
    world: RegistryWorld, wanted: EndpointService, paths: list[str], field: str
) -> None:
    made = await published(world)
    request = EndpointService()
    request.CopyFrom(wanted)
    request.id = made.id
    with pytest.raises(errors.InvalidRequest) as refused:
        await world.payments.change_service(request, *paths)
    assert refused.value.field == field
    assert await world.payments.get_service(made.id) == made


async def test_a_change_from_an_old_version_is_refused(world: RegistryWorld) -> None:
    made = await published(world)
    wanted = EndpointService(id=made.id, etag=made.etag, approval_required=True)
    await world.payments.change_service(wanted, "approval_required")
    wanted.approval_required = False
    with pytest.raises(errors.Outdated):
        await world.payments.change_service(wanted, "approval_required")


async def test_permissions_are_kept_once_each(world: RegistryWorld) -> None:
    made = await published(world, "shop", "other")
    again = await world.payments.permit(made.id, "shop")
    assert list(again.permissions) == ["iam:domain::shop", "iam:domain::other"]
    assert again.version == made.version
    assert list((await world.payments.forbid(made.id, "shop", "nobody")).permissions) == ["iam:domain::other"]


async def test_a_permitted_account_finds_the_service_and_nothing_of_its_network(world: RegistryWorld) -> None:
    made = await published(world, "shop")
    for named in (made.id, made.full_name):
        found = await world.shop.look_up(named)
        assert (found.id, found.full_name) == (made.id, made.full_name)
        assert [(mapping.client_port, mapping.server_port) for mapping in found.port_mappings] == [(80, 0)]


async def test_everybody_finds_a_service_that_everybody_may_connect_to(world: RegistryWorld) -> None:
    made = await published(world, "*")
    assert (await world.shop.look_up(made.id)).id == made.id


@pytest.mark.parametrize("region", ["", "elsewhere."])
async def test_a_full_name_of_another_region_is_refused_in_a_sentence_that_names_both(
    world: RegistryWorld, region: str
) -> None:
    made = await published(world, "shop")
    for known in (made.id, str(uuid4())):
        with pytest.raises(errors.InvalidRequest) as refused:
            await world.shop.look_up(f"{region}web.{known}")
        asked = region.rstrip(".") or "web"
        assert refused.value.reason == "OTHER_REGION"
        assert f"is in the region {asked}, and this is local" in refused.value.text


@pytest.mark.parametrize("name", ["local.shop.{id}", "local.{id}", "{id}.", "local.web.x.{id}", "web", ""])
async def test_a_name_that_is_not_exactly_the_services_finds_nothing(world: RegistryWorld, name: str) -> None:
    made = await published(world, "shop")
    with pytest.raises((errors.NotFound, errors.InvalidRequest)) as refused:
        await world.shop.look_up(name.format(id=made.id))
    assert refused.value.reason in ("NOT_FOUND", "FIELD_INVALID")


async def test_a_service_without_connections_is_deleted_at_once(world: RegistryWorld) -> None:
    made = await published(world)
    deleted = await world.payments.delete_service(made.id)
    assert deleted.state == DELETED
    with pytest.raises(errors.NotFound):
        await world.payments.get_service(made.id)
    again = await world.payments.delete_service(made.id)
    assert again.state == DELETED
    vpcs = await world.payments.ask(world.payments.stub.ListVpcs, registry_pb2.ListVpcsRequest())
    await world.payments.service(vpcs.vpcs[0])


async def test_connections_stand_in_the_way_of_a_deletion_and_are_named(world: RegistryWorld) -> None:
    made = await published(world)
    endpoints = [str(uuid4()) for _ in range(30)]
    world.endpoints.live[made.id] = endpoints
    with pytest.raises(errors.WrongState) as refused:
        await world.payments.delete_service(made.id, request_id="delete-1")
    assert refused.value.reason == "SERVICE_IN_USE"
    assert list(refused.value.blockers) == endpoints[:20]
    assert (await world.payments.get_service(made.id)).state == AVAILABLE
    world.endpoints.live.clear()
    assert (await world.payments.delete_service(made.id, request_id="delete-1")).state == DELETED


async def test_a_forced_deletion_ends_once_the_connections_are_gone(world: RegistryWorld) -> None:
    made = await published(world)
    world.endpoints.live[made.id] = [str(uuid4())]
    assert (await world.payments.delete_service(made.id, force=True)).state == DELETING
    upkeep = Upkeep(world.registry.deletions, world.registry.reservations, now)
    await upkeep.once()
    assert (await world.payments.get_service(made.id)).state == DELETING
    world.endpoints.live.clear()
    await upkeep.once()
    with pytest.raises(errors.NotFound):
        await world.payments.get_service(made.id)


async def test_a_deletion_waits_for_the_endpoint_service_and_goes_on_when_it_is_back(world: RegistryWorld) -> None:
    made = await published(world)
    world.endpoints.away = True
    with pytest.raises(errors.Unavailable):
        await world.payments.delete_service(made.id)
    upkeep = Upkeep(world.registry.deletions, world.registry.reservations, now)
    await upkeep.once()
    assert (await world.payments.get_service(made.id)).state == CLOSING
    world.endpoints.away = False
    await upkeep.once()
    with pytest.raises(errors.NotFound):
        await world.payments.get_service(made.id)


async def test_a_deletion_that_is_not_decided_in_time_is_given_up(world: RegistryWorld) -> None:
    made = await published(world, "shop")
    world.endpoints.away = True
    with pytest.raises(errors.Unavailable):
        await world.payments.delete_service(made.id)
    with pytest.raises(errors.WrongState):
        await world.payments.permit(made.id, "other")
    later = Upkeep(world.registry.deletions, world.registry.reservations, lambda: now() + 31 * SECOND)
    await later.once()
    assert (await world.payments.get_service(made.id)).state == AVAILABLE


async def test_a_resumed_deletion_with_connections_opens_the_service_again(world: RegistryWorld) -> None:
    made = await published(world)
    world.endpoints.away = True
    with pytest.raises(errors.Unavailable):
        await world.payments.delete_service(made.id)
    world.endpoints.away = False
    world.endpoints.live[made.id] = [str(uuid4())]
    await Upkeep(world.registry.deletions, world.registry.reservations, now).once()
    assert (await world.payments.get_service(made.id)).state == AVAILABLE


async def test_a_forced_deletion_does_not_wait_for_the_endpoint_service(world: RegistryWorld) -> None:
    made = await published(world)
    world.endpoints.away = True
    assert (await world.payments.delete_service(made.id, force=True)).state == DELETING


async def test_a_deletion_from_an_old_version_changes_nothing(world: RegistryWorld) -> None:
    made = await published(world)
    await world.payments.permit(made.id, "shop")
    with pytest.raises(errors.Outdated):
        await world.payments.delete_service(made.id, etag=made.etag)
    current = await world.payments.get_service(made.id)
    assert current.state == AVAILABLE
    assert (await world.payments.delete_service(made.id, etag=current.etag)).state == DELETED


async def test_a_deletion_that_is_tried_again_does_not_stumble_over_its_own_first_step(world: RegistryWorld) -> None:
    made = await published(world)
    world.endpoints.away = True
    for _ in range(2):
        with pytest.raises(errors.Unavailable):
            await world.payments.delete_service(made.id, etag=made.etag, request_id="delete-1")
    world.endpoints.away = False
    deleted = await world.payments.delete_service(made.id, etag=made.etag, request_id="delete-1")
    assert deleted.state == DELETED


async def test_what_an_owner_says_of_a_service_is_kept_shown_and_changed(world: RegistryWorld) -> None:
    made = await published(world)
    assert (made.client_identity, made.service_type, made.server_type) == (
        EndpointService.CLIENT_IDENTITY_NONE,
        EndpointService.SERVICE_TYPE_INTERFACE,
        EndpointService.SERVER_TYPE_VM,
    )
    wanted = EndpointService(
        id=made.id,
        description="the window",
        tags=[Tag(key="team", value="web")],
        client_identity=EndpointService.CLIENT_IDENTITY_TOA,
    )
    changed = await world.payments.change_service(wanted, "description", "tags", "client_identity")
    assert await world.payments.get_service(made.id) == changed
    assert list(changed.tags) == [Tag(key="team", value="web")]
    assert (changed.description, changed.client_identity) == ("the window", EndpointService.CLIENT_IDENTITY_TOA)
    with pytest.raises(errors.InvalidRequest) as refused:
        await world.payments.change_service(EndpointService(id=made.id, tags=[Tag(key="_sys_a")]), "tags")
    assert refused.value.field == "endpoint_service.tags[0].key"


async def test_platform_services_are_the_operators_and_everybodys(world: RegistryWorld) -> None:
    async def publish(client: Client, vpc_id: str) -> EndpointService:
        wanted = EndpointService(
            name="dns",
            vpc_id=vpc_id,
            backends=[Backend(address="10.0.0.10")],
            port_mappings=[PortMapping(client_port=53, server_port=53, protocol=PortMapping.PROTOCOL_UDP)],
            server_type=EndpointService.SERVER_TYPE_CLOUD,
        )
        request = registry_pb2.CreateEndpointServiceRequest(endpoint_service=wanted)
        return await client.ask(client.stub.CreateEndpointService, request)

    with pytest.raises(errors.Forbidden):
        await publish(world.payments, (await world.payments.vpc()).id)
    made = await publish(world.operator, (await world.operator.vpc()).id)
    assert made.permissions == ["iam:domain::*"]
    found = await world.shop.look_up(made.full_name)
    assert (found.id, found.service_type) == (made.id, EndpointService.SERVICE_TYPE_INTERFACE)


async def test_services_are_listed_by_name_and_state_from_either_end(world: RegistryWorld) -> None:
    vpc = await world.payments.vpc()
    made = [await world.payments.service(vpc, name) for name in ("Web-a", "dns", "web_b")]
    world.endpoints.live[made[1].id] = ["somebody"]
    await world.payments.delete_service(made[1].id, force=True)

    async def listed(**what: Any) -> list[str]:
        request = registry_pb2.ListEndpointServicesRequest(**what)
        found = await world.payments.ask(world.payments.stub.ListEndpointServices, request)
        return [each.name for each in found.endpoint_services]

    assert await listed(newest_first=True) == ["web_b", "dns", "Web-a"]
    assert await listed(name_contains="WEB") == ["Web-a", "web_b"]
    assert await listed(states=[DELETING]) == ["dns"]
    assert await listed(states=[AVAILABLE], newest_first=True, name_contains="-") == ["Web-a"]


async def test_lists_find_by_what_they_are_asked_count_it_and_leave_out_what_is_skipped(world: RegistryWorld) -> None:
    vpc, other = await world.payments.vpc(), await world.payments.vpc("10.1.0.0/24", name="other")
    web, db = await world.payments.service(vpc, "web"), await world.payments.service(vpc, "db")
    far = await world.payments.service(other, "web-2", backends=[Backend(address="10.1.0.9")])
    tagged = EndpointService(id=web.id, tags=[Tag(key="env", value="prod")])
    await world.payments.change_service(tagged, "tags")

    async def listed(**asked: Any) -> tuple[list[str], int]:
        request = registry_pb2.ListEndpointServicesRequest(want_total=True, **asked)
        answer = await world.payments.ask(world.payments.stub.ListEndpointServices, request)
        return [service.name for service in answer.endpoint_services], answer.total_size

    assert await listed(skip=1, page_size=1) == (["db"], 3)
    assert await listed(ids=[far.id]) == (["web-2"], 1)
    assert await listed(vpc_id=vpc.id) == (["web", "db"], 2)
    assert await listed(name="web") == (["web"], 1)
    assert await listed(full_name_contains=f"LOCAL.DB.{db.id[:8]}") == (["db"], 1)
    assert await listed(server_type=EndpointService.SERVER_TYPE_CLOUD) == ([], 0)
    assert await listed(order=LIST_ORDER_UPDATE_TIME, newest_first=True) == (["web", "web-2", "db"], 3)
    assert await listed(tags=TagFilter(any=[TagMatch(key="env", values=["*RO"])])) == (["web"], 1)
    tags = registry_pb2.ListEndpointServiceTagsRequest()
    answer = await world.payments.ask(world.payments.stub.ListEndpointServiceTags, tags)
    assert list(answer.tags) == [Tag(key="env", value="prod")]
    quota = await world.payments.ask(world.payments.stub.GetServiceQuota, registry_pb2.GetServiceQuotaRequest())
    assert (quota.limit, quota.used) == (20, 3)


async def test_everybody_finds_the_platforms_services_that_everybody_may_connect_to(world: RegistryWorld) -> None:
    vpc = await world.operator.vpc()
    made = []
    for name in ("dns", "objects"):
        wanted = EndpointService(
            name=name,
            vpc_id=vpc.id,
            backends=[Backend(address="10.0.0.10")],
            port_mappings=[PortMapping(client_port=53, server_port=53)],
            server_type=EndpointService.SERVER_TYPE_CLOUD,
        )
        request = registry_pb2.CreateEndpointServiceRequest(endpoint_service=wanted)
        made.append(await world.operator.ask(world.operator.stub.CreateEndpointService, request))
    own = await published(world)
    await world.payments.permit(own.id, "*")

    async def found(client: Client, **asked: Any) -> list[str]:
        request = registry_pb2.ListPlatformServicesRequest(**asked)
        return [each.full_name for each in (await client.ask(client.stub.ListPlatformServices, request)).services]

    both = [each.full_name for each in made]
    assert await found(world.shop) == await found(world.payments) == both
    assert await found(world.shop, full_name_contains="DNS") == both[:1]
    forbid = registry_pb2.RemovePermissionsRequest(service_id=made[0].id, permissions=["iam:domain::*"])
    await world.operator.ask(world.operator.stub.RemovePermissions, forbid)
    assert await found(world.shop) == both[1:]
