"""Health checks on real wires: what backends hear and see of them, and what they cost."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from uuid import uuid4

import pytest

from services.gateway_agent.backend_health import Condition, Failure
from services.gateway_agent.dataplane import health_prober
from services.gateway_agent.dataplane.maps import Counter
from services.gateway_agent.table import Backend, HealthCheck, HealthProtocol, Service
from tests.support import tables
from tests.support.health import HTTP, PORT, Fares, KernelWard
from tests.support.sites import IN_EVERY_WAY
from tests.support.wire import arp_request
from tests.support.worlds import PATIENCE, SOURCE, WEB, KernelWorld, Vpc

pytestmark = pytest.mark.root

CLIENT, ONE, OTHER = "10.0.0.10", "10.0.0.20", "10.0.0.21"
TCP = replace(HTTP, protocol=HealthProtocol.TCP)
SECOND = 0.2
IPV4, TCP_NUMBER, SYN = b"\x08\x00", 6, 0x02
WELL, UNHEALTHY = Condition.WELL, Condition.UNHEALTHY


@pytest.fixture(autouse=True)
def short_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_prober, "SECOND", SECOND)


@pytest.fixture
async def ward(world: KernelWorld) -> AsyncIterator[KernelWard]:
    made = KernelWard(world)
    yield made
    await made.stop()


async def published(ward: KernelWard, check: HealthCheck, *backends: str) -> tuple[Vpc, Vpc, Service]:
    """A consumer's VPC, a provider's with well hosts, and a service that an endpoint leads to; each was asked."""
    shop, payments = await ward.world.vpc("shop", CLIENT), await ward.world.vpc("payments", *backends)
    for backend in backends:
        await ward.fare(payments, backend, Fares.WELL)
    service = replace(await ward.world.publish(payments, *backends), health_check=check)
    await ward.world.put(service)
    await ward.world.lead(shop, service)
    await ward.checks(service, 2)
    return shop, payments, service


def connections(ward: KernelWard, payments: Vpc, backend: str) -> set[str]:
    """The states of connections of the health port, as numbers of the kernel's; listening ones left out."""
    table = ward.world.namespace(payments, backend).run(Path("/proc/thread-self/net/tcp").read_text)
    rows = [line.split() for line in table.splitlines()[1:]]
    return {row[3] for row in rows if row[1].endswith(f":{PORT:04X}") and row[3] != "0A"}


async def nothing_is_left(ward: KernelWard, payments: Vpc, backend: str) -> None:
    """As soon as the check of the moment has ended."""
    async with asyncio.timeout(PATIENCE):
        while connections(ward, payments, backend):
            await asyncio.sleep(0.005)


@IN_EVERY_WAY
async def test_backends_are_asked_as_the_endpoint_and_hear_nothing_of_any_client(ward: KernelWard) -> None:
    _, payments, service = await published(ward, HTTP, ONE, OTHER)
    await ward.fare(payments, OTHER, Fares.REFUSED)
    await ward.becomes(service, h20=WELL, h21=UNHEALTHY)
    port = ward.ports[payments.id, ONE]
    assert set(port.peers) == {SOURCE}
    assert {head.lower() for head in port.heard} == {
        b"get /healthz?deep=1 http/1.1\r\nhost: 10.0.0.20:9000\r\nuser-agent: sidegate\r\nconnection: close\r\n\r\n"
    }
    await nothing_is_left(ward, payments, ONE)
    counters = await ward.world.dataplane.counters()
    assert (counters[Counter.SESSION_NEW], counters[Counter.FORWARDED]) == (0, 0)


async def test_a_connection_that_is_only_opened_is_not_left_half_open_at_the_backend(ward: KernelWard) -> None:
    _, payments, service = await published(ward, TCP, ONE)
    await ward.checks(service, 3)
    await nothing_is_left(ward, payments, ONE)
    assert ward.ports[payments.id, ONE].heard == []


async def test_a_backend_that_accepts_and_says_nothing_is_hung_up_on(ward: KernelWard) -> None:
    _, payments, service = await published(ward, HTTP, ONE)
    await ward.fare(payments, ONE, Fares.MUTE)
    await ward.becomes(service, h20=UNHEALTHY)
    await ward.fare(payments, ONE, Fares.WELL)
    await ward.becomes(service, h20=WELL)
    await nothing_is_left(ward, payments, ONE)


