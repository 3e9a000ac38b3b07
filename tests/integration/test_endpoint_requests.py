"""Requests for endpoints: what they leave behind when they succeed, when they fail, and when many come at once."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from services.common.errors import NotFound, QuotaReached, Refused, Unavailable, WrongState
from services.common.eventsourcing.sql_store import SqlStore
from services.common.eventsourcing.store import Append, Appended, RequestReused
from services.common.eventsourcing.store import Unavailable as StoreUnavailable
from services.endpoint.application.limits import Limits
from services.endpoint.application.requests import Wanted
from services.endpoint.application.service import EndpointApplication
from services.endpoint.domain.routes import Place
from services.endpoint.domain.source_addresses import derived
from services.endpoint.domain.targets import Netns
from services.endpoint.projections import TABLE
from services.endpoint.wire.stored import ENDPOINT_STREAM
from sidegate.api.endpoint.v1 import endpoint_pb2 as endpoint_pb
from tests.support.endpoint_service import (
    CONSUMER,
    OPEN_SERVICE,
    PAYMENTS_VPC,
    PROVIDER,
    SERVICE,
    SHOP_VPC,
    STRANGER,
    Clock,
    EndpointWorld,
    FakeRegistry,
    endpoint_world,
    start,
)


class Killed(BaseException):
    """The program ends here."""


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[EndpointWorld]:
    async with endpoint_world(tmp_path, Limits(endpoints=5)) as world:
        yield world


async def test_a_request_without_approval_is_creating_and_its_cell_knows_all_it_needs(world: EndpointWorld) -> None:
    created = await world.create()
    assert created.state == endpoint_pb.CONNECTION_STATE_CREATING
    assert created == await world.get(created.id)
    assert await world.types() == [
        "AttachmentChanged",
        "AttachmentChanged",
        "ServiceForwardingChanged",
        "Requested",
        "Approved",
    ]


async def test_a_request_with_approval_waits_for_the_services_owner(world: EndpointWorld) -> None:
    created = await world.create(SERVICE)
    assert created.state == endpoint_pb.CONNECTION_STATE_PENDING_ACCEPTANCE
    assert not created.ready.status
    assert created.etag == "1"


async def test_the_second_endpoint_of_a_service_tells_the_cell_nothing_twice(world: EndpointWorld) -> None:
    await world.create()
    await world.create()
    assert (await world.types())[5:] == ["Requested", "Approved"]


async def test_endpoints_of_one_project_have_markers_and_addresses_of_their_own(world: EndpointWorld) -> None:
    created = [await world.create() for _ in range(5)]
    assert len({each.marker_id for each in created}) == 5
    assert len({each.address for each in created}) == 5
    assert all(0 < each.marker_id < 2**53 for each in created)


async def test_a_repeated_request_gives_the_first_answer_and_takes_nothing_again(world: EndpointWorld) -> None:
    first = await world.create(request_id="r1")
    await world.delete(first.id)
    again = await world.create(request_id="r1")
    assert again == first
    assert len(world.registry.held) == 1
    assert await world.store.count("endpoints", str(CONSUMER)) == 0


async def test_twenty_of_one_request_at_once_make_one_endpoint(world: EndpointWorld) -> None:
    answers = await asyncio.gather(*(world.create(request_id="r1") for _ in range(20)))
    assert len({answer.id for answer in answers}) == 1
    assert len(world.registry.held) == 1
    assert (await world.types()).count("Requested") == 1


async def test_twenty_requests_for_the_last_place_of_a_quota_make_one_endpoint(world: EndpointWorld) -> None:
    for _ in range(4):
        await world.create()
    answers = await asyncio.gather(*(world.create() for _ in range(20)), return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, QuotaReached)]
    assert len(refused) == 19
    assert await world.store.count("endpoints", str(CONSUMER)) == 5
    assert len(world.registry.held) == 5


async def test_a_place_in_the_quota_is_free_again_when_the_endpoint_is_deleted(world: EndpointWorld) -> None:
    created = [await world.create() for _ in range(5)]
    with pytest.raises(QuotaReached, match="5 endpoints"):
        await world.create()
    await world.delete(created[0].id)
    await world.create()


async def test_quotas_of_projects_are_apart(world: EndpointWorld) -> None:
    for _ in range(5):
        await world.create()
    await world.create(by=PROVIDER)


class UnsureStore(SqlStore):
    """A store whose next append is made, and reported as failed: the answer was lost on the way."""

    unsure = False

    async def append(self, append: Append) -> Appended:
        appended = await super().append(append)
        if self.unsure and append.stream.startswith(ENDPOINT_STREAM):
            raise StoreUnavailable("the connection was lost")
        return appended


async def test_an_address_is_kept_where_it_is_not_known_whether_the_endpoint_was_made(tmp_path: Path) -> None:
    store = await UnsureStore.open(tmp_path / "endpoint.db", projections=[TABLE])
    assert isinstance(store, UnsureStore)
    try:
        world = await start(store, FakeRegistry(), Clock(), Limits())
        store.unsure = True
        with pytest.raises(StoreUnavailable):
            await world.create(request_id="r1")
        store.unsure = False
        created = await world.create(request_id="r1")
        assert set(world.registry.held) == {created.id}
        assert (await world.types()).count("Requested") == 1
    finally:
        await store.close()


class PatientRegistry(FakeRegistry):
    """Gives an address back when it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.let_go = asyncio.Event(), asyncio.Event()

    async def release(self, endpoint: str) -> None:
        self.asked.set()
        await self.let_go.wait()
        await super().release(endpoint)


