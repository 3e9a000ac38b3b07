"""Whom to check next, and how backends have fared. Pure: time comes in.

A check is due an interval after the one before began, or up to a tenth of it sooner: so checks that began together do
not go on together for ever.
"""

import heapq
from collections import Counter, deque
from collections.abc import Container
from dataclasses import dataclass, field, replace
from random import Random
from statistics import median
from typing import NamedTuple

from services.gateway_agent.backend_health import (
    Answer,
    BackendHealth,
    Condition,
    Failure,
    Health,
    HealthFigures,
    ServiceHealth,
    outcome,
    preferred,
    words,
)
from services.gateway_agent.table import Address, Backend, HealthCheck, Service

JITTER = 0.1
REMEMBERED_TIMES = 32
MEDIAN_SHIFT = 1.25
"""A median that is so many times what was told of last, or that part of it, is news..."""

MEDIAN_PAUSE_SECONDS = 30.0
"""...and not more often than this."""


class Patient(NamedTuple):
    """A backend as one service asks for it: another may ask the same machine other things."""

    service: str
    address: Address


@dataclass(slots=True)
class _Case:
    """What is known of a patient."""

    health: Health
    since: int = 0
    failure: Failure | None = None
    error: str = ""
    failed_at: int = 0
    checks: int = 0
    times: deque[float] = field(default_factory=lambda: deque(maxlen=REMEMBERED_TIMES))
    next_look: float | None = None  # None while it is being asked
    told_median: float | None = None
    told_at: float = 0.0


@dataclass(slots=True)
class _Watched:
    """A service that asks for checks."""

    check: HealthCheck
    backends: tuple[Backend, ...]
    cases: dict[Address, _Case]


class Schedule:
    """The patients of all services in one queue. `second` is how long one of a check's takes: tests shorten it."""

    def __init__(self, random: Random, second: float = 1.0) -> None:
        self._random, self._second = random, second
        self._watched: dict[str, _Watched] = {}
        self._queue: list[tuple[float, Patient]] = []
        self._outcomes: Counter[str] = Counter()

    def watch(
        self, service: Service, now: float, wall: int, *, taking: Container[Address] = (), calm: bool = False
    ) -> None:
        """From now on the service's backends are checked, exactly these, and as it says now; none, if it says nothing.

        Those that are `taking` new sessions already, as an earlier agent left them, count as well until they are shown
        to be otherwise. New ones are asked at once, or, where it need be `calm`, within an interval.
        """
        check, before = service.health_check, self._watched.pop(service.id, None)
        if check is None:
            return
        known: dict[Address, _Case] = before.cases if before else {}
        cases = {each.address: known.get(each.address) or _new(each, taking, wall) for each in service.backends}
        self._watched[service.id] = _Watched(check, service.backends, cases)
        changed = before is not None and before.check != check
        for address, case in cases.items():
            if address not in known or (changed and case.next_look is not None):
                spread = self._random.random() * check.interval * self._second if calm else 0.0
                self._look_at(Patient(service.id, address), case, now + spread)

    def forget(self, service: str) -> None:
        self._watched.pop(service, None)

    def ask_now(self, service: str, now: float) -> None:
        """There is somebody to ask as: do not wait, where nothing is known yet."""
        watched = self._watched.get(service)
        for address, case in watched.cases.items() if watched else ():
            if case.checks == 0 and case.next_look is not None and case.next_look > now:
                self._look_at(Patient(service, address), case, now)

    @property
    def next_look(self) -> float | None:
        """When `due` may have somebody."""
        return self._queue[0][0] if self._queue else None

    def due(self, now: float) -> tuple[Patient, HealthCheck] | None:
        """Takes one whose time has come: it is being asked until `note` or `put_off` says otherwise."""
        while self._queue and self._queue[0][0] <= now:
            when, patient = heapq.heappop(self._queue)
            if (found := self._find(patient)) is None or found[1].next_look != when:
                continue  # forgotten, or moved to another time
            found[1].next_look = None
            return patient, found[0].check
        return None

    def note(self, patient: Patient, answer: Answer, began: float, now: float, wall: int) -> bool:
        """Takes in what a check came to; says whether its service's choice of backends may be another."""
        if (found := self._find(patient)) is None:
            return False
        watched, case = found
        self._outcomes[outcome(answer)] += 1
        case.checks += 1
        if answer.failure is None:
            case.times.append(answer.seconds)
        else:
            case.failure, case.error, case.failed_at = answer.failure, words(answer, watched.check), wall
        before, case.health = case.health, case.health.after(answer, watched.check)
        interval = watched.check.interval * self._second * (1 - JITTER * self._random.random())
        self._look_at(patient, case, max(now, began + interval))
        if before.condition is case.health.condition:
            return False
        case.since = wall
        return True

    def put_off(self, patient: Patient, now: float, wall: int, *, forget: bool) -> bool:
        """It cannot be asked: look again in an interval. Where nobody uses its service, what was known is void."""
        if (found := self._find(patient)) is None:
            return False
        watched, case = found
        changed = forget and case.health.condition is not Condition.UNKNOWN
        if forget and case.checks:
            watched.cases[patient.address] = case = _Case(Health(), wall)
        self._look_at(patient, case, now + watched.check.interval * self._second)
        return changed

    def is_news(self, patient: Patient, now: float) -> bool:
        """Whether its median is to be told anew."""
        found = self._find(patient)
        if found is None or not found[1].times or now < found[1].told_at + MEDIAN_PAUSE_SECONDS:
            return False
        case, current = found[1], median(found[1].times)
        case.told_at, told = now, case.told_median
        if told is not None and told / MEDIAN_SHIFT <= current <= told * MEDIAN_SHIFT:
            return False
        case.told_median = current
        return True

    def is_watched(self, service: str) -> bool:
        return service in self._watched

    def choice(self, service: str, able: Container[Address]) -> frozenset[Address]:
        """Of the backends that are `able` to take new sessions, those that do."""
        watched = self._watched[service]
        return preferred({address: case.health.condition for address, case in watched.cases.items() if address in able})

    def health(self, service: str, able: Container[Address]) -> ServiceHealth | None:
        watched = self._watched.get(service)
        if watched is None:
            return None
        takers = self.choice(service, able)
        shown = (_shown(watched.cases[each.address], each) for each in watched.backends)
        return ServiceHealth(service, tuple(replace(each, takes_sessions=each.address in takers) for each in shown))

    def figures(self) -> HealthFigures:
        conditions = Counter(
            case.health.condition for watched in self._watched.values() for case in watched.cases.values()
        )
        return HealthFigures(Counter(self._outcomes), conditions)

    def _find(self, patient: Patient) -> tuple[_Watched, _Case] | None:
        watched = self._watched.get(patient.service)
        case = watched.cases.get(patient.address) if watched else None
        return (watched, case) if watched and case else None

    def _look_at(self, patient: Patient, case: _Case, when: float) -> None:
        case.next_look = when
        heapq.heappush(self._queue, (when, patient))


def _new(backend: Backend, taking: Container[Address], wall: int) -> _Case:
    return _Case(Health(Condition.WELL if backend.address in taking else Condition.UNKNOWN), wall)


def _shown(case: _Case, backend: Backend) -> BackendHealth:
    return BackendHealth(
        address=backend.address,
        condition=case.health.condition,
        since=case.since,
        draining=backend.draining,
        failure=case.failure,
        error=case.error,
        failed_at=case.failed_at,
        median=median(case.times) if case.times else None,
        checks=case.checks,
    )
