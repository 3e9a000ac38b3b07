"""Numbers of a program's log at the moment of a scrape: how long it is, and how much of it is published."""

from collections.abc import Iterator
from typing import Protocol

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector


class Published(Protocol):
    """What is asked of a relay."""

    @property
    def position(self) -> int: ...
    @property
    def healthy(self) -> bool: ...


class Positioned(Protocol):
    """What is asked of a store."""

    @property
    def position(self) -> int: ...


class LogNumbers(Collector):
    """`relay` is there once there is a connection to NATS."""

    def __init__(self, store: Positioned) -> None:
        self._store = store
        self.relay: Published | None = None

    @property
    def lag(self) -> int:
        """Events that are in the log and not yet known to be in the stream."""
        published = self.relay.position if self.relay else 0
        return max(0, self._store.position - published)

    def collect(self) -> Iterator[Metric]:
        relay = self.relay
        yield GaugeMetricFamily(
            "sidegate_store_position", "The position of the log's last event.", self._store.position
        )
        yield GaugeMetricFamily(
            "sidegate_relay_position", "The position up to which the log is published.", relay.position if relay else 0
        )
        yield GaugeMetricFamily("sidegate_relay_lag_events", "Events of the log yet to be published.", self.lag)
        yield GaugeMetricFamily(
            "sidegate_relay_healthy", "Whether the relay has its footing.", int(relay is not None and relay.healthy)
        )
