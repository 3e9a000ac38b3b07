"""Moments of the past that sessions keep: so many of each, and so many of all, whoever drags a slider."""

import gc
import threading
from unittest.mock import AsyncMock, Mock

import pytest
from fastapi import Request

from services.console.past import listing, moments, picturing, sliding
from services.console.past.moments import Kept, Moment
from sidegate.api.events.v1.history_pb2 import ResourceState


def moment(resources: int) -> Moment:
    return Moment([], {("port", str(each)): ResourceState() for each in range(resources - 1)}, {})


def held(kept: Kept) -> list[object]:
    return [key[0] for key in kept._moments]


def test_a_session_keeps_the_newest_of_so_many_resources() -> None:
    kept = Kept(most=25)
    for number in range(4):
        kept.keep((number,), moment(10))
    assert held(kept) == [2, 3]
    kept.keep((4,), moment(100))
    assert held(kept) == [4], "one is kept, however large"


def test_all_sessions_together_keep_no_more_than_there_is_room_for_and_whoever_has_most_makes_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each kept 40,000: twenty sessions of one key came to a gigabyte or so."""
    gc.collect()
    monkeypatch.setattr(moments, "MOST_OF_ALL", 60)
    greedy, modest = Kept(most=40), Kept(most=40)
    for number in range(4):
        greedy.keep((number,), moment(10))
    modest.keep(("one",), moment(10))
    others = [Kept(most=40) for _ in range(3)]
    for other in others:
        other.keep(("one",), moment(10))
    assert held(greedy) == [2, 3]
    assert [held(each) for each in (modest, *others)] == [["one"]] * 4
    del greedy, others, other
    gc.collect()
    for number in range(4):
        modest.keep((number,), moment(10))
    assert held(modest) == [0, 1, 2, 3], "sessions that are over take no room"


async def test_others_are_answered_while_two_moments_of_thousands_of_things_are_compared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Both are kept, so that nobody pays for it: it took a fifth of a second, as often as it was asked for."""
    threads, states = list[threading.Thread](), moment(10)

    def noted(*_: object) -> list[object]:
        threads.append(threading.current_thread())
        return []

    monkeypatch.setattr(listing, "difference", noted)
    monkeypatch.setattr(picturing, "picture", noted)
    monkeypatch.setattr(sliding, "render", lambda *_, **__: "")
    monkeypatch.setattr(moments, "kept_of", lambda _: Mock(at=AsyncMock(return_value=states)))
    query = b"at=2026-01-01T00:00&base=2026-01-02T00:00"
    request = Request({"type": "http", "query_string": query, "headers": []})
    answer = await sliding.moment(request, Mock(is_tenant=True, account="shop", project="default"))
    assert answer.status_code == 200
    assert len(threads) == 4
    assert threading.current_thread() not in threads