async def test_a_failed_request_does_not_give_back_the_address_of_its_repetition(world: EndpointWorld) -> None:
    created = [await world.create() for _ in range(5)]
    registry = PatientRegistry()
    registry.held = world.registry.held
    patient = await start(world.store, registry, world.clock, Limits(endpoints=5))
    failing = asyncio.create_task(patient.create(request_id="r1"))
    await registry.asked.wait()
    await patient.delete(created[0].id)
    repeated = asyncio.create_task(patient.create(request_id="r1"))
    await asyncio.wait([repeated], timeout=0.2)
    registry.let_go.set()
    with pytest.raises(QuotaReached):
        await failing
    assert (await repeated).id in registry.held


async def test_without_a_common_cell_nothing_is_kept_and_the_words_name_no_network(world: EndpointWorld) -> None:
    world.registry.targets = {(SHOP_VPC, "west"): Netns("shop", ""), (PAYMENTS_VPC, "east"): Netns("payments", "")}
    with pytest.raises(WrongState) as refused:
        await world.create()
    assert refused.value.reason == "NO_COMMON_CELL"
    for secret in ("east", "payments", PAYMENTS_VPC):
        assert secret not in refused.value.text
    assert world.registry.held == {}
    assert await world.types() == []


async def test_the_default_cell_is_preferred_and_then_the_first_by_name(world: EndpointWorld) -> None:
    for cell in ("b", "a"):
        world.registry.targets[SHOP_VPC, cell] = Netns("shop", cell)
        world.registry.targets[PAYMENTS_VPC, cell] = Netns("payments", cell)
    await world.create()
    assert {event.partition for event in await world.store.read(0, 100)} == {"default"}
    for vpc in (SHOP_VPC, PAYMENTS_VPC):
        del world.registry.targets[vpc, "default"]
    created = await world.create()
    assert {event.partition for event in await world.store.load(f"endpoint-{created.id}")} == {"a"}


async def test_a_service_that_may_not_be_connected_to_reads_as_not_there(world: EndpointWorld) -> None:
    async def refusal(service: str) -> tuple[type, str, str]:
        with pytest.raises(Refused) as refused:
            await world.create(service, by=STRANGER)
        return type(refused.value), refused.value.reason, refused.value.text.replace(service, "it")

    nowhere = "66666666-6666-4666-8666-666666666666"
    assert await refusal(OPEN_SERVICE) == await refusal(nowhere)
    assert await world.types() == []


async def test_killed_between_reservation_and_append_a_retry_uses_the_same_address(world: EndpointWorld) -> None:
    world.registry.failpoints["reserve"] = Killed()
    with pytest.raises(Killed):
        await world.create(request_id="r1")
    held = dict(world.registry.held)
    assert len(held) == 1
    assert await world.types() == []
    created = await world.create(request_id="r1")
    assert world.registry.held == held == {created.id: IPv4Address(created.address)}


async def test_killed_between_reservation_and_append_nothing_says_that_the_endpoint_is_there(
    world: EndpointWorld,
) -> None:
    world.registry.failpoints["reserve"] = Killed()
    with pytest.raises(Killed):
        await world.create()
    assert await world.app.endpoints.there(world.registry.held) == []
    assert await world.store.count("endpoints", str(CONSUMER)) == 0


