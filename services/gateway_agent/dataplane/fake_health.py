"""Health checks of the fake data plane: a test says what backends answer, and when they are asked."""

from collections.abc import Callable
from random import Random

from services.gateway_agent.backend_health import Answer, Failure, HealthFigures, ServiceHealth, why_none_is_well
from services.gateway_agent.dataplane.fake_kernel import FakeKernel
from services.gateway_agent.dataplane.health_schedule import Patient, Schedule
from services.gateway_agent.table import Address, Service


class FakeHealth:
    """The agent's knowledge; what follows from it is in the kernel, and outlives the agent."""

    def __init__(self, kernel: FakeKernel, clock: Callable[[], float], wall_clock: Callable[[], int]) -> None:
        self._kernel, self._clock, self._wall_clock = kernel, clock, wall_clock
        self._told: dict[str, object] = {}
        self._schedule = Schedule(Random(0))  # noqa: S311 - a test's, and the same each time

    def adopt(self) -> None:
        for service in self._kernel.entries.services():
            taking = self._able(service) - self._kernel.left_out.get(service.id, frozenset())
            self._schedule.watch(service, self._clock(), self._wall_clock(), taking=taking, calm=True)

    def watch(self, service: Service) -> None:
        self._schedule.watch(service, self._clock(), self._wall_clock())

    def check(self) -> None:
        """Asks every backend once that is asked at all."""
        for service in self._kernel.entries.services():
            for backend in service.backends if service.health_check else ():
                self._ask(service, Patient(service.id, backend.address))

    def choose(self) -> frozenset[str]:
        """Has new sessions go to the backends that are to take them; gives the services whose health is another."""
        for service in self._kernel.entries.services():
            able = self._able(service)
            watched = self._schedule.is_watched(service.id)
            self._kernel.left_out[service.id] = (
                able - self._schedule.choice(service.id, able) if watched else frozenset()
            )
        for gone in self._kernel.left_out.keys() - {service.id for service in self._kernel.entries.services()}:
            self._schedule.forget(gone)
            del self._kernel.left_out[gone]
        before, self._told = (
            self._told,
            {service.id: self._facts(service.id) for service in self._kernel.entries.services()},
        )
        return frozenset(each for each in before.keys() | self._told.keys() if before.get(each) != self._told.get(each))

    def _facts(self, service: str) -> object:
        """What is told of its backends, but for figures."""
        health = self.of(service)
        return health and [
            (each.address, each.condition, each.takes_sessions, each.draining) for each in health.backends
        ]

    def of(self, service: str) -> ServiceHealth | None:
        known = self._kernel.entries.service(service)
        return self._schedule.health(service, self._able(known)) if known else None

    def figures(self) -> HealthFigures:
        return self._schedule.figures()

    def why_none_is_well(self, service: Service) -> str | None:
        health = self.of(service.id)
        return why_none_is_well(health) if health else None

    def _ask(self, service: Service, patient: Patient) -> None:
        now, wall = self._clock(), self._wall_clock()
        if self._kernel.entries.any_user(service.key) is None:
            self._schedule.put_off(patient, now, wall, forget=True)
        if self._kernel.entries.any_user(service.key) is None or service.vpc in self._kernel.lost_devices:
            return
        place = (service.vpc, patient.address)
        silent = place in self._kernel.silent_hosts
        failure = Failure.UNRESOLVED if silent else self._kernel.unhealthy.get(place)
        self._schedule.note(patient, Answer(failure, seconds=0.001), now, now, wall)

    def _able(self, service: Service) -> frozenset[Address]:
        return frozenset(each.address for each in self._kernel.able(service))
