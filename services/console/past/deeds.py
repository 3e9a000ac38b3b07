"""What has happened, of both logs and of what was refused, as one list: newest first, however long the logs are."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from google.protobuf.timestamp_pb2 import Timestamp

from sidegate.api.events.v1.history_pb2 import Deed, ListDeedsResponse
from sidegate.api.events.v1.log_pb2 import Refusal
from sidegate.client import Client
from sidegate.resources.history import Sought
from sidegate.resources.logs import LogName

DONE, REFUSED = "done", "refused"
MOST_REFUSALS = 1000
LAST = 2**63 - 1
MOST_CALLS, MOST_OF_TENANTS = 10, 3
"""Of one log for one page: a filter that fits nothing must not read all of it, nor take all that a project may ask."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that somebody did, or was refused. `at` is in nanoseconds since the epoch; `position` of `log`."""

    log: str
    at: int
    time: Timestamp
    what: str
    kind: str
    id: str
    result: str = DONE
    name: str = ""
    account: str = ""
    project: str = ""
    acting: str = ""
    access_key: str = ""
    method: str = ""
    request_id: str = ""
    position: int = 0
    hash: str = ""
    reason: str = ""
    peer: str = ""


LARGEST = 2**63 - 1
"""Of the contract's positions and moments."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a list goes on: below these positions of the logs, and before this moment of what was refused.

    -1 stands for a log that has been read to its beginning.
    """

    registry: int = 0
    endpoint: int = 0
    refused: int = 0

    def of(self, log: LogName) -> int:
        return self.registry if log is LogName.REGISTRY else self.endpoint

    def below(self, log: LogName, position: int) -> "Place":
        return replace(self, registry=position) if log is LogName.REGISTRY else replace(self, endpoint=position)

    @property
    def text(self) -> str:
        return f"{self.registry}.{self.endpoint}.{self.refused}"

    @classmethod
    def read(cls, text: str) -> "Place":
        """Of what `text` says; the beginning for anything else."""
        parts = text.split(".")
        with suppress(ValueError):
            if len(parts) == 3 and all(len(each) < 20 for each in parts):
                return cls(*(min(max(-1, int(each)), LARGEST) for each in parts))
        return cls()


