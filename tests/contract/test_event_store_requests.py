"""What every event store promises about requests: a retry is the same request, and is answered once."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from services.common.eventsourcing.store import Appended, Conflict, Exact, NoStream, Request, RequestReused
from tests.support.stores import STORES, Store, a_request, an_append, whole_log


@pytest.fixture(params=STORES)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    async with STORES[request.param](tmp_path) as opened:
        yield opened


async def recalled(store: Store, request: Request) -> Appended | None:
    return await store.recall(request.key, request.command_hash)


async def test_a_repeated_request_gets_its_first_answer_and_stores_nothing(store: Store) -> None:
    request = a_request(response=b"first")
    assert await recalled(store, request) is None
    await store.append(an_append("endpoint-2"))
    first = await store.append(an_append(expected=NoStream(), events=2, request=request))
    assert first == Appended(3, 2, b"first")
    await store.append(an_append(events=5))

    again = await store.append(an_append(expected=NoStream(), request=a_request(response=b"second")))
    assert again == replace(first, replayed=True)
    assert await recalled(store, request) == again
    assert (await store.head()).position == 8


async def test_a_request_that_changed_nothing_is_remembered_too(store: Store) -> None:
    await store.append(an_append(events=3))
    request = a_request(response=b"as it was")
    assert await store.append(an_append(events=0, request=request)) == Appended(3, 3, b"as it was")
    await store.append(an_append(events=2))
    assert await recalled(store, request) == Appended(3, 3, b"as it was", replayed=True)
    assert len(await whole_log(store)) == 5


async def test_a_request_id_is_not_used_again_for_another_command(store: Store) -> None:
    await store.append(an_append(request=a_request(command="create")))
    other = a_request(command="delete")
    with pytest.raises(RequestReused):
        await recalled(store, other)
    with pytest.raises(RequestReused):
        await store.append(an_append(request=other))
    assert len(await whole_log(store)) == 1


async def test_a_refused_request_is_not_remembered(store: Store) -> None:
    request = a_request()
    with pytest.raises(Conflict):
        await store.append(an_append(expected=Exact(5), request=request))
    assert await recalled(store, request) is None
    assert not (await store.append(an_append(expected=Exact(0), request=request))).replayed


@pytest.mark.parametrize("field", ["account", "project", "method", "request_id"])
async def test_a_request_id_belongs_to_one_account_project_and_method(store: Store, field: str) -> None:
    request = a_request()
    await store.append(an_append(request=request))
    other = replace(request, key=replace(request.key, **{field: "another"}), command_hash=b"other".ljust(32))
    assert await recalled(store, other) is None
    assert not (await store.append(an_append(request=other))).replayed
    assert len(await whole_log(store)) == 2


async def test_of_a_request_that_is_sent_twenty_times_at_once_one_is_done(store: Store) -> None:
    append = an_append(expected=Exact(0), request=a_request())
    found = await asyncio.gather(*[store.append(append) for _ in range(20)])
    assert sorted(outcome.replayed for outcome in found) == [False] + [True] * 19
    assert {(outcome.position, outcome.version, outcome.response) for outcome in found} == {(1, 1, b"created")}
    assert len(await whole_log(store)) == 1


async def test_of_two_commands_with_one_request_id_at_once_the_second_is_refused(store: Store) -> None:
    appends = [an_append(request=a_request(command=command)) for command in ("create", "delete")]
    first, second = await asyncio.gather(*map(store.append, appends), return_exceptions=True)
    assert isinstance(first, Appended)
    assert isinstance(second, RequestReused)