async def test_an_opening_that_is_lost_is_said_again(ward: KernelWard) -> None:
    _, payments, service = await published(ward, replace(HTTP, timeout=15, unhealthy_after=1), ONE)
    namespace, wire = ward.world.namespace(payments), ward.world.wire(payments)
    namespace.ip("route", "add", "blackhole", f"{SOURCE}/32")
    while (frame := await wire.receive())[12:14] != IPV4 or frame[23] != TCP_NUMBER or frame[47] != SYN:
        pass  # until an answer is in vain
    namespace.ip("route", "delete", "blackhole", f"{SOURCE}/32")
    await ward.checks(service, 2)
    (backend,) = ward.health(service).backends
    assert (backend.condition, backend.failure) == (WELL, None)


async def test_a_backend_that_a_router_calls_unreachable_is_not_waited_for(ward: KernelWard) -> None:
    shop, payments = await ward.world.vpc("shop", CLIENT), await ward.world.vpc("payments", ONE)
    namespace, wire = ward.world.namespace(payments), ward.world.wire(payments)
    namespace.set_sysctl("net.ipv4.ip_forward", "1")
    namespace.ip("route", "add", "unreachable", f"{OTHER}/32")
    check = replace(TCP, timeout=60, unhealthy_after=1)
    service = Service(str(uuid4()), payments.id, (WEB,), tables.backends(OTHER), health_check=check)
    await ward.world.put(service)
    await wire.send(arp_request(namespace.mac(), OTHER, OTHER))
    async with asyncio.timeout(PATIENCE):
        while service.key in ward.world.dataplane.difficulties():
            await ward.world.dataplane.wait_for_news()
    await ward.world.lead(shop, service)
    await ward.becomes(service, h21=UNHEALTHY)
    assert ward.health(service).backends[0].failure is Failure.UNREACHABLE


async def test_a_gateway_that_loses_its_device_thinks_no_worse_of_backends(ward: KernelWard) -> None:
    _, payments, service = await published(ward, HTTP, ONE, OTHER)
    await ward.fare(payments, OTHER, Fares.REFUSED)
    await ward.becomes(service, h20=WELL, h21=UNHEALTHY)
    await ward.stop()
    ward.world.lose(payments)
    async with asyncio.timeout(PATIENCE):
        while payments.attachment.key not in ward.world.dataplane.difficulties():
            await ward.world.dataplane.wait_for_news()
    checks = [each.checks for each in ward.health(service).backends]
    await asyncio.sleep(3 * SECOND)
    assert [each.checks for each in ward.health(service).backends] == checks
    assert ward.conditions(service) == {ONE: WELL, OTHER: UNHEALTHY}


async def test_a_thousand_backends_are_asked_as_often_as_they_say_by_one_socket(world: KernelWorld) -> None:
    """Counted, not timed: so many checks in so many intervals, whatever the machine does besides."""
    shop, payments = await world.vpc("shop", CLIENT), await world.vpc("payments", "10.0.0.1")
    world.namespace(payments).ip("route", "add", "local", "10.0.0.128/26", "dev", "lo")
    hosts = tuple(Backend(IPv4Address("10.0.0.128") + number) for number in range(64))
    check = HealthCheck(HealthProtocol.TCP, PORT, interval=10, timeout=10)
    services = [Service(str(uuid4()), payments.id, (WEB,), hosts, health_check=check) for _ in range(16)]
    began = time.monotonic()
    for number, service in enumerate(services):
        await world.put(service)
        await world.lead(shop, service, f"10.0.0.{100 + number}", f"198.19.128.{number + 1}")
    async with asyncio.timeout(30):
        while world.dataplane.health_figures().backends.get(UNHEALTHY, 0) < 1024:
            await asyncio.sleep(0.01)
    intervals = (time.monotonic() - began) / (0.9 * 10 * SECOND)
    checks = world.dataplane.health_figures().checks
    assert checks == {Failure.REFUSED: checks[Failure.REFUSED]}
    assert 2 * 1024 <= checks[Failure.REFUSED] <= (1 + intervals) * 1024
    assert len(world.dataplane._kernel.resolution._prober._ears) == 1
