"""What the registry's news make of cells and endpoints: heard once, twice, late, or not at all."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Collection
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from services.common.errors import Unavailable
from services.common.eventsourcing.store import Head, RecordedEvent
from services.endpoint.application.limits import Limits
from services.endpoint.application.registry import Sources
from services.endpoint.domain.targets import Netns
from services.endpoint.policies import RegistryPolicy
from services.endpoint.token_trust import TokenTrust
from sidegate.api.endpoint.v1 import endpoint_pb2 as endpoint_pb
from sidegate.api.events.v1 import forwarding_pb2 as forwarding_pb
from sidegate.api.events.v1 import registry_events_pb2 as registry_pb
from sidegate.api.registry.v1 import endpoint_service_pb2 as service_pb
from sidegate.api.registry.v1 import vpc_pb2 as vpc_pb
from tests.support.endpoint_service import (
    OPEN_SERVICE,
    PAYMENTS_VPC,
    PROVIDER,
    SERVICE,
    SHOP_VPC,
    EndpointWorld,
    FakeRegistry,
    endpoint_world,
    start,
)

FAILED = endpoint_pb.CONNECTION_STATE_FAILED


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[EndpointWorld]:
    async with endpoint_world(tmp_path) as world:
        yield world


def event(position: int, message: registry_pb.RegistryEvent) -> RecordedEvent:
    return RecordedEvent(
        position=position,
        stream="service-1",
        version=position,
        event_id=bytes(16),
        type="registry.v1.Something",
        schema_version=1,
        recorded_at=position,
        partition="",
        prev=position - 1,
        data=message.SerializeToString(),
        meta=b"",
        hash=bytes(32),
    )


def service(version: int, *backends: str, id_: str = OPEN_SERVICE) -> service_pb.EndpointService:
    return service_pb.EndpointService(
        id=id_,
        account=PROVIDER.account,
        project=PROVIDER.project,
        vpc_id=PAYMENTS_VPC,
        version=version,
        backends=[service_pb.Backend(address=backend) for backend in backends],
        port_mappings=[service_pb.PortMapping(client_port=80, server_port=8080)],
        state=service_pb.EndpointService.STATE_AVAILABLE,
    )


def changed(position: int, version: int, *backends: str) -> RecordedEvent:
    fact = registry_pb.ServiceChanged()
    return event(position, registry_pb.RegistryEvent(service_changed=fact, service=service(version, *backends)))


def deleted(position: int, id_: str = OPEN_SERVICE) -> RecordedEvent:
    fact = registry_pb.ServiceDeletionStarted()
    return event(position, registry_pb.RegistryEvent(service_deletion_started=fact, service=service(9, id_=id_)))


def attached(position: int, vpc: str) -> RecordedEvent:
    attachment = vpc_pb.Attachment(vpc_id=vpc, cell="default", netns=vpc_pb.NetnsTarget(namespace="stale"))
    fact = registry_pb.AttachmentCreated()
    return event(position, registry_pb.RegistryEvent(attachment_created=fact, attachment=attachment))


async def table(world: EndpointWorld, cell: str = "default") -> dict[str, forwarding_pb.ForwardingEntry]:
    """The cell's entries by the id of their VPC, service or endpoint."""
    snapshot = await world.app.feed.snapshot(cell)
    return {
        entry.attachment.vpc_id or entry.service.service_id or entry.endpoint.endpoint_id: entry
        for entry in snapshot.entries()
    }


def policy(world: EndpointWorld) -> RegistryPolicy:
    return RegistryPolicy(world.app.forwarding, TokenTrust(world.registry))


async def test_other_backends_are_one_event_however_many_endpoints_a_service_has(world: EndpointWorld) -> None:
    for _ in range(5):
        await world.create()
    before = len(await world.types())
    await policy(world).hear(changed(1, 3, "10.0.0.11", "10.0.0.12"))
    assert (await world.types())[before:] == ["ServiceForwardingChanged"]
    assert list((await table(world))[OPEN_SERVICE].service.backends) == ["10.0.0.11", "10.0.0.12"]


