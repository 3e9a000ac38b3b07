"""Projects' views on NATS: who hears what, and that the example subscriber loses and repeats nothing."""

import asyncio
import os
import random
import re
import secrets
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
from nats.js.errors import NotFoundError

from services.common.eventsourcing.sql_store import SqlStore
from services.common.eventsourcing.store import RecordedEvent
from services.common.messaging.connection import Connection, Unsettled
from services.common.messaging.relay import Relay
from services.common.messaging.views import ENDPOINT_VIEWS, SERVICE_VIEWS
from services.common.principal import Principal
from services.endpoint.wire import views as endpoint_views
from services.registry.wire import views as registry_views
from sidegate.api.events.v1.view_pb2 import View
from tests.support import identity
from tests.support.endpoint_service import CONSUMER, PROVIDER, SERVICE, STRANGER, EndpointWorld, endpoint_world
from tests.support.nats import Nats, connected, relaying, running
from tests.support.registry_service import Client, RegistryWorld, running_registry
from tests.support.subscriber import Subscriber, admitting, expected

DEADLINE = 40.0
ROUNDS = 60


@dataclass
class Scene:
    """A registry and an endpoint service with their views on NATS, each published by two relays that race."""

    registry: RegistryWorld
    endpoint: EndpointWorld
    nats: Nats
    payments: Client
    relays: list[Relay]

    async def published(self) -> None:
        """Returns when all that has happened is on NATS."""
        heads = [(await world.store.head()).position for world in (self.registry, self.endpoint)]
        async with asyncio.timeout(DEADLINE):
            for relay, position in zip(self.relays, heads * 2, strict=True):
                await relay.published(position)

    async def expected(self, owner: Principal) -> dict[str, dict[str, object]]:
        registry = (await self.registry.store.read(0, 1_000_000), registry_views.views_of)
        endpoint = (await self.endpoint.store.read(0, 1_000_000), endpoint_views.views_of)
        return expected(owner, [registry, endpoint])


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with AsyncExitStack() as stack:
        registry = await stack.enter_async_context(running_registry(tmp_path))
        endpoint = await stack.enter_async_context(endpoint_world(tmp_path))
        nats = await stack.enter_async_context(running(tmp_path / "nats"))
        payments = Client(registry.address, PROVIDER)
        stack.push_async_callback(payments.close)
        relays = []
        for name, gather in (("one", 0.0), ("two", 0.05)):
            for store, topic, form in (
                (registry.store, SERVICE_VIEWS, registry_views.VIEWS),
                (endpoint.store, ENDPOINT_VIEWS, endpoint_views.VIEWS),
            ):
                user = identity.nats_user(topic.program)
                connection = await stack.enter_async_context(connected(nats, name, user))
                relay = relaying(store, connection, topic, form, recheck=0.5, gather=gather)
                relays.append(await stack.enter_async_context(relay))
        yield Scene(registry, endpoint, nats, payments, relays)


async def live_on(world: EndpointWorld, chance: random.Random, there: list[str]) -> None:
    """Something happens to some endpoint."""
    match chance.choice(("create", "accept", "reject", "change", "delete")):
        case "create":
            there.append((await world.create(SERVICE)).id)
        case "accept" if there:
            await world.accept(chance.choice(there))
        case "reject" if there:
            await world.reject(chance.choice(there))
        case "change" if there:
            await world.change(chance.choice(there), name=f"name-{chance.randrange(1000)}")
        case "delete" if len(there) > 3:
            await world.delete(there.pop(chance.randrange(len(there))))
        case _:
            pass