async def test_an_address_that_cannot_be_given_back_is_not_the_callers_trouble(world: EndpointWorld) -> None:
    for _ in range(5):
        await world.create()
    world.registry.refusals["release"] = Unavailable("REGISTRY_UNAVAILABLE", "away")
    with pytest.raises(QuotaReached):
        await world.create()
    endpoints = await world.app.endpoints.there(world.registry.held)
    assert len(world.registry.held) == 6
    assert len(endpoints) == 5


async def test_a_request_that_failed_can_be_made_otherwise_under_the_same_id(world: EndpointWorld) -> None:
    with pytest.raises(NotFound):
        await world.create("66666666-6666-4666-8666-666666666666", request_id="r1")
    created = await world.create(request_id="r1")
    assert created == await world.get(created.id)


async def test_a_request_id_used_for_another_command_is_refused_and_frees_nothing(world: EndpointWorld) -> None:
    created = await world.create(request_id="r1")
    context = world.context(CONSUMER, "CreateEndpoint", "r1")
    other = replace(context, command_hash=b"other".ljust(32, b"."))
    with pytest.raises(RequestReused):
        await world.app.requests.request(Wanted("other", OPEN_SERVICE, Place(created.subnet_id), ()), other)
    assert set(world.registry.held) == {created.id}


async def test_a_taken_marker_is_drawn_again(tmp_path: Path) -> None:
    async with endpoint_world(tmp_path) as world:
        markers = iter([7, 7, 7, 8])
        world.app = await EndpointApplication.open(
            world.store, world.registry, Limits(), world.clock, marker=lambda: next(markers)
        )
        assert (await world.create()).marker_id == 7
        assert (await world.create()).marker_id == 8


async def test_each_joined_gateway_has_a_source_address_from_the_start(world: EndpointWorld) -> None:
    await world.join("gw-1")
    await world.join("gw-2")
    created = await world.create()
    holders = await world.store.holders("source-address", f"{PAYMENTS_VPC}/")
    assert len(holders) == 2
    assert set(holders.values()) == {f"endpoint-{created.id}"}
    assert derived(created.id, "gw-1") != derived(created.id, "gw-2")


async def test_a_taken_source_address_is_passed_over(world: EndpointWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.endpoint.domain.source_addresses.derived", lambda *_: 32_765)
    await world.join()
    for _ in range(3):
        await world.create()
    holders = await world.store.holders("source-address", f"{PAYMENTS_VPC}/")
    assert set(holders) == {f"{PAYMENTS_VPC}/198.19.{rest}" for rest in ("255.254", "128.1", "128.2")}


async def test_a_service_that_went_away_meanwhile_fails_the_endpoint(world: EndpointWorld) -> None:
    created = await world.create()
    del world.registry.services[OPEN_SERVICE]
    await world.upkeep.errands()
    assert (await world.get(created.id)).failure == "service deleted"


async def test_what_changed_before_anybody_listened_is_heard_after_the_request(world: EndpointWorld) -> None:
    await world.create()
    world.registry.change(OPEN_SERVICE, "10.0.0.99")
    world.registry.targets[SHOP_VPC, "default"] = Netns("shop", "other0")
    await world.upkeep.errands()
    table = await world.app.feed.snapshot("default")
    entries = list(table.entries())
    assert entries[0].attachment.netns.device == "other0"
    assert list(entries[2].service.backends) == ["10.0.0.99"]


async def test_an_errand_that_cannot_be_run_stays_on_the_agenda(world: EndpointWorld) -> None:
    created = await world.create()
    del world.registry.services[OPEN_SERVICE]
    world.registry.refusals["sources"] = Unavailable("REGISTRY_UNAVAILABLE", "away")
    with pytest.raises(Unavailable):
        await world.upkeep.errands()
    await world.upkeep.errands()
    assert (await world.get(created.id)).state == endpoint_pb.CONNECTION_STATE_FAILED


async def test_a_services_owner_limits_the_endpoints_of_each_account_also_in_a_race(world: EndpointWorld) -> None:
    world.registry.services[OPEN_SERVICE] = replace(world.registry.services[OPEN_SERVICE], endpoints_per_account=3)
    made = [await world.create(), await world.create()]
    raced = await asyncio.gather(*(world.create() for _ in range(10)), return_exceptions=True)
    refused = [each for each in raced if isinstance(each, QuotaReached)]
    assert len(refused) == 9
    assert {each.reason for each in refused} == {"CONSUMER_LIMIT"}
    assert len(world.registry.held) == 3, "who was refused keeps no address"
    await world.create(by=PROVIDER)
    await world.create(SERVICE)
    await world.delete(made[0].id)
    await world.create()
