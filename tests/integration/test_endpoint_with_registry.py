"""The endpoint service and the registry together, over gRPC: what callers, providers and gateways see."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from services.common.forwarding_digest import digest, line
from services.endpoint.application.limits import Limits
from sidegate import errors, transport
from sidegate.api.endpoint.v1 import endpoint_internal_service_pb2 as internal_pb
from sidegate.api.endpoint.v1 import endpoint_pb2 as endpoint_pb
from sidegate.api.endpoint.v1 import endpoint_service_pb2 as service_pb
from sidegate.api.events.v1.endpoint_events_pb2 import EndpointEvent
from sidegate.api.gateway.v1 import gateway_service_pb2 as gateway_pb
from sidegate.api.gateway.v1 import gateway_service_pb2_grpc as gateway_grpc
from sidegate.api.gateway.v1.flow_pb2 import Flow
from sidegate.api.registry.v1 import endpoint_service_pb2 as published_pb
from sidegate.api.registry.v1 import registry_service_pb2 as registry_pb
from sidegate.api.registry.v1 import vpc_pb2 as vpc_pb
from sidegate.api.registry.v1.listing_pb2 import LIST_ORDER_UPDATE_TIME, TagFilter, TagMatch
from sidegate.api.registry.v1.tag_pb2 import Tag
from tests.support import identity
from tests.support.two_services import Caller, TwoServices, two_services, until

CREATING = endpoint_pb.CONNECTION_STATE_CREATING
ACCEPTED = endpoint_pb.CONNECTION_STATE_ACCEPTED
PENDING = endpoint_pb.CONNECTION_STATE_PENDING_ACCEPTANCE
FORWARDING = gateway_pb.EndpointReport.PRESENCE_FORWARDING
ABSENT = gateway_pb.EndpointReport.PRESENCE_ABSENT
NOWHERE = "77777777-7777-4777-8777-777777777777"


@dataclass
class Story:
    """`shop` may use the service of `payments`; both VPCs are 10.0.0.0/24 and attached in the default cell."""

    services: TwoServices
    shop: Caller
    payments: Caller
    stranger: Caller
    system: Caller
    subnet: str
    service: str
    session: str = ""

    async def create(self, **fields: str) -> endpoint_pb.Endpoint:
        request_id = fields.pop("request_id", "")
        wanted = endpoint_pb.Endpoint(**{"service": self.service, "subnet_id": self.subnet, **fields})  # type: ignore[arg-type] # all of them are texts
        request = service_pb.CreateEndpointRequest(endpoint=wanted, request_id=request_id)
        return await self.shop.ask(self.shop.endpoints.CreateEndpoint, request)

    async def get(self, id_: str) -> endpoint_pb.Endpoint:
        return await self.shop.ask(self.shop.endpoints.GetEndpoint, service_pb.GetEndpointRequest(id=id_))

    async def accept(self, id_: str) -> endpoint_pb.Connection:
        request = service_pb.AcceptConnectionRequest(service_id=self.service, endpoint_id=id_)
        return await self.payments.ask(self.payments.connections.AcceptConnection, request)

    async def join(self) -> gateway_pb.JoinResponse:
        answer: gateway_pb.JoinResponse = await self.system.ask(
            self.system.gateways.Join, gateway_pb.JoinRequest(gateway_id="gw-1", cell="default")
        )
        self.session = answer.session_id
        return answer

    async def report(self, id_: str, presence: "gateway_pb.EndpointReport.Presence.ValueType", generation: int) -> bool:
        said = gateway_pb.EndpointReport(endpoint_id=id_, generation=generation, presence=presence)
        request = gateway_pb.ReportStateRequest(gateway_id="gw-1", session_id=self.session, endpoints=[said])
        answer: gateway_pb.ReportStateResponse = await self.system.ask(self.system.gateways.ReportState, request)
        return answer.joined

    async def leased(self, id_: str) -> endpoint_pb.Endpoint:
        """The endpoint once the gateway has a source address for it."""

        async def has_lease() -> bool:
            snapshot = await self.services.application.feed.snapshot("default")
            return any(entry.endpoint.endpoint_id == id_ and entry.endpoint.sources for entry in snapshot.entries())

        await until(self.services.endpoint_store, has_lease)
        return await self.get(id_)


async def _attached_vpc(caller: Caller, operator: Caller, name: str, cidr: str = "10.0.0.0/24") -> tuple[str, str]:
    """A VPC of one range that the default cell reaches, with one subnet: the ids of both."""
    wanted = vpc_pb.Vpc(name=name, cidrs=[cidr])
    vpc = await caller.ask(caller.registry.CreateVpc, registry_pb.CreateVpcRequest(vpc=wanted))
    part = vpc_pb.Subnet(vpc_id=vpc.id, name="main", cidr=cidr)
    subnet = await caller.ask(caller.registry.CreateSubnet, registry_pb.CreateSubnetRequest(subnet=part))
    reached = vpc_pb.Attachment(vpc_id=vpc.id, netns=vpc_pb.NetnsTarget(namespace=name))
    await operator.ask(operator.registry.CreateAttachment, registry_pb.CreateAttachmentRequest(attachment=reached))
    return vpc.id, subnet.id


async def _publish(payments: Caller, vpc: str, name: str = "web", backend: str = "10.0.0.10") -> str:
    wanted = published_pb.EndpointService(
        name=name,
        vpc_id=vpc,
        backends=[published_pb.Backend(address=backend)],
        port_mappings=[published_pb.PortMapping(client_port=80, server_port=8080)],
        approval_required=True,
    )
    create = registry_pb.CreateEndpointServiceRequest(endpoint_service=wanted)
    service: published_pb.EndpointService = await payments.ask(payments.registry.CreateEndpointService, create)
    permit = registry_pb.AddPermissionsRequest(service_id=service.id, permissions=["iam:domain::shop"])
    await payments.ask(payments.registry.AddPermissions, permit)
    return service.id


@dataclass
class Six:
    """A service and a subnet of IPv6, of the same accounts."""

    service: str
    subnet: str

    @property
    def there(self) -> dict[str, str]:
        return {"service": self.service, "subnet_id": self.subnet}


async def six_of(story: Story) -> Six:
    operator = story.services.caller("operator", "ops")
    _, subnet = await _attached_vpc(story.shop, operator, "shop6", "fd00:10::/64")
    vpc, _ = await _attached_vpc(story.payments, operator, "payments6", "fd00:20::/64")
    return Six(await _publish(story.payments, vpc, "web6", "fd00:20::a"), subnet)


@pytest.fixture
async def story(tmp_path: Path) -> AsyncIterator[Story]:
    async with two_services(tmp_path, Limits(endpoints=3)) as services:
        operator, system = services.caller("operator", "ops"), services.caller("system", "gw-1")
        shop, payments = services.caller("shop", "shop-live"), services.caller("payments", "payments-live")
        _, subnet = await _attached_vpc(shop, operator, "shop")
        vpc, _ = await _attached_vpc(payments, operator, "payments")
        service = await _publish(payments, vpc)
        stranger = services.caller("stranger", "shop-live")
        yield Story(services, shop, payments, stranger, system, subnet, service)


async def kinds_of_streams(story: Story) -> set[str]:
    return {event.stream.partition("-")[0] for event in await story.services.endpoint_store.read(0, 1000)}


async def test_from_the_request_to_accepted_and_back_to_a_free_address(story: Story) -> None:
    created = await story.create()
    assert created.state == PENDING
    await story.join()
    assert (await story.accept(created.id)).state == CREATING
    creating = await story.leased(created.id)
    assert await story.report(created.id, FORWARDING, creating.generation)
    accepted = await story.get(created.id)
    assert (accepted.state, accepted.ready.status, accepted.applied_generation) == (ACCEPTED, True, creating.generation)
    deleting = await story.shop.ask(
        story.shop.endpoints.DeleteEndpoint, service_pb.DeleteEndpointRequest(id=created.id)
    )
    assert await story.report(created.id, ABSENT, deleting.generation)
    with pytest.raises(errors.NotFound):
        await story.get(created.id)

    async def released() -> bool:
        ports = await story.shop.ask(story.shop.registry.ListPorts, registry_pb.ListPortsRequest())
        return not ports.ports

    await until(story.services.registry_store, released)
    assert (await story.create()).address == created.address


async def test_a_service_is_found_by_its_full_name_too(story: Story) -> None:
    by_id = await story.create()
    by_name = await story.create(service=by_id.service_full_name)
    assert by_name.service == by_id.service == story.service


async def test_a_repeated_request_gives_the_same_endpoint(story: Story) -> None:
    first, second = await asyncio.gather(story.create(request_id="r"), story.create(request_id="r"))
    assert first == second == await story.create(request_id="r")


@pytest.mark.parametrize(
    ("fields", "kind", "field"),
    [
        ({"address": "10.0.0"}, errors.InvalidRequest, "endpoint.address"),
        ({"address": "10.0.1.7"}, errors.InvalidRequest, "endpoint.address"),
        ({"address": "10.0.0.1"}, errors.InvalidRequest, "endpoint.address"),
        ({"subnet_id": "no"}, errors.InvalidRequest, "endpoint.subnet_id"),
        ({"subnet_id": NOWHERE}, errors.NotFound, ""),
        ({"service": NOWHERE}, errors.NotFound, ""),
        ({"service": ""}, errors.InvalidRequest, "endpoint.service"),
        ({"address": "fd00::7"}, errors.InvalidRequest, "endpoint.address"),
        ({"address": "fe80::7%eth0"}, errors.InvalidRequest, "endpoint.address"),
        ({"address": "::ffff:10.0.0.7"}, errors.InvalidRequest, "endpoint.address"),
        ({"name": "-"}, errors.InvalidRequest, "endpoint.name"),
    ],
)
async def test_a_request_that_cannot_be_is_refused_with_its_field_and_leaves_nothing(
    story: Story, fields: dict[str, str], kind: type[errors.SidegateError], field: str
) -> None:
    with pytest.raises(kind) as refused:
        await story.create(**fields)
    assert refused.value.field == field
    assert await kinds_of_streams(story) <= {"attachment"}
    ports = await story.shop.ask(story.shop.registry.ListPorts, registry_pb.ListPortsRequest())
    assert list(ports.ports) == []


async def test_an_address_in_use_is_refused_by_name(story: Story) -> None:
    taken = (await story.create()).address
    with pytest.raises(errors.AlreadyExists) as refused:
        await story.create(address=taken)
    assert refused.value.field == "endpoint.address"


async def test_an_ipv6_endpoint_is_told_to_gateways_in_one_form_and_its_source_is_leased_as_ever(story: Story) -> None:
    six = await six_of(story)
    created = await story.create(**six.there, address="FD00:10:0:0::0FF")
    assert created.address == "fd00:10::ff"
    await story.join()
    accept = service_pb.AcceptConnectionRequest(service_id=six.service, endpoint_id=created.id)
    await story.payments.ask(story.payments.connections.AcceptConnection, accept)
    await story.leased(created.id)
    snapshot = await story.services.application.feed.snapshot("default")
    entries = {entry.WhichOneof("entry"): entry for entry in snapshot.entries() if not entry.HasField("attachment")}
    told = entries["endpoint"].endpoint
    assert (told.address, list(told.allowed_cidrs)) == ("fd00:10::ff", [])
    assert list(entries["service"].service.backends) == ["fd00:20::a"]
    assert [lease.address.startswith("198.19.") for lease in told.sources] == [True]


async def test_a_whitelist_is_of_the_endpoints_ip_version_and_nobody_too(story: Story) -> None:
    six = await six_of(story)
    created = await story.create(**six.there)
    assert created.address.startswith("fd00:10::")

    async def update(paths: list[str], **fields: Any) -> endpoint_pb.Endpoint:
        wanted = endpoint_pb.Endpoint(id=created.id, **fields)
        request = service_pb.UpdateEndpointRequest(endpoint=wanted, update_mask=FieldMask(paths=paths))
        return await story.shop.ask(story.shop.endpoints.UpdateEndpoint, request)

    with pytest.raises(errors.InvalidRequest) as refused:
        await update(["allowed_cidrs"], allowed_cidrs=["fd00:10::/80", "10.0.0.0/24"])
    assert (refused.value.reason, refused.value.field) == ("CIDR_IP_VERSION", "endpoint.allowed_cidrs[1]")
    changed = await update(["allowed_cidrs"], allowed_cidrs=["FD00:10::/80", "fd00:10:0::/80"])
    assert list(changed.allowed_cidrs) == ["fd00:10::/80"]
    again = await update(["allowed_cidrs"], allowed_cidrs=["fd00:0010::/80"])
    assert again.etag == changed.etag, "the same range in another form is no change"
    closed = await update(["allowed_cidrs", "whitelist"], whitelist=endpoint_pb.Endpoint.WHITELIST_ENABLED)
    assert closed.generation > changed.generation
    stored = await story.services.endpoint_store.read(0, 1000)
    entry = EndpointEvent.FromString(stored[-1].data).forwarding.endpoint
    assert list(entry.allowed_cidrs) == ["ff02::1/128"]


async def test_a_whitelist_of_the_other_ip_version_leaves_no_address_taken(story: Story) -> None:
    with pytest.raises(errors.InvalidRequest, match="give ranges of IPv4 alone"):
        await story.create(allowed_cidrs=["fd00::/64"])  # type: ignore[arg-type] # no text, this once
    ports = await story.shop.ask(story.shop.registry.ListPorts, registry_pb.ListPortsRequest())
    assert list(ports.ports) == []


async def test_a_quota_is_refused_and_the_address_given_back(story: Story) -> None:
    addresses = [(await story.create()).address for _ in range(3)]
    with pytest.raises(errors.QuotaReached, match="delete one first"):
        await story.create()
    ports = await story.shop.ask(story.shop.registry.ListPorts, registry_pb.ListPortsRequest())
    assert sorted(port.address for port in ports.ports) == sorted(addresses)


async def test_pages_go_on_where_they_stopped_and_belong_to_who_asked(story: Story) -> None:
    ids = [(await story.create()).id for _ in range(3)]
    ask, page = story.shop.ask, story.shop.endpoints.ListEndpoints
    first = await ask(page, service_pb.ListEndpointsRequest(page_size=2))
    rest = await ask(page, service_pb.ListEndpointsRequest(page_size=2, page_token=first.next_page_token))
    assert [each.id for each in [*first.endpoints, *rest.endpoints]] == ids
    assert rest.next_page_token == ""
    with pytest.raises(errors.InvalidRequest, match="page_token"):
        await story.stranger.ask(page, service_pb.ListEndpointsRequest(page_token=first.next_page_token))
    connections = await story.payments.ask(
        story.payments.connections.ListConnections, service_pb.ListConnectionsRequest(service_id=story.service)
    )
    assert [each.endpoint_id for each in connections.connections] == ids


async def test_an_update_with_an_outdated_etag_is_refused(story: Story) -> None:
    created = await story.create()
    mask = FieldMask(paths=["name"])
    renamed = endpoint_pb.Endpoint(id=created.id, name="other", etag=created.etag)
    request = service_pb.UpdateEndpointRequest(endpoint=renamed, update_mask=mask)
    updated = await story.shop.ask(story.shop.endpoints.UpdateEndpoint, request)
    assert (updated.name, updated.etag) == ("other", "2")
    with pytest.raises(errors.Outdated):
        await story.shop.ask(story.shop.endpoints.UpdateEndpoint, request)
    with pytest.raises(errors.Outdated):
        await story.shop.ask(
            story.shop.endpoints.DeleteEndpoint, service_pb.DeleteEndpointRequest(id=created.id, etag=created.etag)
        )


async def test_a_stranger_learns_nothing_whatever_he_asks(story: Story) -> None:
    created = await story.create()

    async def answer(id_: str) -> list[tuple[type, str]]:
        connections, endpoints = story.stranger.connections, story.stranger.endpoints
        ids: Any = {"service_id": story.service, "endpoint_id": id_}
        calls = (
            story.stranger.ask(endpoints.GetEndpoint, service_pb.GetEndpointRequest(id=id_)),
            story.stranger.ask(endpoints.DeleteEndpoint, service_pb.DeleteEndpointRequest(id=id_)),
            story.stranger.ask(connections.GetConnection, service_pb.GetConnectionRequest(**ids)),
            story.stranger.ask(connections.AcceptConnection, service_pb.AcceptConnectionRequest(**ids)),
            story.stranger.ask(connections.RejectConnection, service_pb.RejectConnectionRequest(**ids)),
        )
        refusals = await asyncio.gather(*calls, return_exceptions=True)
        return [(type(refusal), str(refusal).replace(id_, "it")) for refusal in refusals]

    assert await answer(created.id) == await answer(NOWHERE)
    assert {kind for kind, _ in await answer(created.id)} == {errors.NotFound}


async def test_only_our_own_programs_may_ask_what_gateways_and_the_registry_ask(story: Story) -> None:
    for caller in (story.shop, story.services.caller("operator", "ops")):
        gateways, internal = caller.gateways, caller.internal
        calls = (
            caller.ask(gateways.Join, gateway_pb.JoinRequest(gateway_id="gw-9", cell="default")),
            caller.ask(gateways.ReportState, gateway_pb.ReportStateRequest(gateway_id="gw-9")),
            caller.ask(gateways.Digest, gateway_pb.DigestRequest(cell="default")),
            caller.stream(gateways.Snapshot, gateway_pb.SnapshotRequest(cell="default")),
            caller.stream(gateways.Events, gateway_pb.EventsRequest(cell="default")),
            caller.ask(internal.CheckEndpoints, internal_pb.CheckEndpointsRequest()),
            caller.ask(internal.ListBlockers, internal_pb.ListBlockersRequest(service_id=story.service)),
        )
        for call in calls:
            with pytest.raises(errors.NotFound):
                await call
    assert await kinds_of_streams(story) <= {"attachment"}


async def test_a_gateway_is_told_where_its_log_is_and_what_is_in_it(story: Story) -> None:
    created = await story.create()
    joined = await story.join()
    await story.leased(created.id)
    head = await story.services.endpoint_store.head()
    assert (joined.log_id, joined.epoch, joined.stream_prefix) == (head.log_id, head.epoch, "EP")
    assert joined.subject_filter == "endpoint.v1.default.>"
    assert (joined.lease.seconds, joined.fence_after.seconds) == (30, 3600)
    gateways = story.system.gateways
    header, *parts = await story.system.stream(gateways.Snapshot, gateway_pb.SnapshotRequest(cell="default"))
    assert (header.header.log_id, header.header.position) == (head.log_id, head.position)
    assert header.header.cell_position == head.position
    assert header.header.entries == len(parts) == 4
    records = await story.system.stream(gateways.Events, gateway_pb.EventsRequest(cell="default", after=1))
    assert [record.position for record in records] == list(range(2, head.position + 1))
    found = await story.system.ask(gateways.Digest, gateway_pb.DigestRequest(cell="default", position=head.position))
    entries = [part.entry for part in parts if not part.entry.endpoint.removed]
    lines = [
        line("service", entry.service.service_id, entry.service.version)
        if entry.HasField("service")
        else line("attachment", entry.attachment.vpc_id, entry.attachment.version)
        for entry in entries
    ]
    assert (found.digest, found.entries) == (digest(lines), 3)
    with pytest.raises(errors.WrongState):
        await story.system.ask(gateways.Digest, gateway_pb.DigestRequest(cell="default", position=head.position + 1))


async def test_a_report_without_a_membership_asks_to_join(story: Story) -> None:
    created = await story.create()
    assert not await story.report(created.id, FORWARDING, 1)


async def test_other_backends_reach_the_cell(story: Story) -> None:
    await story.create()
    changed = published_pb.EndpointService(id=story.service, backends=[published_pb.Backend(address="10.0.0.77")])
    request = registry_pb.UpdateEndpointServiceRequest(
        endpoint_service=changed, update_mask=FieldMask(paths=["backends"])
    )
    await story.payments.ask(story.payments.registry.UpdateEndpointService, request)

    async def told() -> bool:
        snapshot = await story.services.application.feed.snapshot("default")
        return any(list(entry.service.backends) == ["10.0.0.77"] for entry in snapshot.entries())

    await until(story.services.endpoint_store, told)


async def test_weights_and_draining_reach_the_cell(story: Story) -> None:
    await story.create()
    backends = [
        published_pb.Backend(address="10.0.0.77", weight=3),
        published_pb.Backend(address="10.0.0.78", draining=True),
    ]
    request = registry_pb.UpdateEndpointServiceRequest(
        endpoint_service=published_pb.EndpointService(id=story.service, backends=backends),
        update_mask=FieldMask(paths=["backends"]),
    )
    await story.payments.ask(story.payments.registry.UpdateEndpointService, request)

    async def told() -> bool:
        snapshot = await story.services.application.feed.snapshot("default")
        return [
            (each.address, each.weight, each.draining)
            for entry in snapshot.entries()
            for each in entry.service.weighted_backends
        ] == [("10.0.0.77", 3, False), ("10.0.0.78", 1, True)]

    await until(story.services.endpoint_store, told)


async def test_what_backends_learn_of_clients_reaches_the_cell_port_by_port_as_one_change(story: Story) -> None:
    await story.create()
    says = published_pb.EndpointService
    ports = [
        published_pb.PortMapping(client_port=80, server_port=8080),
        published_pb.PortMapping(client_port=81, server_port=8081, client_identity=says.CLIENT_IDENTITY_PROXY_PROTOCOL),
        published_pb.PortMapping(client_port=82, server_port=8082, client_identity=says.CLIENT_IDENTITY_NONE),
        published_pb.PortMapping(client_port=53, server_port=53, protocol=published_pb.PortMapping.PROTOCOL_UDP),
    ]

    async def told_after(wanted: published_pb.EndpointService, *paths: str) -> list[int]:
        request = registry_pb.UpdateEndpointServiceRequest(endpoint_service=wanted, update_mask=FieldMask(paths=paths))
        version = (await story.payments.ask(story.payments.registry.UpdateEndpointService, request)).version
        found = list[Any]()

        async def told() -> bool:
            snapshot = await story.services.application.feed.snapshot("default")
            found[:] = [entry.service for entry in snapshot.entries() if entry.service.version >= version]
            return bool(found)

        await until(story.services.endpoint_store, told)
        assert found[0].version == version, "one change of the service is one of the cell's"
        return [each.client_identity for each in found[0].port_mappings]

    toa = says(id=story.service, client_identity=says.CLIENT_IDENTITY_TOA, port_mappings=ports)
    assert await told_after(toa, "port_mappings", "client_identity") == [
        says.CLIENT_IDENTITY_TOA,
        says.CLIENT_IDENTITY_PROXY_PROTOCOL,
        says.CLIENT_IDENTITY_UNSPECIFIED,
        says.CLIENT_IDENTITY_UNSPECIFIED,
    ]
    both = says(id=story.service, client_identity=says.CLIENT_IDENTITY_PROXY_PROTOCOL_WITH_MARKER)
    assert (await told_after(both, "client_identity"))[:2] == [
        says.CLIENT_IDENTITY_PROXY_PROTOCOL_WITH_MARKER,
        says.CLIENT_IDENTITY_PROXY_PROTOCOL,
    ]
    kept = await story.payments.ask(
        story.payments.registry.GetEndpointService, registry_pb.GetEndpointServiceRequest(id=story.service)
    )
    assert [each.client_identity for each in kept.port_mappings] == [each.client_identity for each in ports]
    udp = published_pb.PortMapping(
        client_port=53, protocol=published_pb.PortMapping.PROTOCOL_UDP, server_port=53,
        client_identity=says.CLIENT_IDENTITY_TOA,
    )  # fmt: skip
    with pytest.raises(errors.InvalidRequest, match="cannot be told of") as refused:
        await told_after(says(id=story.service, port_mappings=[udp]), "port_mappings")
    assert refused.value.field == "endpoint_service.port_mappings[0].client_identity"


async def test_what_a_service_asks_reaches_the_cell_and_so_does_its_end(story: Story) -> None:
    await story.create()
    asked = published_pb.EndpointService(
        id=story.service,
        session_settings=published_pb.SessionSettings(udp_one_way_seconds=15, reset_expired=True),
        health_check=published_pb.HealthCheck(interval_seconds=1),
        consumer_limits=published_pb.ConsumerLimits(endpoints_per_account=9, connections=100),
    )

    async def entry_after(changed: published_pb.EndpointService) -> Any:
        mask = FieldMask(paths=["session_settings", "health_check", "consumer_limits"])
        request = registry_pb.UpdateEndpointServiceRequest(endpoint_service=changed, update_mask=mask)
        version = (await story.payments.ask(story.payments.registry.UpdateEndpointService, request)).version
        found = list[Any]()

        async def told() -> bool:
            snapshot = await story.services.application.feed.snapshot("default")
            found[:] = [entry.service for entry in snapshot.entries() if entry.service.version == version]
            return bool(found)

        await until(story.services.endpoint_store, told)
        return found[0]

    entry = await entry_after(asked)
    settings, check = entry.session_settings, entry.health_check
    assert (settings.udp_one_way_seconds, settings.tcp_established_seconds, settings.reset_expired) == (15, 350, True)
    assert (check.port, check.interval_seconds, check.timeout_seconds) == (8080, 1, 1), "the port that is published"
    assert entry.limits == published_pb.ConsumerLimits(connections=100)
    asked_for = (await story.services.endpoint_store.head()).position
    entry = await entry_after(published_pb.EndpointService(id=story.service))
    assert not any(entry.HasField(name) for name in ("session_settings", "health_check", "limits"))
    past = await story.services.application.feed.digest("default", asked_for)
    now = await story.services.application.feed.digest("default", (await story.services.endpoint_store.head()).position)
    assert past.digest != now.digest, "both sides compare versions, and each change is one"


async def test_live_connections_stand_in_the_way_of_a_services_deletion_and_force_ends_them(story: Story) -> None:
    created = await story.create()
    await story.accept(created.id)
    delete = story.payments.registry.DeleteEndpointService
    with pytest.raises(errors.WrongState) as refused:
        await story.payments.ask(delete, registry_pb.DeleteEndpointServiceRequest(id=story.service))
    assert refused.value.blockers == (created.id,)
    await story.payments.ask(delete, registry_pb.DeleteEndpointServiceRequest(id=story.service, force=True))

    async def failed() -> bool:
        return (await story.get(created.id)).failure == "service deleted"

    await until(story.services.endpoint_store, failed)


async def test_while_the_registry_is_away_a_request_is_refused_as_unavailable(story: Story, tmp_path: Path) -> None:
    created = await story.create()
    for server in story.services.registry_servers:
        await server.stop(0)
    with pytest.raises(errors.Unavailable):
        await story.create()
    assert (await story.get(created.id)).id == created.id
    assert (await story.accept(created.id)).state == CREATING


async def test_a_permission_is_removed_with_its_connections_where_asked(story: Story) -> None:
    made = await story.create()

    def removal(end: bool) -> registry_pb.RemovePermissionsRequest:
        permissions = ["iam:domain::shop"]
        return registry_pb.RemovePermissionsRequest(
            service_id=story.service, permissions=permissions, end_connections=end
        )

    remove = story.payments.registry.RemovePermissions
    left = await story.payments.ask(remove, removal(end=False))
    assert list(left.permissions) == []
    assert (await story.get(made.id)).state == PENDING
    await story.payments.ask(remove, removal(end=True))

    async def is_rejected() -> bool:
        return (await story.get(made.id)).state == endpoint_pb.CONNECTION_STATE_REJECTED

    await until(story.services.endpoint_store, is_rejected)
    assert (await story.get(made.id)).rejection == "the permission to connect was removed"
    accepted = await story.accept(made.id)
    assert (accepted.state, accepted.rejection) == (CREATING, "")
    await story.services.application.forwarding.resync()
    assert (await story.get(made.id)).state == CREATING, "what the owner accepts afterwards stays"


async def test_many_connections_are_decided_at_once_and_each_says_what_became_of_it(story: Story) -> None:
    first, second = await story.create(name="a"), await story.create(name="b")
    request = service_pb.DecideConnectionsRequest(
        service_id=story.service,
        endpoint_ids=[second.id, NOWHERE, first.id],
        decision=service_pb.DecideConnectionsRequest.DECISION_ACCEPT,
        request_id="all",
    )
    decide = story.payments.connections.DecideConnections
    answer = await story.payments.ask(decide, request)
    assert [each.endpoint_id for each in answer.results] == [second.id, NOWHERE, first.id]
    assert [each.reason for each in answer.results] == ["", "NOT_FOUND", ""]
    assert [each.connection.state for each in answer.results if not each.reason] == [CREATING, CREATING]

    position = (await story.services.endpoint_store.head()).position
    assert await story.payments.ask(decide, request) == answer
    assert (await story.services.endpoint_store.head()).position == position, "what succeeded is not done again"

    other = service_pb.DecideConnectionsRequest()
    other.CopyFrom(request)
    other.decision = service_pb.DecideConnectionsRequest.DECISION_REJECT
    again = await story.payments.ask(decide, other)
    assert [each.reason for each in again.results] == ["REQUEST_ID_REUSED", "NOT_FOUND", "REQUEST_ID_REUSED"]

    strangers = await story.stranger.ask(story.stranger.connections.DecideConnections, request)
    assert {each.reason for each in strangers.results} == {"NOT_FOUND"}
    for wrong in ([], [first.id, first.id], ["x"]):
        bad = service_pb.DecideConnectionsRequest(
            service_id=story.service, endpoint_ids=wrong, decision=request.decision
        )
        with pytest.raises(errors.InvalidRequest):
            await story.payments.ask(decide, bad)


async def test_lists_show_what_is_asked_for_from_either_end_and_tokens_are_of_their_list(story: Story) -> None:
    first, second, third = [await story.create(name=name) for name in ("Web-a", "db", "web_b")]
    await story.accept(second.id)

    async def endpoints(**what: Any) -> list[str]:
        """Page by page, each of one."""
        ids, request = [], service_pb.ListEndpointsRequest(page_size=1, **what)
        while True:
            page = await story.shop.ask(story.shop.endpoints.ListEndpoints, request)
            ids += [each.id for each in page.endpoints]
            request.page_token = page.next_page_token
            if not request.page_token:
                return ids

    everything = [first.id, second.id, third.id]
    assert await endpoints() == everything
    assert await endpoints(newest_first=True) == everything[::-1]
    assert await endpoints(states=[PENDING], newest_first=True) == [third.id, first.id]
    assert await endpoints(states=[CREATING, ACCEPTED]) == [second.id]
    assert await endpoints(name_contains="WEB") == [first.id, third.id]
    assert await endpoints(name_contains="_") == [third.id]
    assert await endpoints(name_contains="%") == []
    assert await endpoints(service_id=story.service) == everything
    assert await endpoints(service_id=NOWHERE) == []

    connections = service_pb.ListConnectionsRequest(service_id=story.service, states=[PENDING], newest_first=True)
    listed = await story.payments.ask(story.payments.connections.ListConnections, connections)
    assert [each.endpoint_id for each in listed.connections] == [third.id, first.id]

    page = await story.shop.ask(
        story.shop.endpoints.ListEndpoints, service_pb.ListEndpointsRequest(page_size=1, name_contains="web")
    )
    for other in (
        service_pb.ListEndpointsRequest(page_token=page.next_page_token),
        service_pb.ListEndpointsRequest(page_token=page.next_page_token, name_contains="web", newest_first=True),
        service_pb.ListEndpointsRequest(states=[0]),  # type: ignore[list-item] # what is never sent
    ):
        with pytest.raises(errors.InvalidRequest):
            await story.shop.ask(story.shop.endpoints.ListEndpoints, other)


async def test_what_is_only_validated_is_answered_or_refused_as_it_would_be_and_changes_nothing(story: Story) -> None:
    made = await story.create(name="a")
    service = await story.payments.ask(
        story.payments.registry.GetEndpointService, registry_pb.GetEndpointServiceRequest(id=story.service)
    )
    ids: Any = {"service_id": story.service, "endpoint_id": made.id, "validate_only": True, "request_id": "r"}
    change: Any = {"update_mask": FieldMask(paths=["name"]), "validate_only": True, "request_id": "r"}
    said = FieldMask(paths=["description"])
    new = published_pb.EndpointService(description="x")
    new.MergeFrom(service)
    permissions: Any = {"service_id": story.service, "permissions": ["iam:domain::a"], "validate_only": True}
    registry, connections = story.payments.registry, story.payments.connections
    renamed = endpoint_pb.Endpoint(id=made.id, name="b")
    accept_all = service_pb.DecideConnectionsRequest(
        service_id=story.service,
        endpoint_ids=[made.id],
        decision=service_pb.DecideConnectionsRequest.DECISION_ACCEPT,
        validate_only=True,
    )
    updating = registry_pb.UpdateEndpointServiceRequest(endpoint_service=new, update_mask=said, validate_only=True)
    before = [await store.head() for store in (story.services.registry_store, story.services.endpoint_store)]
    answers: list[Any] = [
        await story.payments.ask(connections.AcceptConnection, service_pb.AcceptConnectionRequest(**ids)),
        await story.payments.ask(connections.RejectConnection, service_pb.RejectConnectionRequest(**ids)),
        await story.payments.ask(connections.NoteConnection, service_pb.NoteConnectionRequest(note="n", **ids)),
        (await story.payments.ask(connections.DecideConnections, accept_all)).results[0].connection,
        await story.shop.ask(
            story.shop.endpoints.UpdateEndpoint, service_pb.UpdateEndpointRequest(endpoint=renamed, **change)
        ),
        await story.payments.ask(registry.AddPermissions, registry_pb.AddPermissionsRequest(**permissions)),
        await story.payments.ask(registry.RemovePermissions, registry_pb.RemovePermissionsRequest(**permissions)),
        await story.payments.ask(registry.UpdateEndpointService, updating),
    ]
    rejected = endpoint_pb.CONNECTION_STATE_REJECTED
    assert [each.state for each in answers[:4]] == [CREATING, rejected, PENDING, CREATING]
    assert (answers[2].note, answers[4].name) == ("n", "b")
    assert "iam:domain::a" in answers[5].permissions
    new.ClearField("etag")
    taken = registry_pb.CreateEndpointServiceRequest(endpoint_service=new, validate_only=True)
    with pytest.raises(errors.AlreadyExists):
        await story.payments.ask(registry.CreateEndpointService, taken)
    new.name = "free"
    assert (await story.payments.ask(registry.CreateEndpointService, taken_as(new))).name == "free"
    permissions["etag"] = "1"
    with pytest.raises(errors.Outdated):
        await story.payments.ask(registry.AddPermissions, registry_pb.AddPermissionsRequest(**permissions))
    with pytest.raises(errors.Outdated):
        await story.payments.ask(registry.RemovePermissions, registry_pb.RemovePermissionsRequest(**permissions))
    after = [await store.head() for store in (story.services.registry_store, story.services.endpoint_store)]
    assert after == before
    assert (await story.get(made.id)).state == PENDING


def taken_as(service: published_pb.EndpointService) -> registry_pb.CreateEndpointServiceRequest:
    return registry_pb.CreateEndpointServiceRequest(endpoint_service=service, validate_only=True)


async def test_decisions_on_connections_hold_to_the_etag_that_was_read(story: Story) -> None:
    made, other = await story.create(name="a"), await story.create(name="b")
    stub, ask = story.payments.connections, story.payments.ask
    ids: Any = {"service_id": story.service, "endpoint_id": made.id}
    read = await ask(stub.GetConnection, service_pb.GetConnectionRequest(**ids))
    noted = await ask(stub.NoteConnection, service_pb.NoteConnectionRequest(note="n", etag=read.etag, **ids))
    calls: list[tuple[Any, Any]] = [
        (stub.NoteConnection, service_pb.NoteConnectionRequest(note="m", etag=read.etag, **ids)),
        (stub.AcceptConnection, service_pb.AcceptConnectionRequest(etag=read.etag, **ids)),
        (stub.RejectConnection, service_pb.RejectConnectionRequest(etag=read.etag, **ids)),
    ]
    for method, request in calls:
        with pytest.raises(errors.Outdated):
            await ask(method, request)
    decide = service_pb.DecideConnectionsRequest(
        service_id=story.service,
        endpoint_ids=[made.id, other.id],
        decision=service_pb.DecideConnectionsRequest.DECISION_ACCEPT,
        etags={made.id: read.etag},
    )
    first, second = (await ask(stub.DecideConnections, decide)).results
    assert (first.reason, second.connection.state) == ("CHANGED_MEANWHILE", CREATING)
    decide.etags[made.id] = noted.etag
    first, _ = (await ask(stub.DecideConnections, decide)).results
    assert first.connection.state == CREATING
    decide.etags[NOWHERE] = "1"
    with pytest.raises(errors.InvalidRequest):
        await ask(stub.DecideConnections, decide)
    rejected = service_pb.RejectConnectionRequest(etag=first.connection.etag, **ids)
    assert (await ask(stub.RejectConnection, rejected)).state == endpoint_pb.CONNECTION_STATE_REJECTED


async def test_an_endpoint_and_a_deletion_are_only_validated_across_both_logs(story: Story) -> None:
    made = await story.create(name="a")
    before = [await store.head() for store in (story.services.registry_store, story.services.endpoint_store)]

    async def request(**fields: Any) -> endpoint_pb.Endpoint:
        wanted = endpoint_pb.Endpoint(**{"service": story.service, "subnet_id": story.subnet, **fields})
        asked = service_pb.CreateEndpointRequest(endpoint=wanted, validate_only=True, request_id="once")
        return await story.shop.ask(story.shop.endpoints.CreateEndpoint, asked)

    tried = await request(name="b")
    assert (tried.state, tried.name) == (PENDING, "b")
    assert (await request(name="c")).address == tried.address
    with pytest.raises(errors.AlreadyExists):
        await request(address=made.address)
    with pytest.raises(errors.NotFound):
        await request(service=NOWHERE)
    deletion = service_pb.DeleteEndpointRequest(id=made.id, validate_only=True)
    assert (await story.shop.ask(story.shop.endpoints.DeleteEndpoint, deletion)).id == made.id
    subnet = registry_pb.DeleteSubnetRequest(id=story.subnet, validate_only=True)
    with pytest.raises(errors.WrongState):
        await story.shop.ask(story.shop.registry.DeleteSubnet, subnet)
    port = vpc_pb.Port(subnet_id=story.subnet, holder="machine/x")
    porting = registry_pb.CreatePortRequest(port=port, validate_only=True)
    assert (await story.shop.ask(story.shop.registry.CreatePort, porting)).address == tried.address
    vpc = registry_pb.CreateVpcRequest(vpc=vpc_pb.Vpc(name="shop", cidrs=["10.9.0.0/24"]), validate_only=True)
    with pytest.raises(errors.AlreadyExists):
        await story.shop.ask(story.shop.registry.CreateVpc, vpc)
    delete = story.payments.registry.DeleteEndpointService
    ending = registry_pb.DeleteEndpointServiceRequest(id=story.service, validate_only=True)
    assert (await story.payments.ask(delete, ending)).id == story.service
    after = [await store.head() for store in (story.services.registry_store, story.services.endpoint_store)]
    assert after == before
    assert (await story.create(name="b")).address == tried.address

    await story.accept(made.id)
    with pytest.raises(errors.WrongState) as refused:
        await story.payments.ask(delete, ending)
    assert refused.value.blockers == (made.id,)
    ending.force = True
    await story.payments.ask(delete, ending)
    published = registry_pb.GetEndpointServiceRequest(id=story.service)
    service = await story.payments.ask(story.payments.registry.GetEndpointService, published)
    assert service.state == published_pb.EndpointService.STATE_AVAILABLE


async def test_lists_find_by_what_they_are_asked_count_it_and_leave_out_what_is_skipped(story: Story) -> None:
    made = []
    for number, env in enumerate(("prod", "test", "prod")):
        wanted = endpoint_pb.Endpoint(
            service=story.service,
            subnet_id=story.subnet,
            name=f"web-{number}" if number else "",
            tags=[Tag(key="env", value=env)],
        )
        create = service_pb.CreateEndpointRequest(endpoint=wanted)
        made.append(await story.shop.ask(story.shop.endpoints.CreateEndpoint, create))

    async def listed(**asked: Any) -> tuple[list[str], int]:
        request = service_pb.ListEndpointsRequest(want_total=True, **asked)
        answer = await story.shop.ask(story.shop.endpoints.ListEndpoints, request)
        return [endpoint.id for endpoint in answer.endpoints], answer.total_size

    first, second, third = (endpoint.id for endpoint in made)
    assert await listed() == ([first, second, third], 3)
    assert await listed(skip=1, page_size=1) == ([second], 3)
    assert await listed(newest_first=True, page_size=1) == ([third], 3)
    assert await listed(ids=[second.upper(), NOWHERE]) == ([second], 1)
    assert await listed(name="") == ([first], 1)
    assert await listed(name_contains="WEB") == ([second, third], 2)
    assert await listed(service_name_contains=".WEB.") == ([first, second, third], 3)
    assert await listed(marker_id=made[1].marker_id) == ([second], 1)
    assert await listed(vpc_id=made[0].vpc_id) == ([first, second, third], 3)
    assert await listed(vpc_id=NOWHERE) == ([], 0)
    prod = TagMatch(key="env", values=["prod"])
    assert await listed(tags=TagFilter(all=[prod])) == ([first, third], 2)
    assert await listed(tags=TagFilter(not_any=[prod])) == ([second], 1)
    assert await listed(tags=TagFilter(untagged=True)) == ([], 0)

    await story.accept(first)
    by_change = LIST_ORDER_UPDATE_TIME
    assert (await listed(order=by_change, newest_first=True))[0][0] == first
    request = service_pb.ListConnectionsRequest(
        service_id=story.service, order=by_change, newest_first=True, want_total=True, page_size=2
    )
    page = await story.payments.ask(story.payments.connections.ListConnections, request)
    assert ([each.endpoint_id for each in page.connections], page.total_size) == ([first, third], 3)
    request.page_token, request.want_total, request.skip = page.next_page_token, False, 0
    rest = await story.payments.ask(story.payments.connections.ListConnections, request)
    assert ([each.endpoint_id for each in rest.connections], rest.total_size) == ([second], 0)
    request.marker_id = made[2].marker_id
    with pytest.raises(errors.InvalidRequest) as refused:
        await story.payments.ask(story.payments.connections.ListConnections, request)
    assert refused.value.reason == "PAGE_TOKEN_INVALID"
    request.page_token = ""
    (only,) = (await story.payments.ask(story.payments.connections.ListConnections, request)).connections
    assert only.endpoint_id == third


async def test_a_project_sees_its_own_tags_and_its_own_quota(story: Story) -> None:
    wanted = endpoint_pb.Endpoint(service=story.service, subnet_id=story.subnet)
    wanted.tags.extend([Tag(key="team", value="größe/1"), Tag(key="env", value="prod")])
    await story.shop.ask(story.shop.endpoints.CreateEndpoint, service_pb.CreateEndpointRequest(endpoint=wanted))
    request = service_pb.ListEndpointTagsRequest(page_size=1)
    first = await story.shop.ask(story.shop.endpoints.ListEndpointTags, request)
    request.page_token = first.next_page_token
    second = await story.shop.ask(story.shop.endpoints.ListEndpointTags, request)
    assert [*first.tags, *second.tags] == [Tag(key="env", value="prod"), Tag(key="team", value="größe/1")]
    assert not second.next_page_token
    theirs = service_pb.ListEndpointTagsRequest()
    assert not (await story.payments.ask(story.payments.endpoints.ListEndpointTags, theirs)).tags
    asked = service_pb.GetEndpointQuotaRequest()
    quotas = [await each.ask(each.endpoints.GetEndpointQuota, asked) for each in (story.shop, story.payments)]
    assert [(quota.limit, quota.used) for quota in quotas] == [(3, 1), (3, 0)]


async def test_sessions_are_told_to_the_owner_of_the_endpoint_with_what_the_log_knows_better(story: Story) -> None:
    """Only of endpoints of the gateway's own cell; what it says of whose they are is not believed."""
    created = await story.create()
    said = Flow(endpoint_id=created.id, client="10.0.0.5", verdict="closed", packets_in=3)
    said.MergeFrom(Flow(account="stranger", project="x", marker_id=1, service_id=NOWHERE, vpc_id=NOWHERE))
    unknown = Flow(endpoint_id=NOWHERE, client="10.0.0.5", verdict="closed")
    flows, told = [said, unknown, said], story.services.flows
    request = gateway_pb.ReportFlowsRequest(gateway_id="gw-1", cell="default", flows=flows)
    assert (await story.system.ask(story.system.gateways.ReportFlows, request)).told == 2
    assert [subject for subject, _ in told] == [f"sidegate.v1.shop~shop-live.flow.{created.id}"] * 2
    flow = Flow.FromString(told[0][1])
    assert (flow.account, flow.project, flow.marker_id) == ("shop", "shop-live", created.marker_id)
    assert (flow.service_id, flow.vpc_id, flow.gateway_id) == (story.service, created.vpc_id, "gw-1")
    assert (flow.client, flow.packets_in, flow.address) == ("10.0.0.5", 3, created.address)
    elsewhere = identity.gateway("west", "gw-9")
    caller = transport.Caller(story.services.internal_addresses[1], elsewhere)
    try:
        request = gateway_pb.ReportFlowsRequest(gateway_id="gw-9", cell="west", flows=[said])
        answer = await caller.ask(gateway_grpc.GatewayServiceStub(caller.channel).ReportFlows, request)
    finally:
        await caller.close()
    assert answer.told == 0
    assert len(told) == 2
