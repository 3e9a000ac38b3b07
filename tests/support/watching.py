"""Watchers' histories, and the six promises that they are held against."""

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple

from services.common.eventsourcing.store import AnyVersion, Append, EventStore, NewEvent, RecordedEvent
from services.common.watching.beginning import Place
from services.common.watching.sight import Sight, Watch, Wish
from services.common.watching.watcher import Told
from services.common.watching.watching import Watching

PROJECTS = ("shop/live", "payments/live", "bank/live")
KINDS = ("endpoint", "connection")


def fact(*seen: tuple[str, str]) -> bytes:
    """An event's data: who sees something of it, and as what kind."""
    return ";".join(f"{project}|{kind}" for project, kind in seen).encode()


def seen_in(event: RecordedEvent) -> list[tuple[str, str]]:
    pairs = [each.partition("|") for each in event.data.decode().split(";") if each]
    return [(project, kind) for project, _, kind in pairs]


def sights_of(event: RecordedEvent) -> Sequence[Sight[int]]:
    """As changes there are positions: nothing else is needed to hold a history against the log."""
    return [Sight(frozenset({project}), kind, event.stream, event.position) for project, kind in seen_in(event)]


@dataclass
class Traffic:
    """Appends of one event or of many, seen by one project, by two or by nobody."""

    store: EventStore
    chance: random.Random
    appends: list[range] = field(default_factory=list)

    async def append(self) -> None:
        count = self.chance.choice((1, 1, 1, 2, 3, 40))
        seen = [(self.chance.choice(PROJECTS), self.chance.choice(KINDS)) for _ in range(self.chance.randrange(3))]
        stream, at = f"endpoint-{self.chance.randrange(5)}", self.chance.randrange(3)
        events = [NewEvent("fact", fact(*dict.fromkeys(seen)))] * count
        appended = await self.store.append(Append(stream, AnyVersion(), events, at=at))
        self.appends.append(range(appended.position - count + 1, appended.position + 1))


@dataclass
class History:
    """What one who watches was answered, over all his resumptions. `begun` is the position that he began after."""

    watch: Watch
    begun: int = 0
    answers: list[Told[int]] = field(default_factory=list)
    resumed: int = 0

    @property
    def place(self) -> Place:
        last = self.answers[-1] if self.answers else None
        return Place(last.position, last.log_id, last.epoch) if last else Place(self.begun)

    @property
    def position(self) -> int:
        return self.answers[-1].position if self.answers else self.begun

    async def follow(self, watching: Watching[int], upto: int) -> None:
        """Watches from where it was until everything up to a position was told."""
        self.resumed += 1
        async with aclosing(watching.watch(self.watch, self.place)) as answers:
            async for told in answers:
                self.answers.append(told)
                if told.position >= upto:
                    return


def project(name: str, *kinds: str) -> Watch:
    return Watch(name.partition("/")[0], frozenset({name}), Wish(frozenset(kinds)))


def faults(history: History, log: Sequence[RecordedEvent], appends: Iterable[range]) -> Iterator[str]:
    """Which promises a history breaks; nothing where it keeps all six."""
    wanted = [
        position
        for event in log
        if history.begun < event.position <= history.position
        for position in history.watch.chosen(sights_of(event))
    ]
    return broken([Heard(each.position, each.changes) for each in history.answers], wanted, appends)


class Heard(NamedTuple):
    """An answer: the position that it reaches, and those of the changes that it tells of."""

    position: int
    changes: Sequence[int]


def broken(answers: Sequence[Heard], wanted: Sequence[int], appends: Iterable[range]) -> Iterator[str]:
    """Which of etcd's promises are broken to one who is to be told of the changes at the `wanted` positions.

    Of one who watched until all of these were told, whatever interrupted him; each of `appends` is one command's.
    """
    told = [position for answer in answers for position in answer.changes]
    more, less = Counter(told) - Counter(wanted), Counter(wanted) - Counter(told)
    if [answer.position for answer in answers] != sorted(answer.position for answer in answers):
        yield "ordered: an answer has a lower position than the one before"
    if told != sorted(told):
        yield "ordered: a change was told after a later one"
    if more:
        yield f"unique: told twice, or not his: {sorted(more)[:5]}"
    if less:
        yield f"reliable: not told {sorted(less)[:5]}"
    yield from _torn(answers, appends)
    yield from _bookmarks_too_far(answers, wanted)


def _torn(answers: Sequence[Heard], appends: Iterable[range]) -> Iterator[str]:
    answer_of = {position: number for number, answer in enumerate(answers) for position in answer.changes}
    reached = {answer.position for answer in answers}
    for append in appends:
        if len({answer_of[position] for position in append if position in answer_of}) > 1:
            yield f"atomic: what was appended as {append} came in more than one answer"
        if not reached.isdisjoint(append[:-1]):
            yield f"resumable: an answer is at a position inside {append}"


def _bookmarks_too_far(answers: Sequence[Heard], wanted: Sequence[int]) -> Iterator[str]:
    told = Counter[int]()
    for answer in answers:
        told.update(answer.changes)
        due = Counter(position for position in wanted if position <= answer.position)
        if due - told:
            yield f"bookmarks: {answer.position} was said to be reached before all up to it was told"
            return


def appends_of(log: Sequence[RecordedEvent]) -> list[range]:
    """What was appended at once, as the events themselves say: one stream's, at one time, by one command."""
    runs = groupby(log, key=lambda event: (event.stream, event.recorded_at, event.meta))
    appends = [[event.position for event in run] for _, run in runs]
    return [range(each[0], each[-1] + 1) for each in appends]
