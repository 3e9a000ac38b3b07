"""Numbers of source addresses at the moment of a scrape."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from services.endpoint.domain.demand import Demand, Shortage


class SourceNumbers(Collector):
    def __init__(self, demand: Demand) -> None:
        self._demand = demand

    def collect(self) -> Iterator[Metric]:
        about = "Source addresses that endpoints were given because their sessions needed more."
        yield CounterMetricFamily("sidegate_sources_added", about, self._demand.added)
        about = "Endpoints, on each gateway, whose sessions need more source addresses than they have."
        short, counts = GaugeMetricFamily("sidegate_sources_short", about, labels=["why"]), self._demand.counts()
        for why in Shortage:
            short.add_metric([why.name.lower()], counts.get(why, 0))
        yield short