BEGINNING = Place()


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be read. `result` is DONE, REFUSED or both where it is empty; `refusals` may be asked for."""

    sought: Sought = field(default_factory=Sought)
    result: str = ""
    refusals: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """`onward` is None where nothing is older. `short` says that the logs were not read to their beginning."""

    entries: Sequence[Entry]
    onward: Place | None
    short: bool = False


@dataclass(frozen=True, slots=True)
class Cut:
    """Reading has stopped above this position, before it was at the beginning: what is left is not after `at`."""

    position: int
    at: int


class _Source:
    """One log, or what was refused: the next entry is at hand, so that several can be put in order."""

    def __init__(self, entries: AsyncGenerator[Entry | Cut, None]) -> None:
        self._entries = entries
        self.next: Entry | None = None
        self.cut: Cut | None = None

    async def step(self) -> None:
        found = await anext(self._entries, None)
        self.next = found if isinstance(found, Entry) else None
        self.cut = found if isinstance(found, Cut) else None

    async def close(self) -> None:
        await self._entries.aclose()


async def page(client: Client, wanted: Wanted, place: Place, size: int) -> Page:
    """The next so many. Raises SidegateError."""
    sources = _sources(client, wanted, place, size + 1, MOST_CALLS if wanted.refusals else MOST_OF_TENANTS)
    found = list[Entry]()
    try:
        await _begin(sources)
        while len(found) < size and (source := _newest(sources)):
            assert source.next is not None  # noqa: S101 # _newest has looked
            found.append(source.next)
            await source.step()
        return Page(found, *_onward(sources, place, found))
    finally:
        for each in sources.values():
            await each.close()


async def all_of(client: Client, wanted: Wanted, most: int) -> AsyncIterator[Entry]:
    """One after another, newest first, `most` at most. Raises SidegateError."""
    sources = _sources(client, wanted, BEGINNING, 1000, None)
    try:
        await _begin(sources)
        while most > 0 and (source := _newest(sources)):
            assert source.next is not None  # noqa: S101 # _newest has looked
            yield source.next
            most -= 1
            await source.step()
    finally:
        for each in sources.values():
            await each.close()


def _sources(client: Client, wanted: Wanted, place: Place, size: int, calls: int | None) -> dict[str, _Source]:
    made = dict[str, _Source]()
    for log in LogName:
        if wanted.result != REFUSED and place.of(log) >= 0:
            sought = replace(wanted.sought, below=place.of(log))
            made[log.value] = _Source(_of_log(client, log, sought, size, calls))
    if wanted.refusals and wanted.result != DONE and place.refused >= 0:
        made[REFUSED] = _Source(_refusals(client, wanted.sought, place.refused))
    return made


async def _begin(sources: Mapping[str, _Source]) -> None:
    """The first entry of each. All are waited for though one is refused: what is at work cannot be closed."""
    begun = await asyncio.gather(*(each.step() for each in sources.values()), return_exceptions=True)
    for error in begun:
        if error is not None:
            raise error


def _newest(sources: Mapping[str, _Source]) -> _Source | None:
    """Which source has the next entry; none where a log that was not read far enough may have a newer one."""
    ready = [(each.next.at, name) for name, each in sources.items() if each.next is not None]
    unread = max((each.cut.at for each in sources.values() if each.cut is not None), default=0)
    return sources[max(ready)[1]] if ready and max(ready)[0] >= unread else None


def _onward(sources: Mapping[str, _Source], place: Place, found: Sequence[Entry]) -> tuple[Place | None, bool]:
    """Where the page after what was found begins, and whether so much reading has ended it, not so many entries."""
    if not any(each.next or each.cut for each in sources.values()):
        return None, False
    onward = place
    for log in LogName:
        shown = [each.position for each in found if each.result == DONE and each.log == log.value]
        onward = onward.below(log, _next_place(sources.get(log.value), (shown or [place.of(log)])[-1]))
    times = [each.at for each in found if each.result == REFUSED]
    onward = replace(onward, refused=_next_place(sources.get(REFUSED), (times or [place.refused])[-1]))
    return onward, any(each.cut for each in sources.values())


def _next_place(source: _Source | None, last: int) -> int:
    if source is None or (source.next is None and source.cut is None):
        return -1
    return last if source.cut is None else source.cut.position


async def _of_log(
    client: Client, log: LogName, sought: Sought, size: int, calls: int | None
) -> AsyncGenerator[Entry | Cut, None]:
    """Its deeds; at last where reading has stopped, where that is not the beginning."""
    token, size, page = "", min(size, 1000), ListDeedsResponse()
    while calls is None or calls > 0:
        page = await client.history.deeds(log, sought, size, token)
        for deed in page.deeds:
            yield entry_of(log, deed)
        token = page.next_page_token
        if not token:
            return
        calls = None if calls is None else calls - 1
    yield Cut(page.reached, page.reached_time.ToNanoseconds() if page.HasField("reached_time") else LAST)


async def _refusals(client: Client, sought: Sought, before: int) -> AsyncGenerator[Entry | Cut, None]:
    asked = await asyncio.gather(*(client.audit.log(log).refused(MOST_REFUSALS) for log in LogName))
    found = [refusal_of(log, each) for log, those in zip(LogName, asked, strict=True) for each in those]
    for entry in sorted(found, key=lambda each: -each.at):
        if (not before or entry.at < before) and _fits(entry, sought):
            yield entry


def _fits(entry: Entry, sought: Sought) -> bool:
    if sought.actor not in ("", entry.account) or sought.id not in ("", entry.id) or sought.kind:
        return False
    if sought.start is not None and entry.at < sought.start.ToNanoseconds():
        return False
    return sought.end is None or entry.at < sought.end.ToNanoseconds()


def entry_of(log: LogName, deed: Deed) -> Entry:
    return Entry(
        log.value,
        deed.time.ToNanoseconds(),
        deed.time,
        deed.what,
        deed.kind,
        deed.id,
        name=deed.name,
        account=deed.account,
        project=deed.project,
        acting=deed.acting,
        access_key=deed.access_key,
        method=deed.method,
        request_id=deed.request_id,
        position=deed.position,
        hash=deed.hash.hex(),
    )


def refusal_of(log: LogName, refusal: Refusal) -> Entry:
    return Entry(
        log.value,
        refusal.time.ToNanoseconds(),
        refusal.time,
        refusal.method.rpartition("/")[2],
        "",
        refusal.resource,
        REFUSED,
        account=refusal.account,
        project=refusal.project,
        acting=refusal.acting,
        access_key=refusal.access_key,
        method=refusal.method.rpartition("/")[2],
        reason=" ".join(dict.fromkeys(filter(None, (refusal.code, refusal.reason)))),
        peer=refusal.peer,
    )


async def newest(client: Client, wanted: Wanted) -> str:
    """Names the newest entry of what is wanted: the same as long as nothing has come."""
    found = await page(client, wanted, BEGINNING, 1)
    return mark_of(found.entries)


def mark_of(entries: Sequence[Entry]) -> str:
    return f"{entries[0].at}.{entries[0].log}.{entries[0].position}" if entries else "none"
