"""What has passed for all endpoints of a service together, also for those that are gone. Pure."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from operator import add, attrgetter, sub

from services.gateway_agent.sources import Ground
from services.gateway_agent.table import Endpoint
from services.gateway_agent.traffic import Traffic

Parted = tuple[Endpoint, Traffic]
"""An endpoint that was taken out, and what it had passed by then."""

COUNTED = tuple(each.name for each in fields(Traffic) if each.name not in ("sessions", "refused"))
_counts = attrgetter(*COUNTED)


@dataclass(slots=True)
class _Sum:
    sessions: int = 0
    counts: list[int] = field(default_factory=lambda: [0] * len(COUNTED))
    refused: Counter[str] = field(default_factory=Counter)

    def traffic(self) -> Traffic:
        return Traffic(
            sessions=self.sessions, refused=dict(self.refused), **dict(zip(COUNTED, self.counts, strict=True))
        )


class Sums:
    """Counts from 0 on: what endpoints have passed that were there before this program, one of before has told.

    Endpoints come and go, and their counts with them; a sum only grows, until its service is no longer in the table.
    """

    def __init__(self) -> None:
        self._last: Mapping[str, Traffic] = {}
        self._counted: set[str] = set()
        self._gone: frozenset[str] = frozenset()
        self._sums: dict[str, _Sum] = {}

    def look(
        self,
        traffic: Mapping[str, Traffic],
        ground: Ground,
        found: Collection[str] = (),
        parted: Iterable[Parted] = (),
    ) -> Mapping[str, Traffic]:
        """Takes in what each endpoint has by now; gives the sums by service.

        Those `found` were there before this program. Those `parted` had gone, in this order, when `traffic` was read;
        they may be there again. Whoever has just gone may be among the next ones that parted.
        """
        last = {**self._last, **self._begun(traffic, found)}
        self._sums = {id_: self._sums.get(id_) or _Sum() for id_ in ground.holds}
        for each in self._sums.values():
            each.sessions = 0
        for endpoint, had in parted:
            if endpoint.id in found and endpoint.id not in self._counted:
                self._counted.add(endpoint.id)
            elif total := self._sums.get(endpoint.service):
                _add(total, last.pop(endpoint.id, _NOTHING), had)
        for id_, passed in traffic.items():
            there = ground.endpoints.get(id_)
            if there is not None and (total := self._sums.get(there.service)):
                total.sessions += passed.sessions
                before = last.get(id_, _NOTHING)
                if before is not passed and before != passed:
                    _add(total, before, passed)
        self._remember(last, traffic)
        return {id_: each.traffic() for id_, each in self._sums.items()}

    def _remember(self, last: Mapping[str, Traffic], traffic: Mapping[str, Traffic]) -> None:
        gone = {id_: had for id_, had in last.items() if id_ not in traffic and id_ not in self._gone}
        self._gone = frozenset(gone)
        self._last = {**gone, **traffic}

    def _begun(self, traffic: Mapping[str, Traffic], found: Collection[str]) -> Mapping[str, Traffic]:
        """Of those that were found, what they had when they were first seen: once."""
        begun = {id_: traffic[id_] for id_ in found if id_ in traffic and id_ not in self._counted}
        self._counted.update(begun)
        return begun


_NOTHING = Traffic()


def _add(total: _Sum, before: Traffic, now: Traffic) -> None:
    """Where any count went back, the endpoint was put anew, and all that it has came since."""
    more = list(map(sub, _counts(now), _counts(before)))
    if min(more) < 0:
        before, more = _NOTHING, list(_counts(now))
    total.counts = list(map(add, total.counts, more))
    if now.refused != before.refused:
        for reason, number in now.refused.items():
            total.refused[reason] += max(0, number - before.refused.get(reason, 0))


def together(all_of_them: Mapping[str, Traffic]) -> Traffic:
    """The sum of what endpoints have by now."""
    total = _Sum()
    for each in all_of_them.values():
        _add(total, _NOTHING, each)
    return replace(total.traffic(), sessions=sum(each.sessions for each in all_of_them.values()))