async def test_each_cell_in_use_is_told(world: EndpointWorld) -> None:
    await world.create()
    for vpc, name in ((SHOP_VPC, "shop"), (PAYMENTS_VPC, "payments")):
        del world.registry.targets[vpc, "default"]
        world.registry.targets[vpc, "west"] = Netns(name, "")
    await world.create()
    await policy(world).hear(changed(1, 3, "10.0.0.11"))
    for cell in ("default", "west"):
        assert list((await table(world, cell))[OPEN_SERVICE].service.backends) == ["10.0.0.11"]


async def test_news_heard_twice_or_late_change_nothing(world: EndpointWorld) -> None:
    await world.create()
    newest = changed(2, 4, "10.0.0.12")
    await policy(world).hear(newest)
    before = await world.types()
    await policy(world).hear(newest)
    await policy(world).hear(changed(1, 3, "10.0.0.11"))
    assert await world.types() == before


async def test_news_of_services_that_no_endpoint_uses_are_nothing(world: EndpointWorld) -> None:
    await policy(world).hear(changed(1, 3, "10.0.0.11"))
    await policy(world).hear(deleted(2))
    assert await world.types() == []


async def test_a_vpc_is_reached_as_soon_as_it_is_attached(world: EndpointWorld) -> None:
    await policy(world).hear(attached(1, SHOP_VPC))
    await policy(world).hear(attached(1, SHOP_VPC))
    assert await world.types() == ["AttachmentChanged"]
    assert (await table(world))[SHOP_VPC].attachment.version == 1


async def test_an_attachment_that_was_made_while_nobody_listened_is_found_at_start(world: EndpointWorld) -> None:
    await world.app.forwarding.resync()
    assert {vpc for vpc, _ in world.registry.targets} <= (await table(world)).keys()


async def test_a_deleted_service_fails_its_live_endpoints_and_no_others(world: EndpointWorld) -> None:
    creating, deleting, other = await world.create(), await world.create(), await world.create(SERVICE)
    await world.join()
    await world.delete(deleting.id)
    await policy(world).hear(deleted(1))
    failed = await world.get(creating.id)
    assert (failed.state, failed.failure) == (FAILED, "service deleted")
    assert (await world.get(deleting.id)).state == endpoint_pb.CONNECTION_STATE_DELETING
    assert (await world.get(other.id)).state == endpoint_pb.CONNECTION_STATE_PENDING_ACCEPTANCE
    assert OPEN_SERVICE not in await table(world)


async def test_a_failed_endpoint_holds_its_place_until_it_is_deleted(world: EndpointWorld) -> None:
    created = await world.create()
    await policy(world).hear(deleted(1))
    assert await world.store.count("endpoints", "shop-account/shop") == 1
    await world.delete(created.id)
    assert await world.store.count("endpoints", "shop-account/shop") == 0


async def test_an_attachment_is_as_the_registry_has_it_now_and_not_as_old_news_say(world: EndpointWorld) -> None:
    await world.create()
    world.registry.targets[SHOP_VPC, "default"] = Netns("shop", "new0")
    await policy(world).hear(attached(1, SHOP_VPC))
    entry = (await table(world))[SHOP_VPC].attachment
    assert (entry.netns.device, entry.version) == ("new0", 2)
    del world.registry.targets[SHOP_VPC, "default"]
    await policy(world).hear(attached(1, SHOP_VPC))
    assert SHOP_VPC not in await table(world)
    world.registry.targets[SHOP_VPC, "default"] = Netns("shop", "again0")
    await policy(world).hear(attached(2, SHOP_VPC))
    assert (await table(world))[SHOP_VPC].attachment.version == 4


