"""Whom to check and when, with a clock that the test turns."""

from collections import Counter
from dataclasses import replace
from ipaddress import IPv4Address
from itertools import pairwise
from random import Random

from services.gateway_agent.backend_health import Answer, Condition, Failure
from services.gateway_agent.dataplane.health_schedule import MEDIAN_PAUSE_SECONDS, Patient, Schedule
from services.gateway_agent.table import Backend, HealthCheck, HealthProtocol, Service

CHECK = HealthCheck(HealthProtocol.TCP, 80, interval=5)
YES, NO = Answer(seconds=0.001), Answer(Failure.SILENT)
WALL = 1_700_000_000_000_000_000


def service(id_: str, backends: int, check: HealthCheck | None = CHECK) -> Service:
    addresses = (IPv4Address("10.0.0.1") + number for number in range(backends))
    return Service(id_, "vpc", (), tuple(Backend(address) for address in addresses), health_check=check)


def checks_between(schedule: Schedule, start: float, end: float, answer: Answer = YES) -> list[tuple[float, Patient]]:
    """All that begin in that time, each answered at once."""
    made = []
    while (now := schedule.next_look) is not None and now < end:
        now = max(now, start)
        while (due := schedule.due(now)) is not None:
            made.append((now, due[0]))
            schedule.note(due[0], answer, now, now, WALL)
    return made


def test_a_new_backend_is_asked_at_once_and_then_within_each_interval() -> None:
    schedule = Schedule(Random(1))
    schedule.watch(service("web", 1), 0, WALL)
    moments = [when for when, _ in checks_between(schedule, 0, 60)]
    assert moments[0] == 0
    pauses = [later - sooner for sooner, later in pairwise(moments)]
    assert min(pauses) >= 4.5
    assert max(pauses) <= 5.0


def test_a_thousand_backends_are_asked_as_often_as_they_say_and_not_all_at_once() -> None:
    schedule = Schedule(Random(2))
    for number in range(20):
        schedule.watch(service(f"web-{number}", 50), 0, WALL, calm=True)
    made = checks_between(schedule, 0, 100)
    asked = Counter(patient for _, patient in made)
    assert len(asked) == 1000
    assert all(19 <= times <= 23 for times in asked.values())
    busiest = Counter(int(when) for when, _ in made).most_common(1)[0][1]
    assert busiest < 1.4 * 1000 / CHECK.interval
    assert schedule.next_look is not None
    assert len(schedule._queue) == 1000, "one place in the queue each"


def test_nobody_is_asked_twice_at_once_whatever_is_put_meanwhile() -> None:
    schedule = Schedule(Random(3))
    web = service("web", 1)
    schedule.watch(web, 0, WALL)
    assert schedule.due(0) is not None
    for each in (web, replace(web, health_check=replace(CHECK, port=81)), service("web", 2)):
        schedule.watch(each, 1, WALL)
    schedule.ask_now("web", 1)
    asked = []
    while (due := schedule.due(100)) is not None:
        asked.append(due[0].address)
    assert asked == [IPv4Address("10.0.0.2")]


def test_a_service_that_gets_endpoints_is_asked_at_once_and_once() -> None:
    schedule = Schedule(Random(9))
    web = service("web", 2)
    schedule.watch(web, 0, WALL)
    for _ in web.backends:
        due = schedule.due(0)
        assert due is not None
        schedule.put_off(due[0], 0, WALL, forget=True)
    assert schedule.due(1) is None
    for now in range(1, 4):
        schedule.ask_now("web", now)
    assert len(schedule._queue) == 4, "two that are void, and one place in the queue each"
    asked = checks_between(schedule, 3, 3.1)
    assert [when for when, _ in asked] == [3, 3]


def test_a_changed_check_is_made_without_waiting_and_conditions_are_kept() -> None:
    schedule = Schedule(Random(4))
    web = service("web", 2)
    schedule.watch(web, 0, WALL)
    checks_between(schedule, 0, 1)
    schedule.watch(replace(web, health_check=replace(CHECK, port=81)), 2, WALL)
    due = schedule.due(2)
    assert due is not None
    assert due[1].port == 81
    health = schedule.health("web", {each.address for each in web.backends})
    assert health is not None
    assert [each.condition for each in health.backends] == [Condition.WELL] * 2


def test_answers_of_what_is_watched_no_more_change_nothing() -> None:
    schedule = Schedule(Random(5))
    schedule.watch(service("web", 1), 0, WALL)
    due = schedule.due(0)
    assert due is not None
    schedule.forget("web")
    assert not schedule.note(due[0], NO, 0, 1, WALL)
    assert not schedule.put_off(due[0], 1, WALL, forget=True)
    assert schedule.due(100) is None
    assert schedule.health("web", ()) is None
    assert schedule.figures().backends == {}


def test_adopted_backends_count_as_well_until_they_fail_and_the_others_wait_for_a_success() -> None:
    schedule = Schedule(Random(6))
    web = service("web", 2)
    one, other = (each.address for each in web.backends)
    schedule.watch(web, 0, WALL, taking={one}, calm=True)
    assert schedule.choice("web", {one, other}) == {one}
    for _ in range(CHECK.unhealthy_after):
        schedule.note(Patient("web", one), NO, 0, 0, WALL)
    assert schedule.choice("web", {one, other}) == {other}


def test_since_is_when_the_condition_turned_and_the_median_is_of_what_was_answered() -> None:
    schedule = Schedule(Random(7))
    web = service("web", 1)
    patient = Patient("web", web.backends[0].address)
    schedule.watch(web, 0, WALL)
    for number, seconds in enumerate((0.004, 0.001, 0.002)):
        turned = schedule.note(patient, Answer(seconds=seconds), 0, 0, WALL + number)
        assert turned == (number == 0)
    schedule.note(patient, Answer(Failure.STATUS, 503, 9.0), 0, 0, WALL + 9)
    health = schedule.health("web", ())
    assert health is not None
    (found,) = health.backends
    assert (found.since, found.median, found.checks) == (WALL, 0.002, 4)
    assert (found.failure, found.failed_at) == (Failure.STATUS, WALL + 9)
    assert found.error == "HTTP status 503 from port 80"


def test_a_median_is_news_when_it_is_another_and_not_all_the_time() -> None:
    schedule = Schedule(Random(8))
    web = service("web", 1)
    patient = Patient("web", web.backends[0].address)
    schedule.watch(web, 0, WALL)
    told, seconds = [], 0.001
    for now in range(0, 600, 5):
        if now > 300:
            seconds = 0.01
        schedule.note(patient, Answer(seconds=seconds), now, now, WALL)
        if schedule.is_news(patient, now):
            told.append(now)
    assert len(told) == 2
    assert told[0] <= MEDIAN_PAUSE_SECONDS
    assert 300 < told[1] < 600
