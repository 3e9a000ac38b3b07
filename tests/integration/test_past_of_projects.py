"""A project reads its own past: what it had, what happened, what it did itself; of others nothing, however it asks."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, cast
from unittest.mock import AsyncMock, Mock
from uuid import uuid4

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from services.common.errors import QuotaReached
from services.common.eventsourcing.store import Head, RecordedEvent
from services.common.history.turns import Allowance, Turns
from services.common.principal import Identity, Principal, Role
from services.common.rpc.audit import AuditServicer
from services.common.rpc.history import HistoryServicer
from services.common.rpc.server import Hosted, RpcServer
from services.endpoint.application.past import PAST
from services.endpoint.domain.endpoint_commands import Note
from sidegate import errors
from sidegate.api.endpoint.v1.watch_pb2 import ConnectionChange
from sidegate.api.events.v1 import history_pb2
from sidegate.api.events.v1.log_pb2 import LogRecord
from sidegate.api.events.v1.log_pb2_grpc import add_AuditServiceServicer_to_server
from sidegate.client import Client
from sidegate.resources.history import Sought, When
from sidegate.resources.logs import LogName
from tests.integration.test_endpoint_history import operating
from tests.support import identity
from tests.support.endpoint_service import CONSUMER, PROVIDER, SERVICE, EndpointWorld, endpoint_world
from tests.support.identity import Known
from tests.support.registry_service import PAYMENTS, running_registry

OPERATING = Principal("operator", "x")
Asking = Callable[[], Coroutine[Any, Any, object]]


async def deeds(client: Client, log: LogName, sought: Sought = Sought()) -> Sequence[history_pb2.Deed]:  # noqa: B008
    return [deed async for deed in client.history.each_deed(log, sought)]


async def records(client: Client, start: Timestamp | None = None, end: Timestamp | None = None) -> Sequence[LogRecord]:
    return [record async for record in client.audit.log(LogName.REGISTRY).list(start=start, end=end)]


def told(found: Sequence[history_pb2.Deed]) -> list[tuple[str, str]]:
    return [(deed.kind, deed.what) for deed in found]


@asynccontextmanager
async def known(address: str, caller: Principal) -> AsyncIterator[Client]:
    async with Known(address, address, account=caller.account, project=caller.project) as client:
        yield client


async def test_a_project_asks_for_its_own_past_and_of_anothers_hears_what_it_hears_of_none(tmp_path: Path) -> None:
    async with running_registry(tmp_path) as world:
        vpc, theirs = await world.payments.vpc(), await world.shop.vpc()
        async with known(world.address, PAYMENTS) as client:
            history = client.history
            mine = await history.project(LogName.REGISTRY, PAYMENTS.account, PAYMENTS.project)
            assert {state.id for state in mine.states if state.kind == "vpc"} == {vpc.id}
            assert not mine.header.HasField("time"), "the last event may be another's"
            assert [state.vpc.id for state in (await history.resource("vpc", vpc.id)).states] == [vpc.id]
            assert (await history.resource("vpc", theirs.id)).states == []
            assert (await history.resource("vpc", str(uuid4()))).states == []
            refused: list[tuple[Asking, str]] = [
                (lambda: history.project(LogName.REGISTRY, "shop", "shop-live"), "project shop/shop-live is not there"),
                (lambda: history.project(LogName.REGISTRY, "shop", "none"), "project shop/none is not there"),
                (lambda: history.project(LogName.REGISTRY, "payments", "other"), "payments/other is not there"),
                (lambda: history.everything(LogName.REGISTRY), "is not there"),
                (lambda: history.cell("default"), "is not there"),
                (lambda: deeds(client, LogName.REGISTRY, Sought(owner="shop/shop-live")), "shop-live is not there"),
                (lambda: deeds(client, LogName.REGISTRY, Sought(owner="shop/none")), "shop/none is not there"),
            ]
            for ask, text in refused:
                with pytest.raises(errors.NotFound, match=text):
                    await ask()


@pytest.mark.parametrize("time", [Timestamp(seconds=2**62), Timestamp(seconds=-(2**62)), Timestamp(nanos=-1)], ids=str)
async def test_what_is_no_moment_is_refused_by_its_name(time: Timestamp, tmp_path: Path) -> None:
    """It passes for a Timestamp, and was an error of ours."""
    async with running_registry(tmp_path) as world:
        await world.payments.vpc()
        audit = AuditServicer(world.store, "registry")
        server = RpcServer(
            identity.public(), [Hosted("audit", lambda to: add_AuditServiceServicer_to_server(audit, to))]
        )
        address = await server.start()
        async with known(world.address, PAYMENTS) as client, known(address, OPERATING) as operator:
            asked: list[tuple[Asking, str]] = [
                (lambda: deeds(client, LogName.REGISTRY, Sought(start=time)), "start_time"),
                (lambda: deeds(client, LogName.REGISTRY, Sought(end=time)), "end_time"),
                (lambda: client.history.resource("vpc", str(uuid4()), When(time=time)), "time"),
                (lambda: records(operator, start=time), "start_time"),
                (lambda: records(operator, end=time), "end_time"),
            ]
            for ask, field in asked:
                with pytest.raises(errors.InvalidRequest) as refused:
                    await ask()
                assert refused.value.field == field
        await server.stop(0)


async def test_what_happened_is_told_newest_first_or_oldest_first_page_by_page_and_by_what_is_sought(
    tmp_path: Path,
) -> None:
    async with running_registry(tmp_path) as world:
        vpcs = []
        for number in range(4):
            vpcs.append(await world.payments.vpc(f"10.{number}.0.0/16", name=f"net-{number}"))
            await world.shop.vpc(name=f"net-{number}")
        async with known(world.address, PAYMENTS) as client, known(world.address, OPERATING) as operator:
            found = await deeds(client, LogName.REGISTRY, Sought(kind="vpc"))
            assert [deed.id for deed in found] == [vpc.id for vpc in reversed(vpcs)]
            assert {(deed.account, deed.method, deed.what) for deed in found} == {("payments", "CreateVpc", "created")}
            assert {(deed.version, deed.hash) for deed in found} == {(0, b"")}, "the chain is the operator's"
            oldest = await deeds(client, LogName.REGISTRY, Sought(kind="vpc", oldest_first=True))
            assert [deed.position for deed in oldest] == sorted(deed.position for deed in found)
            one = await deeds(client, LogName.REGISTRY, Sought(id=vpcs[1].id))
            assert {deed.id for deed in one} == {vpcs[1].id}
            assert await deeds(client, LogName.REGISTRY, Sought(actor="shop")) == []
            within = Sought(kind="vpc", start=found[2].time, end=found[0].time)
            assert [deed.position for deed in await deeds(client, LogName.REGISTRY, within)] == [
                found[1].position,
                found[2].position,
            ]
            pages, token = list[history_pb2.Deed](), ""
            while page := await client.history.deeds(LogName.REGISTRY, Sought(), 1, token):
                assert len(page.deeds) <= 1
                pages += page.deeds
                if not (token := page.next_page_token):
                    break
            assert pages == await deeds(client, LogName.REGISTRY)

            head = (await world.store.head()).position
            everything = await deeds(operator, LogName.REGISTRY)
            assert [deed.position for deed in everything] == list(range(head, 0, -1))
            (event,) = await world.store.events_at([head])
            assert (everything[0].hash, everything[0].version) == (event.hash, event.version)
            assert {deed.id for deed in await deeds(operator, LogName.REGISTRY, Sought(owner=str(PAYMENTS)))} == {
                deed.id for deed in pages
            }


@asynccontextmanager
async def sides(world: EndpointWorld, turns: Turns | None = None) -> AsyncIterator[tuple[Client, Client]]:
    """The consumer and the provider, asking the endpoint service of the past."""
    servicer = HistoryServicer(world.store, "endpoint", world.app.history, PAST, turns)
    server = RpcServer(identity.public(), [servicer.hosted()])
    address = await server.start()
    try:
        async with known(address, CONSUMER) as consumer, known(address, PROVIDER) as provider:
            yield consumer, provider
    finally:
        await server.stop(0)


async def test_neither_side_of_a_connection_reads_of_the_other_in_the_past(tmp_path: Path) -> None:
    async with endpoint_world(tmp_path) as world:
        await world.join()
        endpoint = await world.create(service=SERVICE)
        await world.accept(endpoint.id)
        note = Note(world.clock(), PROVIDER, SERVICE, endpoint.id, "their secret note")
        await world.app.connections.decide(note, world.context(PROVIDER, "NoteConnection"))
        await world.change(endpoint.id, name="secret-name")
        async with sides(world) as (consumer, provider), operating(world) as operator:
            theirs = await deeds(provider, LogName.ENDPOINT)
            said = "".join(map(str, theirs))
            assert {deed.kind for deed in theirs} == {"connection"}
            for secret in ("secret-name", CONSUMER.account, endpoint.address, endpoint.vpc_id, endpoint.subnet_id):
                assert secret not in said
            accepted = next(deed for deed in theirs if deed.what == "approved")
            assert (accepted.account, accepted.method) == (PROVIDER.account, "AcceptConnection")

            mine = await deeds(consumer, LogName.ENDPOINT)
            said = "".join(map(str, mine))
            assert PROVIDER.account not in said, "who accepted it is the provider's to know"
            assert "noted" not in {deed.what for deed in mine}
            assert {deed.account for deed in mine if deed.what in ("requested", "changed")} == {CONSUMER.account}
            assert next(deed.method for deed in mine if deed.what == "approved") == ""

            everything = await deeds(operator, LogName.ENDPOINT)
            assert len(everything) == (await world.store.head()).position
            assert next(deed.account for deed in everything if deed.what == "approved") == PROVIDER.account

            assert (await consumer.history.resource("connection", endpoint.id)).states == []
            assert (await provider.history.resource("endpoint", endpoint.id)).states == []
            (seen,) = (await provider.history.resource("connection", endpoint.id)).states
            shown = ConnectionChange(connection=seen.connection)
            assert "secret-name" not in str(shown)
            assert endpoint.address not in str(shown)
            (own,) = (await consumer.history.resource("endpoint", endpoint.id)).states
            assert (own.endpoint.name, "their secret" in str(own)) == ("secret-name", False)


async def test_a_project_that_asks_again_and_again_is_refused_for_a_while_and_the_operator_is_not(
    tmp_path: Path,
) -> None:
    async with endpoint_world(tmp_path) as world:
        await world.join()
        await world.create()
        turns = Turns(Allowance(burst=2_500, per_second=0.001))
        async with sides(world, turns) as (consumer, provider), operating(world) as operator:
            moment = Timestamp()
            moment.GetCurrentTime()
            for _ in range(2):
                await consumer.history.project(LogName.ENDPOINT, CONSUMER.account, CONSUMER.project, When(time=moment))
            with pytest.raises(errors.QuotaReached, match="has asked of the past as much as it may") as refused:
                await consumer.history.project(LogName.ENDPOINT, CONSUMER.account, CONSUMER.project)
            assert refused.value.reason == "TOO_MANY_QUESTIONS"
            with pytest.raises(errors.QuotaReached):
                await deeds(consumer, LogName.ENDPOINT)
            assert await deeds(provider, LogName.ENDPOINT)
            for _ in range(5):
                assert await deeds(operator, LogName.ENDPOINT)


async def test_who_takes_his_time_to_read_an_answer_holds_up_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two projects that stopped reading kept all others from their past, for as long as they went on asking."""

    def asking(by: Principal) -> AsyncGenerator[history_pb2.ReadStateResponse, None]:
        monkeypatch.setattr("services.common.rpc.history.identity", lambda: Identity(by, Role.ADMIN))
        request = history_pb2.ReadStateRequest(owner=str(by))
        return cast("AsyncGenerator[history_pb2.ReadStateResponse, None]", servicer.ReadState(request, Mock()))

    async with endpoint_world(tmp_path) as world:
        await world.join()
        await world.create()
        servicer = HistoryServicer(world.store, "endpoint", world.app.history, PAST, Turns(Allowance(at_once=1)))
        async with aclosing(asking(CONSUMER)) as slow:
            assert (await anext(slow)).header.total == 1
            async with asyncio.timeout(10):
                assert [part async for part in asking(PROVIDER)]
            assert [state.kind for state in (await anext(slow)).states] == ["endpoint"]


async def test_who_goes_away_while_events_are_looked_at_pays_for_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A question that was given up just before its end cost a twentieth of what it took."""
    monkeypatch.setattr("services.common.rpc.history.identity", lambda: Identity(CONSUMER, Role.ADMIN))
    monkeypatch.setattr("services.common.rpc.paging.principal", lambda: CONSUMER)
    looking = asyncio.Event()

    async def read(*_: object) -> Sequence[RecordedEvent]:
        looking.set()
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return] # it gives nothing

    async with endpoint_world(tmp_path) as world:
        store = Mock(head=AsyncMock(return_value=Head("log", 1, 5_000, b"")), read=read)
        turns = Turns(Allowance(burst=2_500, per_second=0.001))
        servicer = HistoryServicer(store, "endpoint", world.app.history, PAST, turns)
        asking = asyncio.create_task(servicer.ListDeeds(history_pb2.ListDeedsRequest(), Mock()))
        async with asyncio.timeout(10):
            await looking.wait()
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        with pytest.raises(QuotaReached):
            await asyncio.wait_for(servicer.ListDeeds(history_pb2.ListDeedsRequest(), Mock()), 10)
