"""The event stream over two logs: nothing that comes while it begins is lost, whatever answers first."""

import asyncio
from collections.abc import AsyncGenerator
from typing import cast

import pytest

from services.http_api.errors import Refused
from services.http_api.own import following
from services.http_api.own.changes import Told
from services.http_api.own.models import Event
from services.http_api.own.places import NOW, OLDEST, Place, Source, places_of, word_of
from services.http_api.upstream import Acting
from sidegate import errors
from sidegate.api.endpoint.v1.endpoint_pb2 import Endpoint
from sidegate.api.endpoint.v1.watch_pb2 import EndpointChange, WatchEndpointsResponse
from sidegate.api.registry.v1.vpc_pb2 import Vpc
from sidegate.api.registry.v1.watch_pb2 import ResourceChange, WatchResponse

LOG = "8ae34b99-4394-4d32-8e31-e8d64250e969"
NOBODY = cast("Acting", None)
CREATED = WatchResponse(
    position=8, log_id=LOG, epoch=1, changes=[ResourceChange(position=8, what="created", vpc=Vpc(id="v"))]
)
REQUESTED = WatchEndpointsResponse(
    position=5,
    log_id=LOG,
    epoch=1,
    changes=[EndpointChange(position=5, what="requested", endpoint=Endpoint(id="e"))],
)


async def collected(
    monkeypatch: pytest.MonkeyPatch, registry: list[Told | Exception], endpoints: list[Told | Exception], most: int
) -> list[Event]:
    """What a stream tells of what its two sources answer; the endpoint service is slow to begin."""
    late = asyncio.Event()

    async def watch(_caller: Acting, source: Source, *_: object) -> AsyncGenerator[Told, None]:
        if source is Source.ENDPOINTS:
            await late.wait()
        for answer in registry if source is Source.REGISTRY else endpoints:
            if isinstance(answer, Exception):
                raise answer
            yield answer
        late.set()
        await asyncio.get_running_loop().create_future()

    monkeypatch.setattr(following, "watch", watch)
    monkeypatch.setattr(following, "LOOK_SECONDS", 3600.0)
    told: list[Event] = []
    events = following.follow(NOBODY, {"vpc"}, {Source.REGISTRY: NOW, Source.ENDPOINTS: NOW}, asyncio.Event())
    async with asyncio.timeout(20):
        async for event in events:
            told.append(event)
            if len(told) == most:
                break
    await events.aclose()
    return told


async def test_what_one_log_tells_before_the_other_has_answered_is_told_too(monkeypatch: pytest.MonkeyPatch) -> None:
    registry: list[Told | Exception] = [WatchResponse(position=7, log_id=LOG, epoch=1), CREATED]
    endpoints: list[Told | Exception] = [WatchEndpointsResponse(position=4, log_id=LOG, epoch=1), REQUESTED]
    told = await collected(monkeypatch, registry, endpoints, 3)
    assert told[0].id == f"e4@{LOG}.1,r7@{LOG}.1"
    assert sorted(change.what for event in told for change in event.changes) == ["created", "requested"]
    assert told[-1].id == f"e5@{LOG}.1,r8@{LOG}.1"


async def test_what_ends_a_stream_is_its_last_event_and_what_keeps_it_from_beginning_is_raised(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = WatchResponse(position=7, log_id=LOG, epoch=1)
    begun = WatchEndpointsResponse(position=4, log_id=LOG, epoch=1)
    slow = errors.QuotaReached("read faster", reason="SLOW_WATCHER", metadata={"position": "4"})
    told = await collected(monkeypatch, [first], [begun, slow], 9)
    assert (told[-1].event, told[-1].reason, told[-1].error_code) == ("error", "SLOW_WATCHER", "EndPoint.0022")
    old = errors.OutOfRange("too old", reason="COMPACTED", metadata={"oldest": "12"})
    with pytest.raises(errors.OutOfRange):
        await collected(monkeypatch, [old], [begun], 9)
    assert following.ended(old).oldest == 12


def test_a_place_is_given_back_as_it_was_told() -> None:
    places = {Source.REGISTRY: Place(7, LOG, 1), Source.CONNECTIONS: Place(0, LOG, 2)}
    assert places_of(word_of(places), places) == places
    assert places_of(word_of(places), [Source.REGISTRY]) == {Source.REGISTRY: Place(7, LOG, 1)}
    assert places_of("", [Source.ENDPOINTS]) == {Source.ENDPOINTS: NOW}
    assert places_of("0", [Source.ENDPOINTS]) == {Source.ENDPOINTS: OLDEST}
    for wrong in ("1", "x", "r1", f"r1@{LOG}", f"r-1@{LOG}.1", f"r{10**20}@{LOG}.1", f"e1@{LOG}.1", "r" * 600):
        with pytest.raises(Refused):
            places_of(wrong, [Source.REGISTRY])
