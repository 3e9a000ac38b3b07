"""Gateway-type endpoints over both services: their routes follow tables and policies, and nothing is left half done."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Sequence
from dataclasses import dataclass
from typing import TypeVar
from uuid import uuid4

import pytest
import pytest_asyncio

from services.common.addressing import networks_of
from services.common.clock import SECOND, now
from services.common.eventsourcing.rebuild import rebuild_holdings
from services.common.eventsourcing.store import Constraints
from services.common.principal import Principal
from services.endpoint.application.limits import Limits
from services.endpoint.application.streams import Streams
from services.endpoint.domain.routes import Place
from services.registry.application.streams import on_our_own
from services.registry.domain.network import RouteHold
from services.registry.domain.route_tables import routes_claim
from sidegate import errors
from sidegate.api.endpoint.v1.endpoint_pb2 import Endpoint
from sidegate.api.events.v1.endpoint_events_pb2 import EndpointEvent
from sidegate.api.events.v1.forwarding_pb2 import EndpointForwarding
from sidegate.api.registry.v1.endpoint_service_pb2 import Backend, EndpointService, PortMapping
from sidegate.api.registry.v1.vpc_pb2 import NetnsTarget, RouteTable, Subnet, Vpc
from sidegate.client import Client
from tests.support.two_services import TwoServices, two_services, until
from tests.support.world import tcp

pytestmark = pytest.mark.asyncio(loop_scope="module")

T = TypeVar("T")
MANY, LAST_ID = 20, "ffffffff-ffff-4fff-bfff-ffffffffffff"
GATEWAY = EndpointService.SERVICE_TYPE_GATEWAY
CLOUD = EndpointService.SERVER_TYPE_CLOUD


@dataclass
class Scene:
    services: TwoServices
    operator: Client
    shop: Client
    stranger: Client
    ops: Vpc
    prefixes: int = 0

    def prefix(self) -> str:
        """One of its own for each that asks."""
        self.prefixes += 1
        return f"100.{64 + self.prefixes // 256}.{self.prefixes % 256}.0/24"

    async def publish(self, *prefixes: str, ports: Sequence[PortMapping] = (tcp(443, 443),)) -> EndpointService:
        return await self.publish_in(self.ops, "10.0.0.10", *(prefixes or [self.prefix()]), ports=ports)

    async def publish_in(
        self, vpc: Vpc, backend: str, *prefixes: str, ports: Sequence[PortMapping] = (tcp(443, 443),)
    ) -> EndpointService:
        return await self.operator.services.create(
            f"s3-{uuid4().hex[:8]}",
            vpc.id,
            [Backend(address=backend)],
            ports,
            service_type=GATEWAY,
            server_type=CLOUD,
            public_prefixes=prefixes,
        )

    async def network(self) -> tuple[Vpc, Subnet, Subnet]:
        """A VPC of the shop's with two subnets, attached."""
        vpc = await self.shop.vpcs.create(f"shop-{uuid4().hex[:8]}", ["10.0.0.0/16"])
        subnets = [await self.shop.subnets.create(each, vpc.id, f"10.0.{n}.0/24") for n, each in enumerate("ab", 1)]
        await self.operator.attachments.create(vpc.id, NetnsTarget(namespace=vpc.name), "default")
        return vpc, subnets[0], subnets[1]

    async def told(self, endpoint: str) -> EndpointForwarding:
        """What gateways were told last."""
        events = await self.services.endpoint_store.load(f"endpoint-{endpoint}")
        return EndpointEvent.FromString(events[-1].data).forwarding.endpoint

    async def clients(self, endpoint: str, *cidrs: str) -> None:
        async def there() -> bool:
            return sorted((await self.told(endpoint)).allowed_cidrs) == sorted(cidrs)

        await until(self.services.endpoint_store, there)

    async def endpoints(self, service: EndpointService) -> list[Endpoint]:
        return [each async for each in self.shop.endpoints.list(service_id=service.id)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    path = tmp_path_factory.mktemp("routes")
    async with two_services(path, Limits(endpoints=-1)) as services:
        clients = [services.client(account) for account in ("operator", "shop", "stranger")]
        operator, shop, stranger = clients
        ops = await operator.vpcs.create("ops", ["10.0.0.0/24"])
        await operator.attachments.create(ops.id, NetnsTarget(namespace="ops"), "default")
        yield Scene(services, operator, shop, stranger, ops)
        for client in clients:
            await client.close()


async def outcomes(*calls: Awaitable[T]) -> tuple[list[T], list[errors.SidegateError]]:
    done = await asyncio.gather(*calls, return_exceptions=True)
    refused = [each for each in done if isinstance(each, errors.SidegateError)]
    assert not [each for each in done if isinstance(each, BaseException) and each not in refused]
    return [each for each in done if not isinstance(each, BaseException)], refused


def policy(*statements: tuple[str, str | Sequence[str]]) -> str:
    made = [{"Effect": effect, "Action": "*", "Resource": resource} for effect, resource in statements]
    return json.dumps({"Statement": made})


async def tables(client: Client, vpc: Vpc) -> dict[str, RouteTable]:
    return {table.name: table async for table in client.route_tables.list(vpc.id)}


async def test_every_vpc_has_a_default_table_and_a_subnet_is_in_exactly_one(scene: Scene) -> None:
    vpc, a, b = await scene.network()
    (default,) = (await tables(scene.shop, vpc)).values()
    assert (default.name, default.by_default, list(default.subnet_ids)) == ("default", True, [a.id, b.id])
    assert await scene.shop.route_tables.get(default.id) == default
    private = await scene.shop.route_tables.create("private", vpc.id, [b.id])
    assert list((await scene.shop.route_tables.get(default.id)).subnet_ids) == [a.id]
    storage = await scene.shop.route_tables.create("storage", vpc.id, [a.id, b.id], description="both")
    known = await tables(scene.shop, vpc)
    assert {name: list(table.subnet_ids) for name, table in known.items()} == {
        "default": [],
        "private": [],
        "storage": [a.id, b.id],
    }
    await scene.shop.subnets.delete(a.id)
    assert list((await scene.shop.route_tables.get(storage.id)).subnet_ids) == [b.id]
    await scene.shop.route_tables.update(storage.id, subnet_ids=[], name="none")
    await scene.shop.route_tables.delete(private.id)
    assert list((await tables(scene.shop, vpc))["default"].subnet_ids) == [b.id]
    with pytest.raises(errors.SidegateError) as refused:
        await scene.shop.route_tables.delete(default.id)
    assert refused.value.reason == "ROUTE_TABLE_DEFAULT"
    for asked in (scene.stranger.route_tables.get(storage.id), scene.stranger.route_tables.delete(default.id)):
        with pytest.raises(errors.NotFound):
            await asked


async def test_an_endpoint_is_the_routes_that_its_tables_and_its_policy_make(scene: Scene) -> None:
    vpc, a, _b = await scene.network()
    wide, narrow = scene.prefix(), scene.prefix()
    service = await scene.publish(wide, narrow, ports=[tcp(443, 443), tcp(80, 80)])
    part = wide.replace(".0/24", ".128/25")
    said = policy(("Allow", "*"), ("Deny", part), ("Deny", f"{narrow} tcp/80"))
    made = await scene.shop.endpoints.create(service.id, vpc_id=vpc.id, policy=said)
    (default,) = (await tables(scene.shop, vpc)).values()
    assert (made.type, made.address, made.subnet_id, made.port_id) == (GATEWAY, "", "", "")
    assert (list(made.route_tables), list(made.public_prefixes)) == ([default.id], [wide, narrow])
    assert [each.id for each in await scene.endpoints(service)] == [made.id]
    entry = await scene.told(made.id)
    assert (entry.address, sorted(entry.allowed_cidrs)) == (wide.partition("/")[0], ["10.0.1.0/24", "10.0.2.0/24"])
    routes = {route.prefix: (route.denied, [port.client_port for port in route.ports]) for route in entry.routes}
    assert routes == {wide: (False, []), narrow: (False, [443]), part: (True, [])}
    assert next(route.prefix for route in entry.routes) == wide
    # What the service publishes from now on, too, is not what the policy denies.
    await scene.operator.services.update(service.id, port_mappings=[tcp(443, 443), tcp(80, 80), tcp(8443, 443)])

    async def follows() -> bool:
        now_told = {
            route.prefix: [port.client_port for port in route.ports] for route in (await scene.told(made.id)).routes
        }
        return now_told[narrow] == [443, 8443]

    await until(scene.services.endpoint_store, follows)
    await scene.shop.subnets.delete(a.id)
    await scene.clients(made.id, "10.0.2.0/24")


async def test_clients_follow_what_the_tables_have(scene: Scene) -> None:
    vpc, a, b = await scene.network()
    private = await scene.shop.route_tables.create("private", vpc.id, [b.id])
    service = await scene.publish()
    made = await scene.shop.endpoints.create(service.id, vpc_id=vpc.id, route_tables=[private.id])
    await scene.clients(made.id, "10.0.2.0/24")
    generation = (await scene.shop.endpoints.get(made.id)).generation
    await scene.shop.route_tables.update(private.id, subnet_ids=[a.id])
    await scene.clients(made.id, "10.0.1.0/24")
    assert (await scene.shop.endpoints.get(made.id)).generation > generation
    await scene.shop.route_tables.update(private.id, subnet_ids=[])
    await scene.clients(made.id, "255.255.255.255/32")
    default = (await tables(scene.shop, vpc))["default"]
    moved = await scene.shop.endpoints.update(made.id, route_tables=[default.id, private.id])
    assert list(moved.route_tables) == [default.id, private.id]
    await scene.clients(made.id, "10.0.1.0/24", "10.0.2.0/24")
    await scene.shop.subnets.create("c", vpc.id, "10.0.3.0/24")
    await scene.clients(made.id, "10.0.1.0/24", "10.0.2.0/23")


async def test_a_table_that_an_endpoint_is_in_stays_until_it_is_in_another(scene: Scene) -> None:
    vpc, _a, b = await scene.network()
    private = await scene.shop.route_tables.create("private", vpc.id, [b.id])
    service = await scene.publish()
    made = await scene.shop.endpoints.create(service.id, vpc_id=vpc.id, route_tables=[private.id])
    with pytest.raises(errors.WrongState) as refused:
        await scene.shop.route_tables.delete(private.id)
    assert (refused.value.reason, refused.value.blockers) == ("ROUTE_TABLE_IN_USE", (made.id,))
    with pytest.raises(errors.InvalidRequest) as overlapping:
        await scene.shop.vpcs.update(vpc.id, cidrs=["10.0.0.0/16", made.public_prefixes[0]])
    assert overlapping.value.reason == "PREFIX_OVERLAPS_VPC"
    assert made.public_prefixes[0] in overlapping.value.text
    default = (await tables(scene.shop, vpc))["default"]
    await scene.shop.endpoints.update(made.id, route_tables=[default.id])
    await scene.shop.route_tables.delete(private.id)
    await scene.shop.endpoints.delete(made.id)

    async def free() -> bool:
        return not await scene.services.registry_store.holders("endpoint-routes", made.id)

    await until(scene.services.registry_store, free)
    await scene.shop.vpcs.update(vpc.id, cidrs=["10.0.0.0/16", made.public_prefixes[0]])


async def test_one_of_many_at_once_gets_a_route_table_and_the_others_are_told_who_has_it(scene: Scene) -> None:
    vpc, *_ = await scene.network()
    service = await scene.publish()
    made, refused = await outcomes(*(scene.shop.endpoints.create(service.id, vpc_id=vpc.id) for _ in range(MANY)))
    (only,) = made
    assert {(each.reason, each.blockers) for each in refused} == {("ROUTE_TABLE_TAKEN", (only.id,))}
    assert len(refused) == MANY - 1
    assert all(only.id in each.text and only.route_tables[0] in each.text for each in refused)
    other = await scene.shop.route_tables.create("other", vpc.id)
    with pytest.raises(errors.AlreadyExists) as second:
        await scene.shop.endpoints.create(service.id, vpc_id=vpc.id, route_tables=[other.id])
    assert (second.value.reason, second.value.blockers) == ("ONE_ENDPOINT_PER_VPC", (only.id,))
    # Nothing is left of those that were refused: neither a hold on their tables, nor an endpoint.
    await scene.shop.route_tables.delete(other.id)
    held = await scene.services.registry_store.holders("endpoint-routes", "")
    assert [id_ for id_, stream in held.items() if stream == f"vpc-{vpc.id}"] == [only.id]
    assert [each.id for each in await scene.endpoints(service)] == [only.id]


async def test_tables_are_deleted_and_taken_at_once_and_one_of_the_two_wins(scene: Scene) -> None:
    vpc, *_ = await scene.network()
    service = await scene.publish()
    named = [await scene.shop.route_tables.create(f"t{number}", vpc.id) for number in range(10)]
    made = await scene.shop.endpoints.create(service.id, vpc_id=vpc.id)
    calls = [call for table in named for call in (
        scene.shop.route_tables.delete(table.id),
        scene.shop.endpoints.update(made.id, route_tables=[table.id]),
    )]  # fmt: skip
    await outcomes(*calls)
    after = await scene.shop.endpoints.get(made.id)
    there = {table.id for table in (await tables(scene.shop, vpc)).values()}
    assert set(after.route_tables) <= there


async def test_prefixes_of_services_are_apart_however_many_are_published_at_once(scene: Scene) -> None:
    same = scene.prefix()
    made, refused = await outcomes(*(scene.publish(same) for _ in range(MANY)))
    assert len(made) == 1
    assert {each.reason for each in refused} == {"PREFIX_TAKEN"}
    assert all(f"overlaps the public prefix {same}" in each.text for each in refused)
    nested = [f"101.0.{number}.0/24" for number in range(MANY // 2)]
    made, refused = await outcomes(*(scene.publish(each) for each in (*nested, *["101.0.0.0/16"] * (MANY // 2))))
    found = {prefix for service in made for prefix in service.public_prefixes}
    assert found in (set(nested), {"101.0.0.0/16"})
    for service in made:
        await scene.operator.services.delete(service.id)
    (again,) = (await outcomes(scene.publish("101.0.0.0/16")))[0]
    for inside in ("101.0.9.0/24", "101.0.0.0/8"):
        with pytest.raises(errors.AlreadyExists):
            await scene.publish(inside)
    await scene.operator.services.delete(again.id)


@pytest.mark.parametrize(
    ("prefixes", "reason"),
    [
        ((), "PREFIXES_MISSING"),
        (("100.127.0.0",), "MALFORMED_CIDR"),
        (("100.127.0.1/24",), "MALFORMED_CIDR"),
        (("96.0.0.0/7",), "PREFIX_OUT_OF_RANGE"),
        (("198.19.0.0/16",), "CIDR_RESERVED"),
        (("fd73:6964:6567:6175::/96",), "CIDR_RESERVED"),
        (("224.1.0.0/16",), "CIDR_NOT_UNICAST"),
        (("100.127.0.0/16", "100.127.4.0/24"), "PREFIXES_OVERLAP"),
        (("2001:db8::/32",), "PREFIX_IP_VERSION"),
    ],
)
async def test_prefixes_that_cannot_be_are_refused(scene: Scene, prefixes: Sequence[str], reason: str) -> None:
    with pytest.raises(errors.InvalidRequest) as refused:
        await scene.operator.services.create(
            "bad", scene.ops.id, [Backend(address="10.0.0.10")], [tcp(443, 443)], service_type=GATEWAY,
            public_prefixes=prefixes,
        )  # fmt: skip
    assert refused.value.reason == reason


async def test_only_the_operator_publishes_a_gateway_and_only_a_gateway_has_prefixes(scene: Scene) -> None:
    vpc, *_ = await scene.network()
    backend = [Backend(address="10.0.1.10")]
    with pytest.raises(errors.Forbidden):
        await scene.shop.services.create(
            "mine", vpc.id, backend, [tcp(443, 443)], service_type=GATEWAY, public_prefixes=[scene.prefix()]
        )
    with pytest.raises(errors.InvalidRequest) as refused:
        await scene.shop.services.create("mine", vpc.id, backend, [tcp(443, 443)], public_prefixes=[scene.prefix()])
    assert refused.value.reason == "PREFIXES_OF_INTERFACE"


async def test_what_a_gateway_type_endpoint_cannot_have_is_refused_and_nothing_is_left(scene: Scene) -> None:
    vpc, a, _b = await scene.network()
    service = await scene.publish("102.0.0.0/16")
    foreign = (await tables(scene.operator, scene.ops))["default"]
    bad = {
        "ADDRESS_OF_GATEWAY": {"subnet_id": a.id, "vpc_id": vpc.id},
        "VPC_MISSING": {"subnet_id": a.id},
        "WHITELIST_OF_GATEWAY": {"vpc_id": vpc.id, "allowed_cidrs": ["10.0.1.0/24"]},
        "DNS_OF_GATEWAY": {"vpc_id": vpc.id, "dns_enabled": True},
        "NOT_FOUND": {"vpc_id": vpc.id, "route_tables": [foreign.id]},
        "POLICY_INVALID": {"vpc_id": vpc.id, "policy": policy(("Allow", "103.0.0.0/24"))},
        "POLICY_NOT_ENFORCEABLE": {
            "vpc_id": vpc.id,
            "policy": json.dumps({"Statement": [{"Effect": "Allow", "Action": ["obs:GetObject"], "Resource": ["*"]}]}),
        },
    }
    for reason, fields in bad.items():
        with pytest.raises(errors.SidegateError) as refused:
            await scene.shop.endpoints.create(service.id, **fields)  # type: ignore[arg-type] # as many kinds as fields
        assert refused.value.reason == reason
    assert "statement 1: the Action 'obs:GetObject'" in refused.value.text
    assert "a gateway sees addresses, ports and accounts" in refused.value.text
    clash = await scene.shop.vpcs.create("clash", ["102.0.1.0/24"])
    await scene.operator.attachments.create(clash.id, NetnsTarget(namespace="clash"), "default")
    with pytest.raises(errors.InvalidRequest) as overlapping:
        await scene.shop.endpoints.create(service.id, vpc_id=clash.id)
    assert overlapping.value.reason == "PREFIX_OVERLAPS_VPC"
    assert "102.0.0.0/16" in overlapping.value.text
    assert "102.0.1.0/24" in overlapping.value.text
    held = await scene.services.registry_store.holders("endpoint-routes", "")
    assert not [id_ for id_, stream in held.items() if stream in (f"vpc-{vpc.id}", f"vpc-{clash.id}")]
    assert await scene.endpoints(service) == []
    made = await scene.shop.endpoints.create(service.id, vpc_id=vpc.id)
    for reason, changes in {
        "POLICY_NOT_ENFORCEABLE": {"policy": policy(("Deny", "bucket/*"))},
        "WHITELIST_OF_GATEWAY": {"allowed_cidrs": ["10.0.1.0/24"]},
        "ROUTE_TABLES_MISSING": {"route_tables": []},
    }.items():  # fmt: skip
        with pytest.raises(errors.SidegateError) as unchanged:
            await scene.shop.endpoints.update(made.id, **changes)  # type: ignore[arg-type] # as above
        assert unchanged.value.reason == reason
    assert (await scene.shop.endpoints.get(made.id)).etag == made.etag


async def test_what_was_held_for_an_endpoint_that_never_came_is_given_back_after_a_minute(scene: Scene) -> None:
    vpc, *_ = await scene.network()
    service = await scene.publish()
    await scene.shop.endpoints.create(service.id, vpc_id=vpc.id)
    registry = scene.services.registry_client
    stranger = str(uuid4())
    owner = Principal("shop", "live")
    await registry.reserve(endpoint=stranger, owner=owner, service=service.id, place=Place("", vpc=vpc.id))
    reservations = scene.services.registry.reservations
    await reservations.release_unknown(now())
    assert await scene.services.registry_store.holders("endpoint-routes", stranger)
    await reservations.release_unknown(now() + 61 * SECOND)
    assert not await scene.services.registry_store.holders("endpoint-routes", stranger)


async def test_many_that_hold_routes_are_asked_for_in_as_many_questions_as_it_takes(scene: Scene) -> None:
    """One is about a thousand endpoints at most, and its refusal would keep everything held for ever."""
    vpc, *_ = await scene.network()
    service = await scene.publish()
    registry, owner = scene.services.registry, Principal("shop", "live")
    others = tuple(routes_claim(str(uuid4())) for _ in range(1000))
    hold = RouteHold(LAST_ID, owner, service.id, (), networks_of(service.public_prefixes), now())
    context = on_our_own("Test", now())
    await registry.routes.reserve(hold, vpc.id, Constraints(claims=others), context)
    await registry.reservations.release_unknown(now() + 61 * SECOND)
    assert not await scene.services.registry_store.holders("endpoint-routes", LAST_ID)
    await registry.routes.reserve(hold, vpc.id, Constraints(releases=others), context)
    await registry.routes.release(LAST_ID, context)


async def test_a_start_lets_go_of_what_a_crash_left_held_and_hears_what_was_missed(scene: Scene) -> None:
    vpc, _a, b = await scene.network()
    service = await scene.publish()
    made = await scene.shop.endpoints.create(service.id, vpc_id=vpc.id)
    extra = await scene.shop.route_tables.create("extra", vpc.id)
    held = [made.route_tables[0], extra.id]
    await scene.services.registry_client.hold(made.id, Principal("shop", "live"), vpc.id, held)
    with pytest.raises(errors.WrongState):
        await scene.shop.route_tables.delete(extra.id)
    await scene.services.application.forwarding.resync()
    await scene.shop.route_tables.delete(extra.id)
    await scene.shop.subnets.delete(b.id)
    await scene.services.application.forwarding.resync()
    assert list((await scene.told(made.id)).allowed_cidrs) == ["10.0.1.0/24"]


async def test_routes_of_ipv6_lead_from_subnets_of_ipv6(scene: Scene) -> None:
    ops = await scene.operator.vpcs.create(f"ops6-{uuid4().hex[:8]}", ["fd00:10::/48"])
    await scene.operator.attachments.create(ops.id, NetnsTarget(namespace=ops.name), "default")
    prefixes = ("2001:db8:100::/48", "2001:db8:200::1/128")
    service = await scene.publish_in(ops, "fd00:10::a", *prefixes)
    vpc = await scene.shop.vpcs.create(f"both-{uuid4().hex[:8]}", ["10.0.0.0/16", "fd00:20::/48"])
    await scene.operator.attachments.create(vpc.id, NetnsTarget(namespace=vpc.name), "default")
    await scene.shop.subnets.create("four", vpc.id, "10.0.1.0/24")
    made = await scene.shop.endpoints.create(service.id, vpc_id=vpc.id)
    entry = await scene.told(made.id)
    assert (entry.address, list(entry.allowed_cidrs)) == ("2001:db8:100::", ["ff02::1/128"])
    assert [route.prefix for route in entry.routes] == list(prefixes)
    await scene.shop.subnets.create("six", vpc.id, "fd00:20::/64")
    await scene.clients(made.id, "fd00:20::/64")
    with pytest.raises(errors.AlreadyExists):
        await scene.publish_in(ops, "fd00:10::a", "2001:db8:100:7::/64")


async def test_claims_and_counters_follow_from_the_events(scene: Scene) -> None:
    registry, endpoint = scene.services.registry_store, scene.services.endpoint_store
    events = await registry.read(0, 100_000)
    rebuilt = rebuild_holdings(events, scene.services.registry.streams.meaning())
    for kind in ("endpoint-routes", "public-prefix"):
        live = await registry.holders(kind, "")
        assert {claim.key: held for claim, held in rebuilt.claims.items() if claim.kind == kind} == live
    counted = {key: value for key, value in rebuilt.counters.items() if key[0] in ("prefix-exact", "prefix-under")}
    assert counted
    for (kind, key), value in counted.items():
        assert await registry.count(kind, key) == value
    of_endpoints = Streams(endpoint).endpoints.meaning()
    stored = [event for event in await endpoint.read(0, 100_000) if event.stream.startswith("endpoint-")]
    again = rebuild_holdings(stored, of_endpoints)
    for kind in ("route-table", "vpc-routes"):
        held = {claim.key: stream for claim, stream in again.claims.items() if claim.kind == kind}
        assert held == await endpoint.holders(kind, "")


async def test_who_watches_route_tables_is_told_of_his_own(scene: Scene) -> None:
    vpc, a, _b = await scene.network()
    private = await scene.shop.route_tables.create("private", vpc.id)
    told: list[tuple[str, list[str]]] = []
    async with asyncio.timeout(30):
        async with scene.shop.route_tables.watch(id=private.id, after=0) as changes:
            await scene.shop.route_tables.update(private.id, subnet_ids=[a.id])
            await scene.shop.route_tables.delete(private.id)
            async for answer in changes:
                told += [(change.what, list(change.route_table.subnet_ids)) for change in answer.changes]
                if told and told[-1][0] == "deleted":
                    break
    assert told == [("created", []), ("changed", [a.id]), ("deleted", [a.id])]


async def test_an_endpoint_with_an_address_is_in_no_route_table(scene: Scene) -> None:
    vpc, a, _b = await scene.network()
    service = await scene.operator.services.create(
        "plain", scene.ops.id, [Backend(address="10.0.0.10")], [tcp(443, 443)], server_type=CLOUD
    )
    default = (await tables(scene.shop, vpc))["default"]
    with pytest.raises(errors.InvalidRequest) as refused:
        await scene.shop.endpoints.create(service.id, a.id, route_tables=[default.id])
    assert refused.value.reason == "ROUTE_TABLES_OF_INTERFACE"
    with pytest.raises(errors.InvalidRequest) as nowhere:
        await scene.shop.endpoints.create(service.id, vpc_id=vpc.id)
    assert nowhere.value.reason == "SUBNET_MISSING"
    made = await scene.shop.endpoints.create(service.id, a.id)
    assert made.type == EndpointService.SERVICE_TYPE_INTERFACE
    with pytest.raises(errors.InvalidRequest) as unchanged:
        await scene.shop.endpoints.update(made.id, route_tables=[default.id])
    assert unchanged.value.reason == "ROUTE_TABLES_OF_INTERFACE"
