"""What a session sees is asked for again when it has changed, by the clock, and not otherwise."""

import threading
from collections.abc import AsyncIterator, Collection
from typing import Any
from unittest.mock import Mock

import pytest
from fastapi import Request

from services.console.live.hub import BACK, SOURCES, Hub, Listener
from services.console.overview import keeping, routes
from services.console.overview.keeping import BY_THE_CLOCK, EVERYTHING, POLL_SECONDS, Kept
from sidegate import errors
from sidegate.client import Client
from sidegate.topology.gather import Gathering, Seen
from sidegate.topology.graph import Graph


class Asked(Gathering):
    """Answers with what it is given, and remembers for what it was asked."""

    def __init__(self) -> None:
        self.kinds: list[frozenset[str]] = []
        self.seen = Seen("shop/default")
        self.failure: errors.SidegateError | None = None

    async def refresh(self, kinds: Collection[str] = ()) -> Seen:
        self.kinds.append(frozenset(kinds))
        if self.failure is not None:
            raise self.failure
        return self.seen

    async def aclose(self) -> None:
        return


class Told(Hub):
    """Has nobody to watch: a test says what was heard."""

    def say(self, *words: str) -> None:
        self._tell(set(words))

    def begin_all(self) -> None:
        self._begun = set(SOURCES)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


Made = tuple[Kept, Asked, Told, Clock]


@pytest.fixture
async def made(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Made]:
    hub, asked, clock = Told(Client()), Asked(), Clock()

    async def nothing(_self: Hub, _source: str) -> None:
        return

    monkeypatch.setattr(Hub, "_follow", nothing)
    kept = Kept(Client(), hub, tenant=False, clock=clock)
    kept._gathering = asked
    yield kept, asked, hub, clock


async def test_the_first_look_asks_for_everything_and_the_next_for_nothing(made: Made) -> None:
    kept, asked, _, _ = made
    first = await kept.look()
    assert await kept.look() is first
    assert asked.kinds == [EVERYTHING]


async def test_what_was_told_is_asked_for_alone(made: Made) -> None:
    kept, asked, hub, _ = made
    await kept.look()
    hub.say("connection", "lost")
    await kept.look()
    assert asked.kinds[1:] == [frozenset({"connection"})]


async def test_what_gateways_say_is_asked_for_by_the_clock(made: Made) -> None:
    kept, asked, hub, clock = made
    hub.begin_all()
    await kept.look()
    clock.now += POLL_SECONDS
    await kept.look()
    await kept.look()
    assert asked.kinds[1:] == [BY_THE_CLOCK]


async def test_everything_is_asked_for_again_once_the_watches_have_begun_and_after_an_interruption(made: Made) -> None:
    kept, asked, hub, clock = made
    await kept.look()
    hub.begin_all()
    clock.now += POLL_SECONDS
    await kept.look()
    hub.say(BACK)
    await kept.look()
    assert asked.kinds == [EVERYTHING] * 3


async def test_who_shows_what_was_seen_before_the_watches_had_begun_gets_what_is_now_at_once(made: Made) -> None:
    """It was asked for by the clock alone: what happened meanwhile was up to two seconds late."""
    kept, asked, hub, _ = made
    early = await kept.look()
    hub.begin_all()
    assert await kept.look() is early, "who has seen nothing yet does not wait"
    asked.seen = Seen("shop/default", traffic={"e-1": 5.0})
    assert (await kept.look(early.version)).seen is asked.seen
    await kept.look(early.version)
    assert asked.kinds == [EVERYTHING] * 2


async def test_what_could_not_be_asked_for_is_asked_for_the_next_time(made: Made) -> None:
    kept, asked, hub, _ = made
    await kept.look()
    hub.say("service")
    asked.failure = errors.Unavailable("away")
    with pytest.raises(errors.Unavailable):
        await kept.look()
    asked.failure = None
    await kept.look()
    assert asked.kinds[1:] == [frozenset({"service"})] * 2


async def test_a_version_is_another_only_where_something_is_another(made: Made) -> None:
    kept, asked, hub, _ = made
    first = await kept.look()
    hub.say("port")
    assert (await kept.look()).version == first.version
    asked.seen = Seen("shop/default", traffic={"e-1": 5.0})
    hub.say("port")
    assert (await kept.look()).version != first.version


async def test_others_are_answered_while_a_picture_of_very_many_things_is_made(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 60,000 ports, which a project may have, it took half a second each time that one of them changed."""
    kept, asked, hub, _ = made
    threads = list[threading.Thread]()

    def build(_seen: Seen) -> Graph:
        threads.append(threading.current_thread())
        return Graph("shop/default", (), (), (), (), ())

    def document(*_: object) -> dict[str, str]:
        threads.append(threading.current_thread())
        return {}

    monkeypatch.setattr(keeping, "build", build)
    monkeypatch.setattr(routes, "document", document)
    await kept.look()
    asked.seen = Seen("shop/default", traffic={"e-1": 5.0})
    hub.say("port")
    monkeypatch.setattr(routes, "kept_of", lambda _: kept)
    await routes.topology(Request({"type": "http", "query_string": b"", "headers": []}), Mock())
    assert len(threads) == 3
    assert threading.current_thread() not in threads


async def test_what_nobody_looks_at_is_forgotten_and_begun_anew(made: Made) -> None:
    kept, asked, hub, _ = made
    await kept.look()
    kept._forget()
    assert hub._listeners == set()
    kept._gathering = asked
    await kept.look()
    assert asked.kinds == [EVERYTHING] * 2


def test_a_listener_is_told_of_each_thing_once() -> None:
    listener = Listener()
    listener.tell({"vpc"})
    listener.tell({"port", "vpc"})
    found: Any = (listener.heard(), listener.heard())
    assert found == (frozenset({"vpc", "port"}), frozenset())
