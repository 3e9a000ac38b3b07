"""Checks of backends on the wire: one timer and, for each device that leads to backends, one packet socket."""

import asyncio
import heapq
import time
from collections.abc import Callable, Container
from dataclasses import dataclass
from enum import Enum
from itertools import count
from random import Random
from typing import NamedTuple

import structlog

from services.gateway_agent.backend_health import Answer, Failure, HealthFigures, ServiceHealth
from services.gateway_agent.dataplane.health_dialogue import Dialogue
from services.gateway_agent.dataplane.health_schedule import Patient, Schedule
from services.gateway_agent.dataplane.listening import LONGEST_ANSWER, Ear, answers_to_checks
from services.gateway_agent.dataplane.tcp_frames import Arrived, Between, Unreachable, read
from services.gateway_agent.table import Address, HealthCheck, Service

SECOND = 1.0
"""How long a second of a health check lasts; tests shorten it."""

PORTS = range(256, 512)
"""Source ports, which no session ever has, nor a test of an endpoint."""

MOST_UNDER_WAY = 4096
MOST_BEGUN_AT_ONCE = 64
MOST_ALTERED_AT_ONCE = 8  # services, each of which takes milliseconds to be written
SHORTEST_PAUSE_SECONDS = 0.001

log = structlog.get_logger(__name__)


class Obstacle(Enum):
    """Why a backend cannot be asked."""

    NOBODY_ASKS = "its service has no endpoint here: nobody uses it, and there is no address to ask from"
    NO_DEVICE = "its VPC cannot be reached: that says nothing of it"
    NO_MAC = "it does not answer ARP"


class Way(NamedTuple):
    """By which device a backend is asked, and as whom."""

    device: str
    between: Between


class _Key(NamedTuple):
    """What tells answers apart: VPCs may use the same addresses."""

    device: str
    source: Address
    port: int


@dataclass(frozen=True, slots=True)
class _UnderWay:
    patient: Patient
    began: float
    dialogue: Dialogue


Find = Callable[[Patient], Way | Obstacle]
Tell = Callable[[frozenset[str]], None]


