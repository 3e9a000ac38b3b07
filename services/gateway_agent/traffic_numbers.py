"""What has passed for endpoints and services, for Prometheus: labels are ids of the table and reasons of the kernel."""

import heapq
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import chain

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from services.gateway_agent.meter import Reading
from services.gateway_agent.sources import NO_SOURCE_PORT, sources_of
from services.gateway_agent.table import Endpoint
from services.gateway_agent.traffic import Traffic

LOYALTY = 2
"""An endpoint that is not shown has to have so many times the traffic of one that is to take its place."""

ALWAYS_TOLD = (NO_SOURCE_PORT, "table_full")
"""Refusals that are told from 0 on, so that the first of them is seen as an increase."""

COUNTERS: Mapping[str, tuple[str, str]] = {
    "connections": ("sessions_made", "Sessions that were made"),
    "rx_byte": ("bytes_in", "Bytes of IP packets from consumers"),
    "tx_byte": ("bytes_out", "Bytes of IP packets to consumers"),
    "rx_packet": ("packets_in", "Packets from consumers"),
    "tx_packet": ("packets_out", "Packets to consumers"),
}
NOTHING = Traffic()
Labelled = tuple[list[str], Traffic]


class TrafficNumbers:
    """Shows `most` endpoints, those with the most traffic, and all services. One scrape at a time."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._shown: Collection[str] = frozenset()

    def collect(self, reading: Reading) -> Iterator[Metric]:
        there, traffic = reading.ground.endpoints, reading.traffic
        passed = {id_: traffic.get(id_, NOTHING) for id_ in there}
        self._shown = chosen(passed, self._shown, self._most)
        shown = [there[id_] for id_ in sorted(self._shown)]
        labelled = [([each.id, each.service], passed[each.id]) for each in shown]
        yield from _families("endpoint", ["endpoint_id", "service_id"], labelled)
        yield from _families("service", ["service_id"], [([id_], sum_) for id_, sum_ in reading.services.items()])
        yield from _of_sources(reading, shown)
        about = "Endpoints of the table of which no numbers are shown."
        yield GaugeMetricFamily("sidegate_gateway_endpoints_left_out", about, len(there) - len(shown))


def chosen(traffic: Mapping[str, Traffic], before: Collection[str], most: int) -> frozenset[str]:
    """Those with the most bytes; whoever is shown stays rather than one that has hardly more."""

    if len(traffic) <= most:
        return frozenset(traffic)
    weighed = (
        ((passed.bytes_in + passed.bytes_out) * (LOYALTY if id_ in before else 1), id_)
        for id_, passed in traffic.items()
    )
    return frozenset(id_ for _, id_ in heapq.nlargest(most, weighed))


def _families(of: str, labels: list[str], labelled: Collection[Labelled]) -> Iterator[Metric]:
    now = GaugeMetricFamily(
        f"sidegate_{of}_act_connections", f"Sessions that are there now, of each {of}.", None, labels
    )
    for values, passed in labelled:
        now.add_metric(values, passed.sessions)
    yield now
    for name, (field, about) in COUNTERS.items():
        counter = CounterMetricFamily(f"sidegate_{of}_{name}", f"{about}, of each {of}.", None, labels)
        for values, passed in labelled:
            counter.add_metric(values, getattr(passed, field))
        yield counter
    refused = CounterMetricFamily(
        f"sidegate_{of}_drop_num", f"Packets that were refused, of each {of}.", None, [*labels, "reason"]
    )
    for values, passed in labelled:
        for reason in dict.fromkeys(chain(ALWAYS_TOLD, passed.refused)):
            if (number := passed.refused.get(reason, 0)) or reason in ALWAYS_TOLD:
                refused.add_metric([*values, reason], number)
    yield refused


def _of_sources(reading: Reading, shown: Iterable[Endpoint]) -> Iterator[Metric]:
    labels = ["endpoint_id", "service_id"]
    about = "Source addresses of each endpoint on this gateway."
    addresses = GaugeMetricFamily("sidegate_endpoint_sources", about, None, labels)
    about = "Share of the sessions that each endpoint's source addresses hold that are there."
    used = GaugeMetricFamily("sidegate_endpoint_sources_used_ratio", about, None, labels)
    for each in shown:
        addresses.add_metric([each.id, each.service], sources_of(each))
        used.add_metric([each.id, each.service], used_share(each, reading))
    yield addresses
    yield used
    about = "The largest share of any endpoint, shown or not."
    in_use = (reading.ground.endpoints.get(id_) for id_, passed in reading.traffic.items() if passed.sessions)
    largest = max((used_share(each, reading) for each in in_use if each is not None), default=0.0)
    yield GaugeMetricFamily("sidegate_gateway_sources_used_ratio_max", about, largest)
    about = "Endpoints whose sessions need more source addresses than they have."
    yield GaugeMetricFamily("sidegate_gateway_sources_short", about, reading.short)


def used_share(endpoint: Endpoint, reading: Reading) -> float:
    """Of what the endpoint's source addresses hold."""
    return reading.traffic.get(endpoint.id, NOTHING).sessions / reading.ground.all_hold(endpoint)
