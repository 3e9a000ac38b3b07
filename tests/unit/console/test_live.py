"""What the watches of a session tell its pages: that its key has ended, and that is another thing than an outage."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest

from services.console.live.hub import BACK, LOST
from services.console.live.routes import hub_of
from services.console.sessions.session import Session
from services.console.sessions.store import Bounds, Sessions
from sidegate.api.endpoint.v1.watch_pb2 import WatchConnectionsResponse, WatchEndpointsResponse
from sidegate.api.registry.v1.account_pb2 import ROLE_OPERATOR
from sidegate.api.registry.v1.account_service_pb2 import Identity
from sidegate.api.registry.v1.watch_pb2 import WatchResponse
from tests.support.fake_sidegate import FakeSidegate

UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED


@pytest.fixture
async def store() -> AsyncIterator[Sessions]:
    made = Sessions(Bounds())
    yield made
    await made.close()


def session(store: Sessions, fake: FakeSidegate) -> Session:
    made = Session(Identity(account="operator", role=ROLE_OPERATOR), "AK1", fake.client(), store.now(), store.now())
    store.keep(made)
    return made


def tell(fake: FakeSidegate) -> None:
    """All watches begin."""
    fake.registry.watched.answers.append(WatchResponse(position=1))
    fake.endpoints.watched.answers.append(WatchEndpointsResponse(position=1))
    fake.connections.watched.answers.append(WatchConnectionsResponse(position=1))


async def test_a_session_ends_once_its_key_gets_no_token_any_more(fake: FakeSidegate, store: Sessions) -> None:
    """Pages that ask nothing by themselves said that a part of Sidegate does not answer, and stayed."""
    mine = session(store, fake)
    with hub_of(mine).listening() as listener:
        fake.refuse("WatchEndpoints", UNAUTHENTICATED, times=100)
        fake.refuse("IssueToken", UNAUTHENTICATED, times=100)
        async with asyncio.timeout(10):
            while store.goes_on(mine):
                assert LOST not in await listener.next(10)


async def test_who_signs_out_is_not_told_that_something_is_away(fake: FakeSidegate, store: Sessions) -> None:
    """It woke the stream, whose end sent the page to the door by itself while the answer to its form was on its way."""
    mine = session(store, fake)
    tell(fake)
    hub = hub_of(mine)
    with hub.listening() as listener:
        async with asyncio.timeout(10):
            while BACK not in await listener.next(10):
                assert store.goes_on(mine)
            store.end(mine)
            await asyncio.gather(*hub._tasks)
        assert listener.heard() == frozenset()


async def test_a_token_that_is_refused_though_its_key_is_good_ends_nothing(fake: FakeSidegate, store: Sessions) -> None:
    mine = session(store, fake)
    fake.refuse("WatchEndpoints", UNAUTHENTICATED)
    tell(fake)
    with hub_of(mine).listening() as listener:
        async with asyncio.timeout(10):
            while BACK not in await listener.next(10):
                assert store.goes_on(mine)
    assert store.goes_on(mine)
