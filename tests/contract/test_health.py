"""Health checks of backends, asked of the fake and of the kernel alike."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from services.gateway_agent.backend_health import Condition, Failure
from services.gateway_agent.dataplane import health_prober
from services.gateway_agent.dataplane.maps import Counter
from services.gateway_agent.dataplane.port import DataplaneError
from services.gateway_agent.table import HealthCheck, HealthProtocol, Service
from tests.support import tables
from tests.support.health import HTTP, FakeWard, Fares, KernelWard, Ward
from tests.support.worlds import ENDPOINT, WEB, Conversation, Vpc, fake_world, kernel_world

CLIENT, ONE, OTHER, THIRD = "10.0.0.10", "10.0.0.20", "10.0.0.21", "10.0.0.22"
CLIENT_V6, ONE_V6, OTHER_V6, ENDPOINT_V6 = "fd00::10", "fd00::20", "fd00::21", "fd00::100"
WELL, UNKNOWN, UNHEALTHY = Condition.WELL, Condition.UNKNOWN, Condition.UNHEALTHY
TCP = replace(HTTP, protocol=HealthProtocol.TCP)
FAILURES = [each for each in Fares if each.failure]
SECOND = 0.15


@pytest.fixture(params=["fake", pytest.param("netns", marks=pytest.mark.root)])
async def ward(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Ward]:
    if request.param == "fake":
        async with fake_world(None) as fake:
            yield FakeWard(fake)
        return
    monkeypatch.setattr(health_prober, "SECOND", SECOND)
    async with kernel_world(tmp_path, kinds=[request.param]) as kernel:
        made = KernelWard(kernel)
        yield made
        await made.stop()


async def payments_of(ward: Ward, *hosts: str) -> Vpc:
    """A VPC whose hosts serve, and are well."""
    payments = await ward.world.vpc("payments", *hosts)
    for host in hosts:
        await ward.world.serve(payments, host, 8080, name=host)
        await ward.fare(payments, host, Fares.WELL)
    return payments


async def published(ward: Ward, payments: Vpc, *backends: str, check: HealthCheck = HTTP) -> tuple[Vpc, Service]:
    """A service that asks for health checks, with an endpoint in another VPC; each of its backends was asked."""
    shop = await ward.world.vpc("shop", CLIENT)
    service = replace(await ward.world.publish(payments, *backends), health_check=check)
    await ward.world.put(service)
    ward.endpoints[service.id] = await ward.world.lead(shop, service)
    await ward.checks(service)
    return shop, service


async def names(ward: Ward, shop: Vpc, connections: int = 16) -> set[str]:
    """Who answers new sessions; one backend of two is missed by so many once in 65,536 times."""
    found = set()
    for _ in range(connections):
        conversation = await ward.world.reaches(shop, CLIENT, ENDPOINT, 80)
        found.add(conversation.backend)
        await conversation.close()
    return found


async def session_with(ward: Ward, shop: Vpc, backend: str) -> Conversation:
    while (conversation := await ward.world.reaches(shop, CLIENT, ENDPOINT, 80)).backend != backend:
        await conversation.close()
    return conversation


async def test_an_unhealthy_backend_has_no_new_sessions_keeps_its_own_and_comes_back(ward: Ward) -> None:
    payments = await payments_of(ward, ONE, OTHER)
    shop, service = await published(ward, payments, ONE, OTHER)
    assert ward.conditions(service) == {ONE: WELL, OTHER: WELL}
    assert await names(ward, shop) == {ONE, OTHER}
    session = await session_with(ward, shop, ONE)
    await ward.fare(payments, ONE, Fares.STATUS)
    await ward.becomes(service, h20=UNHEALTHY)
    assert await names(ward, shop) == {OTHER}
    assert await session.echoes()
    (one, other) = ward.health(service).backends
    assert (one.failure, one.takes_sessions, other.takes_sessions) == (Failure.STATUS, False, True)
    assert ward.world.dataplane.difficulties() == {}
    await ward.fare(payments, ONE, Fares.WELL)
    await ward.becomes(service, h20=WELL)
    assert await names(ward, shop) == {ONE, OTHER}
    assert await session.echoes()
    assert (await ward.world.dataplane.counters())[Counter.REFUSED_NO_BACKEND] == 0


@pytest.mark.parametrize("how", FAILURES, ids=lambda how: str(how.name.lower()))
async def test_every_failure_is_told_by_its_name(ward: Ward, how: Fares) -> None:
    payments = await payments_of(ward, ONE, OTHER)
    await ward.fare(payments, ONE, how)
    _, service = await published(ward, payments, ONE, OTHER)
    await ward.becomes(service, h20=UNHEALTHY, h21=WELL)
    assert [each.failure for each in ward.health(service).backends] == [how.failure, None]
    assert ward.world.dataplane.health_figures().backends == {WELL: 1, UNHEALTHY: 1}


async def test_an_answer_in_two_parts_or_many_segments_is_heard_to_its_end(ward: Ward) -> None:
    payments = await payments_of(ward, ONE, OTHER)
    await ward.fare(payments, ONE, Fares.SLOW)
    await ward.fare(payments, OTHER, Fares.MUCH)
    _, service = await published(ward, payments, ONE, OTHER)
    await ward.checks(service, 2)
    assert [(each.condition, each.failure) for each in ward.health(service).backends] == [(WELL, None)] * 2


async def test_a_port_that_takes_connections_and_says_nothing_is_well_where_only_a_connection_is_asked_for(
    ward: Ward,
) -> None:
    payments = await payments_of(ward, ONE, OTHER)
    if isinstance(ward, KernelWard):
        await ward.fare(payments, ONE, Fares.MUTE)
    await ward.fare(payments, OTHER, Fares.REFUSED)
    _, service = await published(ward, payments, ONE, OTHER, check=TCP)
    await ward.becomes(service, h20=WELL, h21=UNHEALTHY)
    assert [each.failure for each in ward.health(service).backends] == [None, Failure.REFUSED]


async def test_failures_fewer_than_the_threshold_change_nothing(ward: Ward) -> None:
    payments = await payments_of(ward, ONE, OTHER)
    shop, service = await published(ward, payments, ONE, OTHER, check=replace(HTTP, unhealthy_after=3))
    since = [each.since for each in ward.health(service).backends]
    for _ in range(2):
        await ward.fare(payments, ONE, Fares.REFUSED)
        while ward.health(service).backends[0].failure is None:
            await ward.checks(service)
        await ward.fare(payments, ONE, Fares.WELL)
        await ward.checks(service, 2)
    assert [each.since for each in ward.health(service).backends] == since
    assert await names(ward, shop) == {ONE, OTHER}


async def test_new_sessions_go_on_when_no_backend_is_well_and_it_is_said_why(ward: Ward) -> None:
    payments = await payments_of(ward, ONE, OTHER)
    shop, service = await published(ward, payments, ONE, OTHER)
    await ward.fare(payments, ONE, Fares.REFUSED)
    await ward.fare(payments, OTHER, Fares.MUTE)
    await ward.becomes(service, h20=UNHEALTHY, h21=UNHEALTHY)
    assert await names(ward, shop) == {ONE, OTHER}
    reason = ward.world.dataplane.difficulties()[service.key]
    assert reason == (
        "none of the backends is well: 10.0.0.20: connection refused at port 9000; "
        "10.0.0.21: no answer from port 9000 within 2 s"
    )
    assert ward.health(service).none_is_well
    await ward.fare(payments, OTHER, Fares.WELL)
    await ward.becomes(service, h21=WELL)
    assert await names(ward, shop) == {OTHER}
    assert ward.world.dataplane.difficulties() == {}


async def test_one_backend_that_is_not_well_is_a_difficulty_with_its_reason(ward: Ward) -> None:
    payments = await payments_of(ward, ONE)
    await ward.fare(payments, ONE, Fares.REFUSED)
    shop, service = await published(ward, payments, ONE)
    await ward.becomes(service, h20=UNHEALTHY)
    reason = ward.world.dataplane.difficulties()[service.key]
    assert reason == "backend 10.0.0.20: connection refused at port 9000"
    assert await names(ward, shop, 1) == {ONE}


async def test_a_host_that_stops_answering_arp_has_to_be_well_again_before_it_takes_sessions(ward: Ward) -> None:
    payments = await payments_of(ward, ONE, OTHER)
    shop, service = await published(ward, payments, ONE, OTHER)
    await ward.fare(payments, OTHER, Fares.REFUSED)
    await ward.becomes(service, h21=UNHEALTHY)
    ward.world.remove_host(payments, OTHER)
    await ward.checks(service, 2)
    ward.world.add_hosts(payments, OTHER)
    assert ward.conditions(service) == {ONE: WELL, OTHER: UNHEALTHY}
    assert await names(ward, shop) == {ONE}
    await ward.fare(payments, OTHER, Fares.WELL)
    await ward.becomes(service, h21=WELL)
    assert await names(ward, shop) == {ONE, OTHER}


async def test_a_new_backend_takes_sessions_after_its_first_success_while_another_is_well(ward: Ward) -> None:
    payments = await payments_of(ward, ONE, OTHER)
    shop, service = await published(ward, payments, ONE)
    await ward.fare(payments, OTHER, Fares.MUTE)
    more = replace(service, backends=tables.backends(ONE, OTHER))
    await ward.world.put(more)
    assert ward.conditions(more)[OTHER] is not WELL
    assert await names(ward, shop) == {ONE}
    await ward.fare(payments, OTHER, Fares.WELL)
    await ward.becomes(more, h21=WELL)
    assert await names(ward, shop) == {ONE, OTHER}


async def test_a_draining_backend_is_asked_too_and_the_others_take_all_new_sessions(ward: Ward) -> None:
    payments = await payments_of(ward, ONE, OTHER)
    shop, service = await published(ward, payments, ONE, OTHER)
    one, other = service.backends
    draining = replace(service, backends=(one, replace(other, draining=True)))
    await ward.world.put(draining)
    await ward.checks(draining, 2)
    assert [(each.condition, each.takes_sessions, each.draining) for each in ward.health(draining).backends] == [
        (WELL, True, False), (WELL, False, True),
    ]  # fmt: skip
    await ward.fare(payments, ONE, Fares.REFUSED)
    await ward.becomes(draining, h20=UNHEALTHY)
    assert await names(ward, shop) == {ONE}, "the one that is well must not take any"


async def test_nobody_is_asked_for_a_service_without_endpoints_and_what_was_known_is_forgotten(ward: Ward) -> None:
    payments = await payments_of(ward, ONE, OTHER)
    shop, service = await published(ward, payments, ONE, OTHER)
    endpoint = ward.endpoints[service.id]
    await ward.fare(payments, ONE, Fares.REFUSED)
    await ward.becomes(service, h20=UNHEALTHY)
    await ward.world.remove(endpoint)
    while set(ward.conditions(service).values()) != {UNKNOWN}:
        await ward.world.dataplane.wait_for_news() if isinstance(ward, KernelWard) else await ward.checks(service)
    assert [each.checks for each in ward.health(service).backends] == [0, 0]
    await ward.world.put(endpoint)
    await ward.checks(service)
    await ward.becomes(service, h20=UNHEALTHY, h21=WELL)
    assert await names(ward, shop) == {OTHER}


async def test_an_agent_that_starts_again_lets_no_unhealthy_backend_in(ward: Ward) -> None:
    payments = await payments_of(ward, ONE, OTHER)
    shop, service = await published(ward, payments, ONE, OTHER)
    await ward.fare(payments, ONE, Fares.MUTE)
    await ward.becomes(service, h20=UNHEALTHY)
    await ward.world.restart()
    assert ward.conditions(service)[ONE] is not WELL
    assert await names(ward, shop) == {OTHER}
    await ward.becomes(service, h20=UNHEALTHY, h21=WELL)
    assert await names(ward, shop) == {OTHER}


async def test_the_table_is_the_same_whatever_backends_are_like(ward: Ward) -> None:
    payments = await payments_of(ward, ONE, OTHER)
    shop, service = await published(ward, payments, ONE, OTHER)
    before = await ward.world.dataplane.read()
    assert before.entries[service.key] == service
    await ward.fare(payments, ONE, Fares.REFUSED)
    await ward.becomes(service, h20=UNHEALTHY)
    for _ in range(2):
        assert await ward.world.dataplane.read() == before
    assert await names(ward, shop) == {OTHER}
    await ward.fare(payments, ONE, Fares.WELL)
    await ward.becomes(service, h20=WELL)


async def test_answers_to_checks_are_left_alone_where_expired_sessions_are_reset(ward: Ward) -> None:
    payments = await payments_of(ward, ONE, OTHER)
    await ward.fare(payments, OTHER, Fares.MUCH)
    _, service = await published(ward, payments, ONE, OTHER)
    resetting = replace(service, reset_expired=True)
    await ward.world.put(resetting)
    await ward.checks(resetting, 2)
    assert [(each.condition, each.failure) for each in ward.health(resetting).backends] == [(WELL, None)] * 2


async def test_a_check_that_is_taken_back_lets_all_backends_in_again(ward: Ward) -> None:
    payments = await payments_of(ward, ONE, OTHER)
    shop, service = await published(ward, payments, ONE, OTHER)
    await ward.fare(payments, ONE, Fares.REFUSED)
    await ward.becomes(service, h20=UNHEALTHY)
    await ward.world.put(replace(service, health_check=None))
    assert ward.world.dataplane.health(service.id) is None
    assert await names(ward, shop) == {ONE, OTHER}


async def test_the_same_machine_is_well_for_one_service_and_unhealthy_for_another(ward: Ward) -> None:
    payments = await payments_of(ward, ONE, OTHER)
    shop, service = await published(ward, payments, ONE, OTHER)
    other = replace(await ward.world.publish(payments, ONE, OTHER), health_check=replace(TCP, port=9001))
    await ward.world.put(other)
    await ward.world.lead(shop, other, "10.0.0.101", "198.19.128.8")
    if isinstance(ward, KernelWard):
        await ward.becomes(other, h20=UNHEALTHY, h21=UNHEALTHY)
    assert ward.conditions(service) == {ONE: WELL, OTHER: WELL}
    assert await names(ward, shop) == {ONE, OTHER}


async def test_a_health_check_that_cannot_be_made_is_refused(ward: Ward) -> None:
    payments = await payments_of(ward, ONE)
    service = Service("5e2f0d5e-5f0e-4c39-8f8e-0d6f3f3d9b11", payments.id, (WEB,), tables.backends(ONE))
    for check, why in (
        (replace(HTTP, port=0), "port 0"),
        (replace(HTTP, path="/a b"), "path"),
        (replace(HTTP, timeout=0), "above 0"),
    ):
        with pytest.raises(DataplaneError, match=why):
            await ward.world.put(replace(service, health_check=check))


async def test_backends_of_ipv6_are_asked_as_those_of_ipv4_are(ward: Ward) -> None:
    if isinstance(ward, KernelWard):
        ward.world.ipv6 = True
    shop, payments = await ward.world.vpc("shop", CLIENT_V6), await payments_of(ward, ONE_V6, OTHER_V6)
    service = replace(await ward.world.publish(payments, ONE_V6, OTHER_V6), health_check=HTTP)
    await ward.world.put(service)
    await ward.world.lead(shop, service, ENDPOINT_V6)
    await ward.fare(payments, OTHER_V6, Fares.REFUSED)
    await ward.become(service, {ONE_V6: WELL, OTHER_V6: UNHEALTHY})
    found = {(await ward.world.reaches(shop, CLIENT_V6, ENDPOINT_V6, 80)).backend for _ in range(16)}
    assert found == {ONE_V6}
    assert [each.failure for each in ward.health(service).backends] == [None, Failure.REFUSED]
    if isinstance(ward, KernelWard):
        port = ward.ports[payments.id, ONE_V6]
        assert set(port.peers) == {"fd73:6964:6567:6174::c613:8007"}
        assert port.heard[0].split(b"\r\n")[1].lower() == b"host: [fd00::20]:9000"
