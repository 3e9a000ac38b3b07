"""What was there at a moment: of one project or of all, in both logs, and a cell's forwarding table."""

import asyncio
import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar
from weakref import WeakSet

from google.protobuf.timestamp_pb2 import Timestamp

from services.console.sessions.session import Session
from sidegate.api.events.v1.history_pb2 import ResourceState, StateHeader
from sidegate.cli.differences import Key
from sidegate.resources.history import Part, State, When
from sidegate.resources.logs import LogName

INT64 = re.compile(r"[0-9]{1,18}")
"""A number that fits, and nothing larger: an address may say anything."""

MOST = 3000
"""Resources of a log that are drawn; where there are more, a project is to be chosen."""

TABLE = 100
"""Entries of a forwarding table on a page."""

MOST_KEPT, MOST_OF_ALL, KEPT = 40_000, 200_000, "moments"
"""Resources in the moments that one session keeps, and all of them: a thousand are about 2 MB."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Of what. `owner` is a project, or empty for everything; `cell` names the forwarding table that is shown with it.

    `logs` are those that the page has seen, as `Moment.logs` writes them: others are refused.
    """

    owner: str = ""
    cell: str = ""
    skip: int = 0
    logs: Mapping[str, tuple[str, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Moment:
    """`states` is empty where there was `too_much` of it. `entries` is a part of the `table_total` of a table."""

    headers: Sequence[StateHeader]
    states: Mapping[Key, ResourceState]
    entries: Mapping[Key, ResourceState]
    table_total: int = 0
    too_much: bool = False

    @property
    def total(self) -> int:
        return sum(header.total for header in self.headers)

    @property
    def before_all(self) -> bool:
        """Whether nothing had been recorded yet."""
        return all(header.position == 0 for header in self.headers)

    @property
    def logs(self) -> str:
        return ",".join(f"{header.log}:{header.log_id}:{header.epoch}" for header in self.headers)


def logs_of(text: str) -> Mapping[str, tuple[str, int]]:
    """What `Moment.logs` has written; nothing of anything else."""
    parts = [part.split(":") for part in text[:300].split(",")]
    return {part[0]: (part[1], int(part[2])) for part in parts if len(part) == 3 and INT64.fullmatch(part[2])}


async def at(session: Session, scope: Scope, time: Timestamp | None) -> Moment:
    """As it was at a moment; as it is, where none is named. Raises SidegateError."""
    registry, (endpoint, table) = await asyncio.gather(
        _state(session, scope, LogName.REGISTRY, time), _endpoints_and_table(session, scope, time)
    )
    found = (registry, endpoint)
    too_much = any(state.header.total > MOST for state in found)
    return Moment(
        [state.header for state in found],
        {} if too_much else _by_key(each for state in found for each in state.states),
        _by_key(table.states if table else ()),
        table.header.total if table else 0,
        too_much,
    )


async def _endpoints_and_table(session: Session, scope: Scope, time: Timestamp | None) -> tuple[State, State | None]:
    """One after the other: what was made for the first is at hand for the second."""
    state = await _state(session, scope, LogName.ENDPOINT, time)
    if not scope.cell:
        return state, None
    part = Part(TABLE, scope.skip)
    return state, await session.client.history.cell(scope.cell, _when(scope, LogName.ENDPOINT, time), part)


async def _state(session: Session, scope: Scope, log: LogName, time: Timestamp | None) -> State:
    history, when, part = session.client.history, _when(scope, log, time), Part(MOST)
    if scope.owner:
        account, _, project = scope.owner.partition("/")
        return await history.project(log, account, project, when, part)
    return await history.everything(log, when, part)


def _when(scope: Scope, log: LogName, time: Timestamp | None) -> When:
    log_id, epoch = scope.logs.get(log.value, ("", 0))
    return When(time=time, log_id=log_id, epoch=epoch)


def _by_key(states: Iterable[ResourceState]) -> dict[Key, ResourceState]:
    return {(each.kind, each.id): each for each in states}


async def heads(session: Session) -> str:
    """Names the ends of the logs, for the operator: as long as they are these, nothing has changed."""
    if session.is_tenant:
        return ""
    found = await asyncio.gather(*(session.client.audit.log(log).head() for log in LogName))
    return ".".join(f"{head.epoch}-{head.position}" for head in found)


class Kept:
    """Moments that a session has looked at lately: what was, stays. Now is never kept.

    Where all sessions keep more than there is room for, the one with the most makes it.
    """

    _everybodys: ClassVar[WeakSet["Kept"]] = WeakSet()

    def __init__(self, most: int = MOST_KEPT) -> None:
        self._most, self._held = most, 0
        self._moments: OrderedDict[tuple[object, ...], Moment] = OrderedDict()
        self._everybodys.add(self)

    async def at(self, session: Session, scope: Scope, time: Timestamp | None) -> Moment:
        if time is None:
            return await at(session, scope, None)
        key = (session.client, scope.owner, scope.cell, scope.skip, str(scope.logs), time.ToNanoseconds())
        if (found := self._moments.get(key)) is None:
            self.keep(key, found := await at(session, scope, time))
        else:
            self._moments.move_to_end(key)
        return found

    def keep(self, key: tuple[object, ...], moment: Moment) -> None:
        if key in self._moments:  # two have asked for it at once
            return
        self._moments[key] = moment
        self._held += _size(moment)
        while len(self._moments) > 1 and self._held > self._most:
            self._drop()
        while sum(each._held for each in self._everybodys) > MOST_OF_ALL:
            max(self._everybodys, key=lambda each: each._held)._drop()

    def _drop(self) -> None:
        _key, moment = self._moments.popitem(last=False)
        self._held -= _size(moment)


def _size(moment: Moment) -> int:
    return 1 + len(moment.states) + len(moment.entries)


def kept_of(session: Session) -> Kept:
    kept = session.kept.setdefault(KEPT, Kept())
    assert isinstance(kept, Kept)  # noqa: S101 # it was put there above
    return kept
