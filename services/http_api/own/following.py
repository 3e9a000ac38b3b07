"""What happens to a project's resources, of both services in one stream, for as long as its key is good."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import aclosing

from services.http_api.errors import Refused
from services.http_api.own.changes import Told, change_of, source_of, watch
from services.http_api.own.models import Event
from services.http_api.own.places import Place, Places, Source, word_of
from services.http_api.refusals import refused
from services.http_api.upstream import Acting
from sidegate import errors
from sidegate.api.registry.v1 import account_service_pb2 as token_pb2

LOOK_SECONDS = 3.0
"""How often is asked whether the key still is: tokens end with it, or after some minutes."""

News = tuple[Source, Told] | Exception


async def follow(
    caller: Acting, kinds: Collection[str], begin: Places, ending: asyncio.Event
) -> AsyncGenerator[Event, None]:
    """The first event is a bookmark; then all that happens. Where it ends, the last event says why.

    Raises what keeps it from beginning.
    """
    news: asyncio.Queue[News] = asyncio.Queue(1)  # whoever reads slowly is waited for here, and so upstream
    readers = [_read(caller, source, place, kinds, news) for source, place in begin.items()]
    tasks = [asyncio.create_task(each) for each in (*readers, _look(caller, news), _await_end(ending, news))]
    try:
        places, early = await _beginning(len(readers), news)
        yield Event(event="bookmark", id=word_of(places))
        while True:
            match early.popleft() if early else await news.get():
                case Exception() as error:
                    yield ended(error)
                    return
                case source, told:
                    places = {**places, source: Place(told.position, told.log_id, told.epoch)}
                    yield _event(told, places)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def sources(kinds: Collection[str]) -> Sequence[Source]:
    return sorted({source_of(kind) for kind in kinds})


def ended(error: Exception) -> Event:
    """Why a stream ends; whoever goes on after the last event loses nothing."""
    match error:
        case errors.SidegateError():
            refusal, oldest = refused(error), error.metadata.get("oldest", "")
            event = _error(refusal, error.reason)
            event.oldest = int(oldest) if oldest.isdigit() else None
            return event
        case Refused():
            return _error(error, "")
        case _:
            raise error


def _error(refusal: Refused, reason: str) -> Event:
    said = refusal.body
    return Event(event="error", error_code=said["error_code"], error_msg=said["error_msg"], reason=reason)


def _event(told: Told, places: Places) -> Event:
    changes = [change_of(change) for change in told.changes]
    return Event(event="changes" if changes else "bookmark", id=word_of(places), changes=changes)


async def _beginning(readers: int, news: asyncio.Queue[News]) -> tuple[Places, deque[News]]:
    """The place of each source, whose first answer comes at once, and what else came meanwhile. Raises what came
    instead.
    """
    places: dict[Source, Place] = {}
    early: deque[News] = deque()
    while len(places) < readers:
        match await news.get():
            case Exception() as error:
                raise error
            case source, told if source in places:
                early.append((source, told))
            case source, told:
                places[source] = Place(told.position, told.log_id, told.epoch)
    return places, early


async def _read(
    caller: Acting, source: Source, place: Place, kinds: Collection[str], news: asyncio.Queue[News]
) -> None:
    try:
        async with aclosing(watch(caller, source, place, kinds)) as answers:
            async for told in answers:
                await news.put((source, told))
    except errors.SidegateError as error:
        await news.put(error)


async def _look(caller: Acting, news: asyncio.Queue[News]) -> None:
    """Says so when the token has ended. A registry that is away is no reason to end."""
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        try:
            await caller.ask(caller.upstream.tokens.GetIdentity, token_pb2.GetIdentityRequest())
        except errors.Unauthenticated as error:
            await news.put(error)
            return
        except errors.SidegateError:
            continue


async def _await_end(ending: asyncio.Event, news: asyncio.Queue[News]) -> None:
    await ending.wait()
    await news.put(errors.Unavailable("this program stops: go on elsewhere or later", reason="SHUTTING_DOWN"))