async def test_the_example_subscriber_sees_each_change_once_whatever_is_killed(scene: Scene, tmp_path: Path) -> None:
    seed = int(os.environ.get("SIDEGATE_CHAOS_SEED") or secrets.randbelow(2**32))
    print(f"SIDEGATE_CHAOS_SEED={seed}")
    chance = random.Random(seed)
    there = [(await scene.endpoint.create(SERVICE)).id]
    vpc = await scene.payments.vpc()
    async with AsyncExitStack() as stack:
        admitted = await stack.enter_async_context(admitting(scene.nats, tmp_path))
        files = {owner: admitted.admit(owner) for owner in (CONSUMER, PROVIDER)}
        subscribers = {
            owner: await stack.enter_async_context(Subscriber(tmp_path, scene.nats.server.url, owner, file))
            for owner, file in files.items()
        }
        for subscriber in subscribers.values():
            await subscriber.until(lambda told=subscriber: bool(told.resources))  # type: ignore[misc] # mypy cannot infer a default
        accidents = ["kill", "crash", "kill", "wipe", "kill", "crash"]
        for number in range(ROUNDS):
            await live_on(scene.endpoint, chance, there)
            if number % 10 == 0:
                await scene.payments.service(vpc, name=f"web-{number}")
            if number % 10 == 5 and accidents:
                accident = accidents.pop(0)
                if accident == "kill":
                    killed = chance.choice(list(subscribers.values()))
                    await killed.kill()
                    killed.start()
                elif accident == "crash":
                    await scene.nats.crash()
                else:
                    await scene.nats.wipe()
            await asyncio.sleep(chance.uniform(0, 0.05))  # so that accidents meet messages on their way
        for owner, subscriber in subscribers.items():
            wanted = await scene.expected(owner)
            try:
                await subscriber.until(lambda told=subscriber, wanted=wanted: told.resources == wanted)  # type: ignore[misc] # mypy cannot infer a default
            except TimeoutError:
                assert subscriber.resources == wanted, subscriber.said[-2000:]
            assert any(key.startswith("service/") for key in wanted) == (owner is PROVIDER)
            assert "another epoch" not in subscriber.said
            positions = [int(position) for position in re.findall(r"^endpoint (\d+) ", subscriber.said, re.MULTILINE)]
            falls = sum(later <= earlier for earlier, later in pairwise(positions))
            assert falls <= 3, "only a subscriber that was killed may say again what it had not saved"


