"""What has passed, as Prometheus reads it."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from ipaddress import IPv4Address

import pytest
from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.registry import Collector

from services.gateway_agent.meter import Reading
from services.gateway_agent.sources import Ground
from services.gateway_agent.table import Endpoint, ForwardingTable
from services.gateway_agent.traffic import Traffic
from services.gateway_agent.traffic_numbers import COUNTERS, TrafficNumbers, chosen
from tests.support.metrics import families, value
from tests.support.tables import attachment, endpoint, service

WEB = service("service-1", "vpc-2")
ENDPOINTS = [endpoint(number, "vpc-1", WEB.id) for number in range(1, 5)]
FIRST, SECOND, THIRD, FOURTH = ENDPOINTS
PASSED = Traffic(7, 9, 20, 2000, 30, 60000, {"no_port": 4, "ttl": 0})


def reading(traffic: Mapping[str, Traffic], *endpoints: Endpoint) -> Reading:
    entries = [attachment("vpc-1", "blue"), attachment("vpc-2", "green"), WEB, *(endpoints or ENDPOINTS)]
    return Reading(traffic, {WEB.id: PASSED}, Ground.of(ForwardingTable.of(entries)), short=2)


class Scraped(Collector):
    def __init__(self, numbers: TrafficNumbers, of: Reading) -> None:
        self._numbers, self._of = numbers, of

    def collect(self) -> Iterator[Metric]:
        return self._numbers.collect(self._of)


def told(of: Reading, numbers: TrafficNumbers | None = None) -> str:
    registry = CollectorRegistry()
    registry.register(Scraped(numbers or TrafficNumbers(100), of))
    return generate_latest(registry).decode()


def shown(text: str) -> set[str]:
    return {
        sample.labels["endpoint_id"]
        for family in families(text)
        for sample in family.samples
        if "endpoint_id" in sample.labels
    }


def bytes_(number: int) -> Traffic:
    return Traffic(bytes_in=number // 2, bytes_out=number - number // 2)


def test_an_endpoint_shows_what_has_passed_for_it_and_what_has_not() -> None:
    text = told(reading({FIRST.id: PASSED}))
    of = {"endpoint_id": FIRST.id, "service_id": WEB.id}
    assert value(text, "sidegate_endpoint_act_connections", **of) == 7
    expected = {"connections": 9, "rx_packet": 20, "rx_byte": 2000, "tx_packet": 30, "tx_byte": 60000}
    assert {name: value(text, f"sidegate_endpoint_{name}_total", **of) for name in COUNTERS} == expected
    assert value(text, "sidegate_endpoint_drop_num_total", reason="no_port", **of) == 4
    assert value(text, "sidegate_endpoint_drop_num_total", reason="no_source_port", **of) == 0
    assert value(text, "sidegate_endpoint_drop_num_total", reason="table_full", **of) == 0
    assert 'reason="ttl"' not in text, "what never happened needs no series, but for what there are alarms about"


def test_a_service_shows_the_sums_of_all_its_endpoints() -> None:
    text = told(reading({FIRST.id: PASSED}), TrafficNumbers(0))
    assert shown(text) == set()
    assert value(text, "sidegate_service_act_connections", service_id=WEB.id) == 7
    assert value(text, "sidegate_service_rx_byte_total", service_id=WEB.id) == 2000
    assert value(text, "sidegate_service_drop_num_total", service_id=WEB.id, reason="no_port") == 4


def test_source_addresses_and_how_full_they_are_are_shown() -> None:
    grown = replace(FIRST, more_sources=(IPv4Address("198.19.200.1"),))
    text = told(reading({grown.id: Traffic(sessions=64_512)}, grown))
    assert value(text, "sidegate_endpoint_sources", endpoint_id=FIRST.id) == 2
    assert value(text, "sidegate_endpoint_sources_used_ratio", endpoint_id=FIRST.id) == pytest.approx(0.5)
    assert value(text, "sidegate_gateway_sources_used_ratio_max") == pytest.approx(0.5)
    assert value(text, "sidegate_gateway_sources_short") == 2


def test_the_fullest_endpoint_counts_whether_it_is_shown_or_not() -> None:
    full = Traffic(sessions=32_256)
    text = told(reading({FIRST.id: bytes_(1000), SECOND.id: full}), TrafficNumbers(1))
    assert shown(text) == {FIRST.id}
    assert value(text, "sidegate_gateway_sources_used_ratio_max") == pytest.approx(0.5)


def test_the_endpoints_with_the_most_traffic_are_shown_and_the_others_are_counted() -> None:
    passed = {each.id: bytes_(number) for each, number in zip(ENDPOINTS, (10, 400, 30, 200), strict=True)}
    text = told(reading(passed), TrafficNumbers(2))
    assert shown(text) == {SECOND.id, FOURTH.id}
    assert value(text, "sidegate_gateway_endpoints_left_out") == 2


def test_an_endpoint_that_came_after_the_kernel_was_read_begins_at_nothing() -> None:
    text = told(reading({FIRST.id: PASSED}))
    assert value(text, "sidegate_gateway_endpoints_left_out") == 0
    assert value(text, "sidegate_endpoint_rx_byte_total", endpoint_id=SECOND.id) == 0


def test_whoever_is_shown_stays_until_another_has_twice_as_much() -> None:
    first = chosen({"a": bytes_(100), "b": bytes_(90)}, frozenset(), 1)
    assert first == {"a"}
    assert chosen({"a": bytes_(100), "b": bytes_(199)}, first, 1) == {"a"}
    assert chosen({"a": bytes_(100), "b": bytes_(202)}, first, 1) == {"b"}
    assert chosen({"b": bytes_(0), "c": bytes_(0)}, first, 1) == {"c"}, "it is gone"
    assert chosen({"a": bytes_(1), "b": bytes_(2)}, first, 2) == {"a", "b"}


def test_what_is_gone_from_the_table_has_no_series() -> None:
    numbers = TrafficNumbers(1)
    assert shown(told(reading({FIRST.id: PASSED}), numbers)) == {FIRST.id}
    assert shown(told(reading({FIRST.id: PASSED, SECOND.id: bytes_(5)}, SECOND), numbers)) == {SECOND.id}
