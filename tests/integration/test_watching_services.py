"""`Watch` of the services, over gRPC: who is told what, how it ends, and that a client goes on by itself."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from services.common.identity.ended import EVERY, Ended
from services.common.rpc.audit import AuditServicer
from services.common.rpc.records import to_log_record
from services.common.rpc.server import Hosted, RpcServer
from services.common.watching.limits import WatchLimits
from services.endpoint.application.limits import Limits
from services.registry.application.registry import Registry
from services.registry.application.settings import Settings
from services.registry.servicer import RegistryServicer
from sidegate import channels, errors
from sidegate.api.events.v1 import log_pb2_grpc
from sidegate.api.registry.v1 import registry_service_pb2_grpc as registry_grpc
from sidegate.api.registry.v1 import watch_pb2
from sidegate.api.registry.v1.endpoint_service_pb2 import Backend, PortMapping
from sidegate.api.registry.v1.vpc_pb2 import NetnsTarget
from sidegate.client import Client
from sidegate.resources.logs import LogName
from sidegate.transport import Caller
from sidegate.watching import Place, Watch
from tests.support import identity
from tests.support.identity import Known
from tests.support.registry_service import FakeEndpoints, RegistryWorld, running_registry
from tests.support.two_services import TwoServices, two_services, until

DEADLINE = 30.0


async def told(watch: Watch[Any], wanted: int) -> list[Any]:
    """The answers with changes, until there were as many changes as wanted."""
    found: list[Any] = []
    async with asyncio.timeout(DEADLINE), watch:
        async for answer in watch:
            found += [answer] * bool(answer.changes)
            if sum(len(each.changes) for each in found) >= wanted:
                return found
    raise AssertionError("a watch ended")


async def changes(watch: Watch[Any], wanted: int) -> list[Any]:
    return [change for answer in await told(watch, wanted) for change in answer.changes]


def words(found: Iterable[Any]) -> list[str]:
    return [change.what for change in found]


@dataclass
class Story:
    """`shop` has an endpoint of the service of `payments`; nothing of it has been watched yet."""

    services: TwoServices
    shop: Client
    payments: Client
    stranger: Client
    operator: Client
    subnet: str
    service: str
    endpoint: str


@pytest.fixture
async def story(tmp_path: Path) -> AsyncIterator[Story]:
    async with AsyncExitStack() as stack:
        services = await stack.enter_async_context(two_services(tmp_path, Limits()))
        addresses = (services.registry_address, services.endpoint_address)

        async def client(account: str) -> Client:
            return await stack.enter_async_context(Known(*addresses, account=account, project="live", timeout=20))

        shop, payments, stranger, operator = [
            await client(account) for account in ("shop", "payments", "stranger", "operator")
        ]
        vpcs = {name: await each.vpcs.create(name, ["10.0.0.0/24"]) for name, each in (("s", shop), ("p", payments))}
        for name, vpc in vpcs.items():
            await operator.attachments.create(vpc.id, NetnsTarget(namespace=f"namespace-of-{name}"))
        subnet = await shop.subnets.create("front", vpcs["s"].id, "10.0.0.0/25")
        published = await payments.services.create(
            "web",
            vpcs["p"].id,
            [Backend(address="10.0.0.77")],
            [PortMapping(client_port=80, server_port=8080)],
            approval_required=True,
        )
        await payments.services.permit(published.id, ["iam:domain::shop"])
        made = await shop.endpoints.create(published.id, subnet.id, name="secret-name", allowed_cidrs=["10.0.0.16/28"])
        yield Story(services, shop, payments, stranger, operator, subnet.id, published.id, made.id)


async def test_each_change_is_told_as_get_shows_it_to_the_consumer_and_to_the_provider(story: Story) -> None:
    mine = story.shop.endpoints.watch(after=0, service_id=story.service)
    theirs = story.payments.connections.watch(after=0, service_id=story.service)
    first, seen = (await anext(mine), await anext(mine))[1], (await anext(theirs), await anext(theirs))[1]
    shown = [await story.shop.endpoints.get(story.endpoint)]
    connected = [await story.payments.connections.get(story.service, story.endpoint)]
    await story.payments.connections.accept(story.service, story.endpoint)
    shown.append(await story.shop.endpoints.get(story.endpoint))
    connected.append(await story.payments.connections.get(story.service, story.endpoint))
    await story.shop.endpoints.update(story.endpoint, name="another")
    shown.append(await story.shop.endpoints.get(story.endpoint))
    connected.append(await story.payments.connections.get(story.service, story.endpoint))
    await story.payments.connections.reject(story.service, story.endpoint)
    shown.append(await story.shop.endpoints.get(story.endpoint))
    connected.append(await story.payments.connections.get(story.service, story.endpoint))
    await story.shop.endpoints.delete(story.endpoint)
    for each in shown:
        each.ClearField("ready")
        each.ClearField("applied_generation")
        each.ClearField("sources")
        each.ClearField("backends")
    heard = [*first.changes, *await changes(mine, 5)]
    assert [change.endpoint for change in heard[:-2]] == shown
    happened = ["requested", "approved", "changed", "rejected", "deletion_requested", "deleted"]
    assert words(heard) == happened
    assert [change.deleted for change in heard] == [False] * 5 + [True]
    heard = [*seen.changes, *await changes(theirs, 5)]
    assert [change.connection for change in heard[:-2]] == connected
    assert words(heard) == happened


def bytes_of(answers: Iterable[Message]) -> bytes:
    return b"".join(answer.SerializeToString() for answer in answers)


async def test_nobody_learns_anything_of_the_other_side(story: Story) -> None:
    await story.payments.connections.accept(story.service, story.endpoint)
    endpoint = await story.shop.endpoints.get(story.endpoint)
    service = await story.payments.services.get(story.service)
    provider = bytes_of(await told(story.payments.connections.watch(after=0), 2))
    provider += bytes_of(await told(story.payments.services.watch(after=0), 3))
    for hidden in (
        *(endpoint.subnet_id, endpoint.vpc_id, endpoint.address, endpoint.port_id, endpoint.name),
        *endpoint.allowed_cidrs,
    ):
        assert hidden
        assert hidden.encode() not in provider
    consumer = bytes_of(await told(story.shop.endpoints.watch(after=0), 2))
    for hidden in (service.vpc_id, service.account, "10.0.0.77", "namespace-of", "198.19", "iam:domain"):
        assert hidden
        assert hidden.encode() not in consumer


async def test_a_stranger_is_told_nothing_whatever_he_asks_for(story: Story) -> None:
    stranger = story.stranger
    end = (await story.services.endpoint_store.head()).position
    for watch in (
        stranger.endpoints.watch(after=0),
        stranger.endpoints.watch(after=0, id=story.endpoint),
        stranger.connections.watch(after=0, service_id=story.service),
        story.shop.connections.watch(after=0, service_id=story.service),
        story.payments.endpoints.watch(after=0, id=story.endpoint),
    ):
        async with asyncio.timeout(DEADLINE), watch:
            async for answer in watch:
                assert not answer.changes
                if answer.position >= end:
                    break


async def test_only_the_operator_is_told_of_attachments_and_of_every_vpc(story: Story) -> None:
    operator, shop = story.operator, story.shop
    attached = await changes(operator.attachments.watch(after=0), 2)
    assert {change.attachment.netns.namespace for change in attached} == {"namespace-of-s", "namespace-of-p"}
    assert {change.vpc.name for change in await changes(operator.vpcs.watch(after=0), 2)} == {"s", "p"}
    end = (await story.services.registry_store.head()).position
    async with asyncio.timeout(DEADLINE), shop.attachments.watch(after=0) as watch:
        async for answer in watch:
            assert not answer.changes
            if answer.position >= end:
                break
    assert {change.vpc.name for change in await changes(shop.vpcs.watch(after=0), 1)} == {"s"}
    ports = await changes(shop.ports.watch(after=0), 1)
    assert [change.port.holder for change in ports] == [f"endpoint/{story.endpoint}"]


async def test_a_watch_of_one_kind_or_one_resource_is_of_nothing_else(story: Story) -> None:
    other = await story.payments.services.create(
        "other",
        (await story.payments.services.get(story.service)).vpc_id,
        [Backend(address="10.0.0.9")],
        [PortMapping(client_port=1, server_port=1)],
    )
    found = await changes(story.payments.services.watch(after=0, id=other.id), 2)
    assert {change.service.id for change in found} == {other.id}
    assert words(found) == ["created", "opened"]
    assert {change.WhichOneof("resource") for change in await changes(story.payments.services.watch(after=0), 5)} == {
        "service"
    }


async def test_listing_after_the_first_answer_misses_nothing(story: Story) -> None:
    async with story.shop.endpoints.watch() as watch:
        first = await anext(watch)
        assert not first.changes
        listed = [each.id async for each in story.shop.endpoints.list()]
        assert listed == [story.endpoint]
        await story.shop.endpoints.update(story.endpoint, name="later")
        assert [change.endpoint.name for change in await changes(watch, 1)] == ["later"]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[RegistryWorld]:
    async with running_registry(tmp_path) as running:
        yield running


async def refusal(address: str, request: watch_pb2.WatchRequest) -> tuple[grpc.StatusCode, error_details_pb2.ErrorInfo]:
    """How a watch ended, by what came over the wire."""
    async with identity.channel(address) as channel:
        call = registry_grpc.RegistryServiceStub(channel).Watch(
            request, metadata=identity.metadata("payments", "payments-live")
        )
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for _ in call:
                pass
        trailing = dict(caught.value.trailing_metadata() or ())["grpc-status-details-bin"]
        assert isinstance(trailing, bytes)
        info = error_details_pb2.ErrorInfo()
        assert any(each.Unpack(info) for each in status_pb2.Status.FromString(trailing).details)
        return caught.value.code(), info


@pytest.mark.parametrize("before", [EVERY, 2], ids=["revoked", "rotated"])
async def test_a_watch_ends_with_the_key_that_it_was_begun_with(world: RegistryWorld, before: int) -> None:
    """It went on for as long as its reader liked, of a key that was revoked long before."""
    ends, stays = f"AKENDS{before}", f"AKSTAYS{before}"
    async with identity.channel(world.address) as channel:
        watches: dict[str, Any] = {
            key: registry_grpc.RegistryServiceStub(channel).Watch(
                watch_pb2.WatchRequest(),
                metadata=(("authorization", f"Bearer {identity.token('payments', 'payments-live', None, key)}"),),
            )
            for key in (ends, stays)
        }
        async with asyncio.timeout(DEADLINE):
            for watch in watches.values():
                await watch.read()
            world.access.verifier._ended.end(Ended(ends, before, time.time_ns()))
            with pytest.raises(grpc.aio.AioRpcError) as ended:
                while True:
                    await watches[ends].read()
            assert ended.value.code() is grpc.StatusCode.UNAUTHENTICATED
            await world.payments.vpc(name="after")
            while "after" not in [change.vpc.name for change in (await watches[stays].read()).changes]:
                pass
            watches[stays].cancel()


async def test_each_end_has_its_code_and_says_how_to_go_on(world: RegistryWorld) -> None:
    for number in range(5):
        await world.payments.vpc(name=f"vpc-{number}")
    code, info = await refusal(world.address, watch_pb2.WatchRequest(after=6))
    assert (code, info.reason, info.metadata["position"]) == (grpc.StatusCode.OUT_OF_RANGE, "POSITION_AHEAD", "5")
    head = await world.store.head()
    code, info = await refusal(world.address, watch_pb2.WatchRequest(after=1, log_id=head.log_id, epoch=2))
    assert (code, info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "LOG_CHANGED")
    assert info.metadata["log_id"] == head.log_id
    with pytest.raises(errors.InvalidRequest):
        request = watch_pb2.WatchRequest(id="no uuid")
        await anext(Caller(world.address, identity.bearer("a", "b")).stream(world.payments.stub.Watch, request))


@dataclass
class Serving:
    """The registry of a world again, on a server of its own, as narrow as a test wants it."""

    address: str
    server: RpcServer
    registry: Registry


async def serving(stack: AsyncExitStack, world: RegistryWorld, limits: WatchLimits, listen: str = "") -> Serving:
    registry = Registry(world.store, FakeEndpoints(), Settings(), limits)
    servicer = RegistryServicer(registry)

    def add(server: grpc.aio.Server) -> None:
        registry_grpc.add_RegistryServiceServicer_to_server(servicer, server)

    server = RpcServer(identity.public(listen or "127.0.0.1:0"), [Hosted("registry", add, registry.watching.close)])
    address = await server.start()
    stack.push_async_callback(server.stop, 0)
    return Serving(address, server, registry)


NARROW = WatchLimits(history=3, waiting=50)


async def test_too_old_a_position_is_out_of_range_with_the_oldest(world: RegistryWorld) -> None:
    for number in range(6):
        await world.payments.vpc(name=f"vpc-{number}")
    async with AsyncExitStack() as stack:
        narrow = await serving(stack, world, NARROW)
        code, info = await refusal(narrow.address, watch_pb2.WatchRequest(after=2))
    assert (code, info.reason, info.metadata["oldest"]) == (grpc.StatusCode.OUT_OF_RANGE, "COMPACTED", "4")


async def test_a_reader_that_reads_too_slowly_is_cut_off_and_loses_nothing(
    world: RegistryWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Windows that do not grow with what a fast reader beside it takes.
    monkeypatch.setattr(channels, "OPTIONS", (*channels.OPTIONS, ("grpc.http2.bdp_probe", 0)))
    service = await world.payments.service(await world.payments.vpc())
    await world.payments.permit(service.id, *(f"{'long-' * 11}{number}" for number in range(150)))
    begun = (await world.store.head()).position
    async with AsyncExitStack() as stack:
        narrow = await serving(stack, world, replace(NARROW, history=10_000))
        client = await stack.enter_async_context(Known(narrow.address, account="payments", project="payments-live"))
        interrupted: list[errors.SidegateError] = []
        watch = await stack.enter_async_context(client.services.watch(after=begun, interrupted=interrupted.append))
        await anext(watch)
        await until(world.store, lambda: _true(narrow.registry.watching.watchers == 1))
        reading = asyncio.create_task(changes(client.services.watch(after=begun), 200))
        # Nobody reads `watch` meanwhile: what is sent fills the windows of HTTP/2, then waits, then is too much.
        for number in range(200):
            service.approval_required, service.etag = number % 2 == 0, ""
            await world.payments.change_service(service, "approval_required")
        assert len(await reading) == 200
        found = await changes(watch, 200)
    assert [change.position for change in found] == list(range(begun + 1, begun + 201))
    assert {error.reason for error in interrupted} == {"SLOW_WATCHER"}


async def test_a_server_that_stops_ends_its_watches_at_once_and_clients_go_on_with_the_next(
    world: RegistryWorld,
) -> None:
    async with AsyncExitStack() as stack:
        one = await serving(stack, world, WatchLimits())
        client = await stack.enter_async_context(Known(one.address, account="payments", project="payments-live"))
        interrupted: list[errors.SidegateError] = []
        watches = [client.vpcs.watch(after=0, interrupted=interrupted.append) for _ in range(120)]
        for watch in watches:
            await stack.enter_async_context(watch)
            await anext(watch)
        reading = [asyncio.create_task(changes(watch, 2)) for watch in watches]
        await world.payments.vpc(name="before")
        await until(world.store, lambda: _true(one.registry.watching.watchers == 120))
        async with asyncio.timeout(5):
            await one.server.stop(grace=60)
        await world.payments.vpc(name="after")
        await serving(stack, world, WatchLimits(), one.address)
        async with asyncio.timeout(DEADLINE):
            found = await asyncio.gather(*reading)
    assert {tuple(change.vpc.name for change in each) for each in found} == {("before", "after")}
    assert len(interrupted) >= 120


async def _true(condition: bool) -> bool:
    return condition


async def test_who_goes_away_takes_no_seat(world: RegistryWorld) -> None:
    async with AsyncExitStack() as stack:
        served = await serving(stack, world, WatchLimits(bookmark_seconds=0.05))
        client = await stack.enter_async_context(Known(served.address, account="payments", project="payments-live"))
        watch = client.vpcs.watch()
        await anext(watch)
        assert served.registry.watching.watchers == 1
        await watch.aclose()
        async with asyncio.timeout(DEADLINE):
            while served.registry.watching.watchers:
                await asyncio.sleep(0.01)


async def test_without_a_server_a_watch_fails_at_once(world: RegistryWorld) -> None:
    async with Known("127.0.0.1:1", account="a", project="b") as client:
        with pytest.raises(errors.Unavailable):
            await anext(client.vpcs.watch())


async def test_the_operator_follows_the_log_record_by_record_and_nobody_else_may(world: RegistryWorld) -> None:
    audit = AuditServicer(world.store, "registry")

    def add(server: grpc.aio.Server) -> None:
        log_pb2_grpc.add_AuditServiceServicer_to_server(audit, server)

    server = RpcServer(identity.public(), [Hosted("audit", add, audit.watching.close)])
    address = await server.start()
    try:
        vpc = await world.payments.vpc()
        async with (
            Known(address, address, account="operator", project="platform") as operator,
            operator.audit.log(LogName.REGISTRY).follow(after=0) as log,
        ):
            found = [await anext(log), await anext(log)]
            await world.payments.service(vpc)
            while found[-1].position < (await world.store.head()).position:
                found.append(await anext(log))
        recorded = list(map(to_log_record, await world.store.read(0, 100)))
        assert [record for answer in found for record in answer.records] == recorded
        assert [len(answer.records) for answer in found if answer.records] == [1, 2]
        async with Known(address, address, account="shop", project="live") as shop:
            with pytest.raises(errors.NotFound):
                await anext(shop.audit.log(LogName.REGISTRY).follow())
    finally:
        await server.stop(0)


async def test_a_place_of_another_log_is_refused_by_the_client_too(world: RegistryWorld) -> None:
    await world.payments.vpc()
    async with Known(world.address, account="payments", project="payments-live") as client:
        with pytest.raises(errors.WrongState) as caught:
            await anext(client.vpcs.watch(after=Place(1, "another", 1)))
        assert caught.value.reason == "LOG_CHANGED"
        async with aclosing(client.vpcs.watch()) as watch:
            await anext(watch)
            kept = watch.place
        assert kept.after == 1
        await world.payments.vpc(name="later")
        assert [change.vpc.name for change in await changes(client.vpcs.watch(after=kept), 1)] == ["later"]
