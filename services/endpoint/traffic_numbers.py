"""Numbers of what gateways have told of traffic, at the moment of a scrape."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from services.endpoint.domain.traffic_board import Board


class TrafficNumbers(Collector):
    def __init__(self, board: Board) -> None:
        self._board = board

    def collect(self) -> Iterator[Metric]:
        board = self._board
        about = "Reports of traffic that gateways have made."
        yield CounterMetricFamily("sidegate_traffic_reports", about, board.reports)
        about = "Endpoints of which traffic was seen since the program began."
        yield GaugeMetricFamily("sidegate_traffic_endpoints", about, len(board))
        about = "Endpoints and services of which there are samples over time."
        sampled = GaugeMetricFamily("sidegate_traffic_sampled", about, labels=["kind"])
        sampled.add_metric(["endpoint"], len(board.of_endpoints))
        sampled.add_metric(["service"], len(board.of_services))
        yield sampled
