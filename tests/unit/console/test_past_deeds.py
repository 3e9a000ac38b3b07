"""Two logs and what was refused, as one list: in order, page by page, nothing twice or missing, never without end."""

import asyncio
import random
from collections.abc import Mapping, Sequence
from typing import Any, cast

import pytest

from services.console.past import deeds, exporting
from services.console.past.deeds import BEGINNING, DONE, REFUSED, Wanted
from services.console.past.wanted import at_nanoseconds
from sidegate import errors
from sidegate.api.events.v1.history_pb2 import Deed, ListDeedsResponse
from sidegate.api.events.v1.log_pb2 import Refusal
from sidegate.client import Client
from sidegate.resources.history import Sought
from sidegate.resources.logs import LogName

ALL = Wanted(refusals=True)


class Logs:
    """Answers as the services do: so many of the newest below a position; `looks` events of a log for one page."""

    def __init__(
        self,
        times: Mapping[LogName, Sequence[int]],
        refused: Sequence[int] = (),
        looks: int = 1000,
        *,
        everything: bool = True,
    ) -> None:
        self._times, self._refused, self._looks = times, refused, looks
        self.calls, self._everything = 0, everything
        self.history, self.audit = self, self

    async def deeds(self, log: LogName, sought: Sought, size: int = 0, page_token: str = "") -> ListDeedsResponse:
        self.calls += 1
        begin = int(page_token) if page_token else (sought.below or len(self._times[log]) + 1) - 1
        found, position = list[Deed](), begin
        while position and len(found) < size and begin - position < self._looks:
            deed = Deed(position=position, time=at_nanoseconds(self._times[log][position - 1]), account="shop", id="x")
            if sought.id in ("", deed.id):
                found.append(deed)
            position -= 1
        if not position:
            return ListDeedsResponse(deeds=found)
        time = at_nanoseconds(self._times[log][position]) if self._everything else None
        return ListDeedsResponse(deeds=found, next_page_token=str(position), reached=position + 1, reached_time=time)

    def log(self, name: LogName) -> "_Refused":
        return _Refused(self._refused if name is LogName.REGISTRY else ())


class _Refused:
    def __init__(self, times: Sequence[int]) -> None:
        self._times = times

    async def refused(self, _limit: int) -> Sequence[Refusal]:
        return [Refusal(time=at_nanoseconds(each), method="a/B", code="NOT_FOUND") for each in self._times]


def client(logs: Logs) -> Client:
    return cast("Client", cast("Any", logs))


async def every_page(logs: Logs, wanted: Wanted, size: int) -> list[tuple[str, int, int]]:
    place, found = BEGINNING, list[tuple[str, int, int]]()
    for _ in range(1000):
        page = await deeds.page(client(logs), wanted, place, size)
        assert len(page.entries) <= size
        found += [(each.log, each.position, each.at) for each in page.entries]
        if page.onward is None:
            return found
        place = deeds.Place.read(page.onward.text)
    raise AssertionError("it never ends")


@pytest.mark.parametrize("seed", range(20))
async def test_all_that_happened_is_on_the_pages_once_and_in_order(seed: int) -> None:
    draw = random.Random(seed)
    times = {log: sorted(draw.sample(range(1, 1000), draw.randrange(40))) for log in LogName}
    refused = sorted(draw.sample(range(1000, 2000), draw.randrange(20)))
    logs = Logs(
        times,
        [draw.choice((-1000, 0)) + each for each in refused],
        looks=draw.choice((1, 7, 1000)),
        everything=draw.random() < 0.5,
    )
    found = await every_page(logs, ALL, draw.choice((1, 3, 50)))
    assert [at for _, _, at in found] == sorted((at for _, _, at in found), reverse=True)
    for log in LogName:
        positions = [position for name, position, _ in found if name == log.value and position]
        assert positions == list(range(len(times[log]), 0, -1))
    assert sum(position == 0 for _, position, _ in found) == len(refused)


async def test_what_was_done_and_what_was_refused_are_read_apart() -> None:
    logs = Logs({log: [1, 2] for log in LogName}, [3])
    assert len(await every_page(logs, Wanted(result=DONE, refusals=True), 10)) == 4
    assert len(await every_page(logs, Wanted(result=REFUSED, refusals=True), 10)) == 1
    assert len(await every_page(logs, Wanted(), 10)) == 4


async def test_a_filter_that_fits_nothing_reads_so_much_at_a_time_and_says_so() -> None:
    logs = Logs({log: list(range(1, 101)) for log in LogName}, looks=5)
    page = await deeds.page(client(logs), Wanted(Sought(id="none")), BEGINNING, 10)
    assert (page.entries, page.short) == ([], True)
    assert logs.calls == 2 * deeds.MOST_OF_TENANTS
    assert page.onward is not None
    assert page.onward.registry == 100 - 5 * deeds.MOST_OF_TENANTS + 1
    assert await every_page(logs, Wanted(Sought(id="none")), 10) == []


async def test_an_export_ends_and_says_that_there_is_more() -> None:
    logs = Logs({log: list(range(1, 101)) for log in LogName})
    lines = [line async for line in exporting.lines(client(logs), ALL, exporting.json_line, "", most=5)]
    assert len(lines) == 6
    assert '"left out"' in lines[-1]


async def test_an_export_that_is_refused_on_its_way_says_so_in_its_last_line() -> None:
    class Tired(Logs):
        async def deeds(self, log: LogName, sought: Sought, size: int = 0, page_token: str = "") -> ListDeedsResponse:
            if page_token:
                raise errors.QuotaReached("ask again in 3 s", reason="TOO_MANY_QUESTIONS")
            return await super().deeds(log, sought, 2, page_token)

    logs = Tired({log: list(range(1, 101)) for log in LogName})
    lines = [line async for line in exporting.lines(client(logs), ALL, exporting.csv_line, "", most=500)]
    assert len(lines) == 4
    assert "ended early" in lines[-1]
    assert "ask again in 3 s" in lines[-1]


class _Refusing(Logs):
    """One log has had enough of questions, while the other takes its time."""

    async def deeds(self, log: LogName, sought: Sought, size: int = 0, page_token: str = "") -> ListDeedsResponse:
        if log is LogName.REGISTRY:
            raise errors.QuotaReached("ask again in 1 s")
        await asyncio.sleep(0)
        return await super().deeds(log, sought, size, page_token)


async def test_a_log_that_refuses_while_another_is_at_work_is_a_refusal_and_nothing_else() -> None:
    logs = _Refusing({LogName.REGISTRY: [1], LogName.ENDPOINT: [2]})
    with pytest.raises(errors.QuotaReached):
        await deeds.page(client(logs), Wanted(), BEGINNING, 10)
    with pytest.raises(errors.QuotaReached):
        async for _ in deeds.all_of(client(logs), Wanted(), 10):
            pass