class HealthProber:
    """`find` says how to ask; `altered` is told, in the next step of the event loop, of services whose choice of
    backends may be another, and `news` of those of which figures have changed much.
    """

    def __init__(self, find: Find, altered: Tell, news: Tell) -> None:
        self._find, self._altered_to, self._news_to = find, altered, news
        self._loop = asyncio.get_running_loop()
        self._schedule = Schedule(Random(), SECOND)  # noqa: S311 - it spreads load, and guards nothing
        self._second = SECOND
        self._ears: dict[str, Ear] = {}
        self._under_way: dict[_Key, _UnderWay] = {}
        self._wakes: list[tuple[float, int, _Key]] = []
        self._numbers, self._ports = count(), count()
        self._timer: asyncio.TimerHandle | None = None
        self._altered: set[str] = set()
        self._closed = False

    def watch(self, service: Service, taking: Container[Address] = (), *, calm: bool = False) -> None:
        """From now on its backends are checked as it says; see Schedule.watch."""
        self._schedule.watch(service, self._loop.time(), time.time_ns(), taking=taking, calm=calm)
        self._arm()

    def forget(self, service: str) -> None:
        self._schedule.forget(service)

    def ask_now(self, service: str) -> None:
        """It has an endpoint now."""
        self._schedule.ask_now(service, self._loop.time())
        self._arm()

    def choice(self, service: Service, able: frozenset[Address]) -> frozenset[Address]:
        """Of the backends that are `able` to take new sessions, those that do."""
        return self._schedule.choice(service.id, able) if self._schedule.is_watched(service.id) else able

    def health(self, service: str, able: frozenset[Address]) -> ServiceHealth | None:
        return self._schedule.health(service, able)

    def figures(self) -> HealthFigures:
        return self._schedule.figures()

    def device_gone(self, device: str) -> None:
        """Checks under way there come to nothing, which says nothing of whom they asked."""
        if (ear := self._ears.pop(device, None)) is not None:
            ear.close()
        for key in [key for key in self._under_way if key.device == device]:
            self._put_off(self._under_way.pop(key).patient)

    def close(self) -> None:
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        for ear in self._ears.values():
            ear.close()
        self._ears.clear()

    # ---- time

    def _arm(self) -> None:
        """Looks again when something is to be begun, repeated or given up."""
        begins = self._schedule.next_look if len(self._under_way) < MOST_UNDER_WAY else None
        moments = [each for each in (begins, self._wakes[0][0] if self._wakes else None) if each is not None]
        if self._timer is not None:
            self._timer.cancel()
        if moments and not self._closed:
            pause = max(min(moments) - self._loop.time(), SHORTEST_PAUSE_SECONDS)
            self._timer = self._loop.call_later(pause, self._look)

    def _look(self) -> None:
        try:
            self._do_what_is_due(self._loop.time())
        finally:
            self._arm()

    def _do_what_is_due(self, now: float) -> None:
        for _ in range(MOST_BEGUN_AT_ONCE):
            due = self._schedule.due(now) if len(self._under_way) < MOST_UNDER_WAY else None
            if due is None:
                break
            self._begin(*due, now)
        while self._wakes and self._wakes[0][0] <= now:
            _, number, key = heapq.heappop(self._wakes)
            if (found := self._under_way.get(key)) is not None:
                self._say(key.device, found.dialogue.look(now))
                self._go_on(key, found, now, number)

    def _begin(self, patient: Patient, check: HealthCheck, now: float) -> None:
        match self._way_to(patient):
            case Obstacle.NO_MAC:
                self._note(patient, Answer(Failure.UNRESOLVED), now, now)
            case Obstacle() as obstacle:
                self._put_off(patient, forget=obstacle is Obstacle.NOBODY_ASKS)
            case Way() as way if (key := self._free_key(way)) is not None and self._hears(way.device):
                dialogue = Dialogue(check, way.between, key.port, now, check.timeout * self._second)
                found = self._under_way[key] = _UnderWay(patient, now, dialogue)
                self._say(way.device, dialogue.open())
                self._go_on(key, found, now, next(self._numbers))
            case Way():
                self._put_off(patient)

    def _way_to(self, patient: Patient) -> Way | Obstacle:
        try:
            return self._find(patient)
        except OSError:  # a map of the kernel's that cannot be read
            return Obstacle.NO_DEVICE

    def _free_key(self, way: Way) -> _Key | None:
        """In turns, so that a late answer to an earlier check is none to the next."""
        for _ in PORTS:
            key = _Key(way.device, way.between.ours.address, PORTS[next(self._ports) % len(PORTS)])
            if key not in self._under_way:
                return key
        return None

    def _hears(self, device: str) -> bool:
        """Whether there is an ear at the device, which may be gone already."""
        if device not in self._ears:
            try:
                self._ears[device] = Ear(
                    device, answers_to_checks(PORTS), lambda frame: self._heard(device, frame), LONGEST_ANSWER
                )
            except OSError:
                return False
        return True

    # ---- what is said and heard

    def _say(self, device: str, frames: list[bytes]) -> None:
        if (ear := self._ears.get(device)) is not None:
            for frame in frames:
                ear.say(frame)

    def _heard(self, device: str, frame: bytes) -> None:
        now, told = self._loop.time(), read(frame)
        match told:
            case Arrived(_, destination, segment):
                key = _Key(device, destination, segment.destination)
            case Unreachable(source, source_port):
                key = _Key(device, source, source_port)
            case None:
                return
        if (found := self._under_way.get(key)) is None:
            return
        dialogue = found.dialogue
        self._say(device, dialogue.hear(told, now) if isinstance(told, Arrived) else dialogue.refused(told, now))
        if dialogue.answer is not None:
            self._over(key, found, now)
            self._arm()

    def _go_on(self, key: _Key, found: _UnderWay, now: float, number: int) -> None:
        if found.dialogue.answer is not None:
            self._over(key, found, now)
        else:
            heapq.heappush(self._wakes, (found.dialogue.next_look, number, key))

    def _over(self, key: _Key, found: _UnderWay, now: float) -> None:
        del self._under_way[key]
        if found.dialogue.answer is not None:
            self._note(found.patient, found.dialogue.answer, found.began, now)

    # ---- what follows

    def _note(self, patient: Patient, answer: Answer, began: float, now: float) -> None:
        if self._schedule.note(patient, answer, began, now, time.time_ns()):
            self._alter(patient.service)
        elif self._schedule.is_news(patient, now):
            self._news_to(frozenset({patient.service}))

    def _put_off(self, patient: Patient, *, forget: bool = False) -> None:
        if self._schedule.put_off(patient, self._loop.time(), time.time_ns(), forget=forget):
            self._alter(patient.service)

    def _alter(self, service: str) -> None:
        """Together with what else is heard in this step: a service is not rewritten for each of its backends."""
        if not self._altered:
            self._loop.call_soon(self._tell)
        self._altered.add(service)

    def _tell(self) -> None:
        if self._closed:
            return
        altered = frozenset(sorted(self._altered)[:MOST_ALTERED_AT_ONCE])
        self._altered -= altered
        try:
            self._altered_to(altered)
        except OSError as error:  # a map of the kernel's that cannot be written
            log.error("cannot turn services to other backends, trying again", services=len(altered), why=str(error))
            self._altered |= altered
            self._loop.call_later(self._second, self._tell)
            return
        if self._altered:
            self._loop.call_soon(self._tell)
