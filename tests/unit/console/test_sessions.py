"""Sessions: found by their cookie, ended by time, never more than so many."""

import asyncio

import pytest

from services.console.sessions.session import Session
from services.console.sessions.store import Bounds, Sessions
from sidegate.api.registry.v1.account_pb2 import ROLE_ADMIN, ROLE_OPERATOR, ROLE_VIEWER
from sidegate.api.registry.v1.account_service_pb2 import Identity
from sidegate.client import Client


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def sessions(clock: Clock, **bounds: float) -> Sessions:
    return Sessions(Bounds(**{"idle": 100, "longest": 1000, **bounds}), clock)  # type: ignore[arg-type]


def session(store: Sessions, key: str = "AK1", role: int = ROLE_ADMIN) -> Session:
    identity = Identity(account="shop", project="default", role=role, access_key=key)  # type: ignore[arg-type]
    return Session(identity, key, Client(), store.now(), store.now())


async def test_a_session_ends_when_nobody_uses_it(clock: Clock) -> None:
    store = sessions(clock)
    cookie = store.keep(mine := session(store))
    clock.now = 99
    assert store.find(cookie) is mine
    clock.now = 198
    assert store.find(cookie) is mine
    clock.now = 299
    assert store.find(cookie) is None
    assert len(store) == 0


async def test_it_ends_however_much_it_is_used(clock: Clock) -> None:
    store = sessions(clock)
    cookie = store.keep(session(store))
    for clock.now in range(0, 1001, 50):
        assert store.find(cookie) is not None
    clock.now = 1001
    assert store.find(cookie) is None


async def test_a_stream_keeps_no_session_alive(clock: Clock) -> None:
    store = sessions(clock)
    cookie = store.keep(mine := session(store))
    clock.now = 60
    assert store.find(cookie, touch=False) is mine
    assert store.goes_on(mine)
    clock.now = 101
    assert not store.goes_on(mine)
    assert store.find(cookie, touch=False) is None


async def test_cookies_are_guessed_by_nobody_and_stand_nowhere_in_memory_as_they_are(clock: Clock) -> None:
    store = sessions(clock)
    cookies = {store.keep(session(store, f"AK{number}")) for number in range(10)}
    assert len(cookies) == 10
    assert all(len(cookie) >= 43 for cookie in cookies)  # 256 bits
    assert not any(cookie in str(vars(store)) for cookie in cookies)
    assert store.find("") is None
    assert store.find("x" * 43) is None


async def test_the_oldest_makes_room_of_the_same_key_and_of_all(clock: Clock) -> None:
    store = sessions(clock, of_key=2, of_all=4)
    first, second, third = (store.keep(session(store, "AK1")) for _ in range(3))
    assert store.find(first) is None
    assert store.find(second) and store.find(third)
    others = [store.keep(session(store, f"AK{number}")) for number in range(2, 5)]
    assert store.find(second) is None
    assert store.find(third) and all(store.find(other) for other in others)


async def test_who_signs_out_ends_his_session_alone(clock: Clock) -> None:
    store = sessions(clock)
    mine, other = session(store), session(store)
    cookies = store.keep(mine), store.keep(other)
    store.end(mine)
    assert [store.find(cookie) for cookie in cookies] == [None, other]
    await store.close()
    assert len(store) == 0


async def test_sweeping_lets_go_of_those_that_are_over(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.console.sessions.store.SWEEP_SECONDS", 0.001)
    store = sessions(clock)
    store.keep(session(store))
    clock.now = 500
    sweeping = asyncio.create_task(store.sweep())
    async with asyncio.timeout(10):
        while len(store):
            await asyncio.sleep(0)
    sweeping.cancel()
    await asyncio.gather(sweeping, return_exceptions=True)
    await store.close()


async def test_a_notice_is_said_once_and_no_more_than_ten_wait(clock: Clock) -> None:
    mine = session(sessions(clock))
    for number in range(12):
        mine.say(str(number))
    assert [notice.text for notice in mine.said()] == [str(number) for number in range(2, 12)]
    assert mine.said() == []


@pytest.mark.parametrize(
    ("role", "operator", "reads_only"),
    [(ROLE_OPERATOR, True, False), (ROLE_ADMIN, False, False), (ROLE_VIEWER, False, True)],
)
async def test_a_session_is_what_its_key_is(clock: Clock, role: int, operator: bool, reads_only: bool) -> None:
    mine = session(sessions(clock), role=role)
    assert (mine.is_operator, mine.is_tenant, mine.reads_only) == (operator, not operator, reads_only)


async def test_no_secret_is_in_what_a_log_would_show_of_a_session(clock: Clock) -> None:
    mine = session(sessions(clock))
    assert mine.csrf not in repr(mine)