class SlowRegistry(FakeRegistry):
    """Its first answer about sources is an old one, and comes when it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.let_go = asyncio.Event(), asyncio.Event()

    async def sources(self, services: Collection[str], vpcs: Collection[str]) -> Sources:
        answer = await super().sources(services, vpcs)
        if self.questions == 1:
            self.asked.set()
            await self.let_go.wait()
        return answer


async def test_an_older_answer_of_the_registry_never_comes_after_a_newer_one(world: EndpointWorld) -> None:
    await world.create()
    registry = SlowRegistry()
    slow = await start(world.store, registry, world.clock, Limits())
    registry.targets[SHOP_VPC, "default"] = Netns("shop", "old0")
    first = asyncio.create_task(slow.app.forwarding.refresh(vpcs=[SHOP_VPC]))
    await registry.asked.wait()
    registry.targets[SHOP_VPC, "default"] = Netns("shop", "new0")
    await slow.app.forwarding.refresh(vpcs=[SHOP_VPC])
    registry.let_go.set()
    await first
    assert registry.questions == 3
    entry = (await table(world))[SHOP_VPC].attachment
    assert (entry.netns.device, entry.version) == ("new0", 2)


async def test_at_its_start_the_service_catches_up_with_whatever_it_missed(world: EndpointWorld) -> None:
    kept, lost = await world.create(SERVICE), await world.create()
    world.registry.change(SERVICE, "10.0.0.50")
    world.registry.targets[PAYMENTS_VPC, "default"] = Netns("payments", "new0")
    world.registry.services[OPEN_SERVICE] = replace(world.registry.services[OPEN_SERVICE], gone=True)
    again = await start(world.store, world.registry, world.clock, Limits())
    await again.app.forwarding.resync()
    entries = await table(again)
    assert list(entries[SERVICE].service.backends) == ["10.0.0.50"]
    assert entries[PAYMENTS_VPC].attachment.netns.device == "new0"
    assert OPEN_SERVICE not in entries
    assert (await again.get(lost.id)).state == FAILED
    assert (await again.get(kept.id)).state == endpoint_pb.CONNECTION_STATE_PENDING_ACCEPTANCE
    before = await again.types()
    await again.app.forwarding.resync()
    assert await again.types() == before


class News:
    """A registry's log that fails as it is told, once. `position` is where it ends when it is asked."""

    def __init__(self, *events: RecordedEvent) -> None:
        self.told = events
        self.failures: dict[int, Exception] = {}
        self.asked: list[int] = []
        self.position = 0
        self.heard = asyncio.Event()

    async def head(self) -> Head:
        return Head("registry-log", 1, self.position, b"")

    async def events(self, since: Head) -> AsyncGenerator[RecordedEvent, None]:
        self.asked.append(since.position)
        for each in self.told[since.position :]:
            if failure := self.failures.pop(each.position, None):
                raise failure
            yield each
        self.heard.set()
        await asyncio.Event().wait()


async def follow(world: EndpointWorld, news: News) -> None:
    """Follows the news to their end."""
    task = asyncio.create_task(policy(world).run(news, pause=0))
    async with asyncio.timeout(10):
        await news.heard.wait()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_it_hears_what_comes_after_what_it_asked_for(world: EndpointWorld) -> None:
    await world.create()
    world.registry.change(OPEN_SERVICE, "10.0.0.11")
    news = News(changed(1, 3, "10.0.0.11"), changed(2, 4, "10.0.0.12"))
    news.position = 1
    await follow(world, news)
    assert news.asked == [1]
    assert (await world.types())[-2:] == ["ServiceForwardingChanged", "ServiceForwardingChanged"]
    assert list((await table(world))[OPEN_SERVICE].service.backends) == ["10.0.0.12"]


async def test_interrupted_it_asks_again_and_misses_nothing(world: EndpointWorld) -> None:
    await world.create()
    news = News(changed(1, 3, "10.0.0.11"), attached(2, SHOP_VPC), changed(3, 4, "10.0.0.12"))
    news.failures[2] = Unavailable("LOG_INTERRUPTED", "a gap")
    await follow(world, news)
    assert news.asked == [0, 0]
    assert list((await table(world))[OPEN_SERVICE].service.backends) == ["10.0.0.12"]


async def test_while_the_registry_is_away_it_goes_on_asking(world: EndpointWorld) -> None:
    await world.create()
    world.registry.refusals["sources"] = Unavailable("REGISTRY_UNAVAILABLE", "away")
    news = News(attached(1, SHOP_VPC), changed(2, 4, "10.0.0.12"))
    await follow(world, news)
    assert list((await table(world))[OPEN_SERVICE].service.backends) == ["10.0.0.12"]


async def test_upkeep_runs_errands_as_soon_as_there_are_any(world: EndpointWorld) -> None:
    task = asyncio.create_task(world.upkeep.run())
    created = await world.create()
    position = (await world.store.head()).position
    del world.registry.services[OPEN_SERVICE]
    world.app.agenda.recheck(service=OPEN_SERVICE, vpcs=())
    async with asyncio.timeout(10):
        await world.store.wait_beyond(position)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert (await world.get(created.id)).failure == "service deleted"
