"""What a prober does about backends that do not answer ARP, and about a kernel that refuses."""

import asyncio
from collections.abc import Callable
from ipaddress import IPv4Address

import pytest

from services.gateway_agent.backend_health import Condition
from services.gateway_agent.dataplane import health_prober
from services.gateway_agent.dataplane.health_prober import MOST_ALTERED_AT_ONCE, HealthProber, Obstacle
from services.gateway_agent.dataplane.health_schedule import Patient
from services.gateway_agent.table import Backend, HealthCheck, HealthProtocol, Service

BACKEND = IPv4Address("10.0.0.1")
CHECK = HealthCheck(HealthProtocol.TCP, 80, unhealthy_after=1)
PATIENCE = 10.0


@pytest.fixture(autouse=True)
def short_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_prober, "SECOND", 0.01)


def service(id_: str) -> Service:
    return Service(id_, "vpc", (), (Backend(BACKEND),), health_check=CHECK)


class Notes:
    """What a prober has said; the first words find nobody to hear them if they are to be lost."""

    def __init__(self, lost: int = 0) -> None:
        self.altered: list[frozenset[str]] = []
        self.lost = lost

    def alter(self, services: frozenset[str]) -> None:
        self.altered.append(services)
        if len(self.altered) <= self.lost:
            raise OSError("the map is full")


async def eventually(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not is_so():
            await asyncio.sleep(0.001)


def silent(_patient: Patient) -> Obstacle:
    return Obstacle.NO_MAC


async def test_many_services_are_altered_a_few_at_a_time() -> None:
    notes, names = Notes(), [f"web-{number:02}" for number in range(20)]
    prober = HealthProber(silent, notes.alter, notes.alter)
    for name in names:
        prober.watch(service(name))
    await eventually(lambda: frozenset().union(*notes.altered) == set(names))
    prober.close()
    assert max(len(each) for each in notes.altered) <= MOST_ALTERED_AT_ONCE
    assert len(notes.altered) < len(names), "together what is heard together"


async def test_a_service_that_cannot_be_written_is_tried_again() -> None:
    notes = Notes(lost=2)
    prober = HealthProber(silent, notes.alter, notes.alter)
    prober.watch(service("web"))
    await eventually(lambda: len(notes.altered) == 3)
    prober.close()
    assert notes.altered == [frozenset({"web"})] * 3


async def test_a_way_that_cannot_be_read_puts_a_check_off_and_says_nothing_of_the_backend() -> None:
    asked: list[Patient] = []

    def unreadable(patient: Patient) -> Obstacle:
        asked.append(patient)
        if len(asked) < 3:
            raise OSError("no such map")
        return Obstacle.NO_DEVICE

    notes = Notes()
    prober = HealthProber(unreadable, notes.alter, notes.alter)
    prober.watch(service("web"))
    await eventually(lambda: len(asked) == 5)
    health = prober.health("web", frozenset({BACKEND}))
    prober.close()
    assert health is not None
    assert [(each.condition, each.checks) for each in health.backends] == [(Condition.UNKNOWN, 0)]
    assert notes.altered == []


async def test_nothing_is_asked_or_said_after_the_end() -> None:
    asked: list[Patient] = []

    def counted(patient: Patient) -> Obstacle:
        asked.append(patient)
        return Obstacle.NO_MAC

    notes = Notes()
    prober = HealthProber(counted, notes.alter, notes.alter)
    prober.watch(service("web"))
    await eventually(lambda: len(asked) > 0)
    prober.close()
    number, told = len(asked), len(notes.altered)
    prober.watch(service("other"))
    await asyncio.sleep(0.1)
    assert (len(asked), len(notes.altered)) == (number, told)