async def test_a_restored_log_begins_a_new_epoch_and_the_subscriber_begins_anew(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        nats = await stack.enter_async_context(running(tmp_path / "nats"))
        connection = await stack.enter_async_context(connected(nats, "relay"))
        file = (await stack.enter_async_context(admitting(nats, tmp_path))).admit(CONSUMER)
        subscriber = await stack.enter_async_context(Subscriber(tmp_path, nats.server.url, CONSUMER, file))
        path = tmp_path / "endpoint.db"
        async with endpoint_world(tmp_path) as world:
            await world.create()
        shutil.copy(path, tmp_path / "backup.db")
        async with endpoint_world(tmp_path) as world:
            lost = await world.create()
            async with relaying(world.store, connection, ENDPOINT_VIEWS, endpoint_views.VIEWS):
                await subscriber.until(lambda: f"endpoint/{lost.id}" in subscriber.resources)
        for stale in tmp_path.glob("endpoint.db*"):
            stale.unlink()
        shutil.copy(tmp_path / "backup.db", path)
        async with endpoint_world(tmp_path) as world:
            for _ in range(5):
                await world.create()
            async with relaying(world.store, connection, ENDPOINT_VIEWS, endpoint_views.VIEWS):
                events = await world.store.read(0, 1000)
                wanted = expected(CONSUMER, [(events, endpoint_views.views_of)])
                await subscriber.until(lambda: subscriber.resources == wanted)
        assert f"endpoint/{lost.id}" not in wanted
        assert "VIEW-EP: another epoch, beginning anew" in subscriber.said
        assert subscriber.table["VIEW-EP"]["epoch"]["epoch"] == "2"


class Beginning:
    """A log of which only the first events can be read yet."""

    def __init__(self, store: SqlStore, upto: int) -> None:
        self._store, self._upto = store, upto
        self.head, self.begin_epoch, self.wait_beyond = store.head, store.begin_epoch, store.wait_beyond

    async def read(self, after: int, limit: int) -> Sequence[RecordedEvent]:
        return [event for event in await self._store.read(after, limit) if event.position <= self._upto]


async def test_a_stream_that_is_being_made_again_tells_nothing_twice(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        nats = await stack.enter_async_context(running(tmp_path / "nats"))
        connection = await stack.enter_async_context(connected(nats, "relay"))
        file = (await stack.enter_async_context(admitting(nats, tmp_path))).admit(CONSUMER)
        subscriber = await stack.enter_async_context(Subscriber(tmp_path, nats.server.url, CONSUMER, file))
        world = await stack.enter_async_context(endpoint_world(tmp_path))
        made = [await world.create() for _ in range(4)]
        async with relaying(world.store, connection, ENDPOINT_VIEWS, endpoint_views.VIEWS):
            await subscriber.until(lambda: f"endpoint/{made[-1].id}" in subscriber.resources)
        await nats.wipe()
        async with relaying(Beginning(world.store, 1), connection, ENDPOINT_VIEWS, endpoint_views.VIEWS, recheck=0.5):
            async with asyncio.timeout(DEADLINE):
                while not await readers(connection):
                    await asyncio.sleep(0.05)
        last = await world.create()
        async with relaying(world.store, connection, ENDPOINT_VIEWS, endpoint_views.VIEWS):
            await subscriber.until(lambda: f"endpoint/{last.id}" in subscriber.resources)
        wanted = expected(CONSUMER, [(await world.store.read(0, 1000), endpoint_views.views_of)])
        await subscriber.until(lambda: subscriber.resources == wanted)


async def readers(connection: Connection) -> int:
    """How many wait for views of the endpoint service's."""
    try:
        async with connection.exchange() as jetstream:
            consumers = await jetstream.consumers_info("VIEW-EP-1")
    except (Unsettled, NotFoundError):
        return 0
    return sum(bool(consumer.num_waiting) for consumer in consumers)


async def everything_in(nats: Nats, stream: str) -> list[tuple[str, dict[str, str], bytes]]:
    """Subject, headers and body of each message, in order of their sequences."""
    found = []
    async with connected(nats, "reader") as connection, connection.exchange() as jetstream:
        last = (await jetstream.stream_info(stream)).state.last_seq
        for sequence in range(1, last + 1):
            message = await jetstream.get_msg(stream, sequence)
            found.append((message.subject or "", dict(message.headers or {}), message.data or b""))
    return found


async def test_a_project_hears_what_is_its_own_and_not_a_byte_of_the_other_side(scene: Scene) -> None:
    made = await scene.endpoint.create(SERVICE)
    await scene.endpoint.accept(made.id)
    await scene.endpoint.join()
    await scene.payments.service(await scene.payments.vpc())
    last = (await scene.endpoint.store.head()).position
    await scene.published()
    messages = await everything_in(scene.nats, "VIEW-EP-1")
    assert len(messages) == 2 * last
    owners = {subject.split(".")[2]: b"" for subject, _, _ in messages if subject.startswith("sidegate.v1.")}
    assert set(owners) == {f"{each.account}~{each.project}" for each in (CONSUMER, PROVIDER)}
    for subject, headers, body in messages:
        if body:
            view = View.FromString(body)
            assert view.source_position == int(headers["source_position"])
            owners[subject.split(".")[2]] += body + subject.encode() + repr(headers).encode()
    shown = await scene.endpoint.get(made.id)
    for hidden in (shown.subnet_id, shown.vpc_id, shown.address, shown.port_id, shown.name):
        assert hidden
        assert hidden.encode() in owners["shop-account~shop"]
        assert hidden.encode() not in owners["payments-account~payments"]
    for hidden in ("payments-account", "22222222-2222", "198.19", "10.0.0.10", "gw-1"):
        assert hidden.encode() not in owners["shop-account~shop"].replace(shown.service_full_name.encode(), b"")
    assert not [subject for subject, _, _ in messages if STRANGER.project in subject]


async def test_what_is_nobodys_keeps_the_count_and_says_nothing(scene: Scene) -> None:
    await scene.payments.vpc()
    await scene.payments.service(await scene.payments.vpc(name="other"))
    await scene.published()
    messages = await everything_in(scene.nats, "VIEW-REG-1")
    assert [(subject.rpartition(".")[0], bool(body)) for subject, _, body in messages] == [
        ("sidegate.filler", False),
        ("sidegate.filler", False),
        ("sidegate.v1.payments-account~payments.service", True),
        ("sidegate.v1.payments-account~payments.service", True),
    ]


async def test_two_projects_of_one_name_are_two(tmp_path: Path) -> None:
    async with endpoint_world(tmp_path) as world:
        await world.create(by=Principal("payments-account", CONSUMER.project))
        store: SqlStore = world.store
        subjects = [viewed.subject for event in await store.read(0, 10) for viewed in endpoint_views.views_of(event)]
    assert {subject.split(".")[2] for subject in subjects} == {"payments-account~shop", "payments-account~payments"}
