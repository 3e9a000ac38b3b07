"""Numbers of a gateway at the moment of a scrape."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from threading import Lock

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from services.gateway_agent.backend_health import OUTCOMES, Condition, HealthFigures
from services.gateway_agent.flow_log import Counts
from services.gateway_agent.meter import Reading
from services.gateway_agent.resolving.forwarding import Outcome
from services.gateway_agent.resolving.questions import Result
from services.gateway_agent.resolving.resolvers import ResolverFigures
from services.gateway_agent.table import Kind
from services.gateway_agent.traffic_numbers import TrafficNumbers

PATIENCE_SECONDS = 5.0
MOST_ENDPOINTS = 1000
FLOWS = "Records of the flow log: written, dropped for want of room, lost in the kernel before they were read."


@dataclass(frozen=True, slots=True)
class Figures:
    """How an agent is doing, and what has passed. `silence`: seconds since the control plane was heard."""

    position: int
    in_sync: bool
    fenced: bool
    silence: float
    sessions: int
    entries: Mapping[Kind, int]
    difficulties: Mapping[Kind, int]
    repairs: int
    resyncs: int
    differences: int
    packets: Mapping[str, int]
    session_capacity: int
    reading: Reading
    health: HealthFigures = field(default_factory=HealthFigures)
    flows: Counts = field(default_factory=Counts)
    resolvers: ResolverFigures = field(default_factory=ResolverFigures)


class GatewayNumbers(Collector):
    """Collected in the thread of the scrape, asked for in the agent's event loop; `most` endpoints are shown."""

    def __init__(
        self, figures: Callable[[], Awaitable[Figures]], loop: asyncio.AbstractEventLoop, most: int = MOST_ENDPOINTS
    ) -> None:
        self._figures, self._loop = figures, loop
        self._traffic, self._scraping = TrafficNumbers(most), Lock()

    def collect(self) -> Iterator[Metric]:
        found = asyncio.run_coroutine_threadsafe(self._ask(), self._loop).result(PATIENCE_SECONDS)
        yield _gauge("position", "The position of the cell's log up to which all was tried.", found.position)
        yield _gauge("in_sync", "Whether all that was heard of is forwarded.", found.in_sync)
        yield _gauge("fenced", "Whether forwarding has stopped for want of the control plane.", found.fenced)
        yield _gauge("silence_seconds", "Time since the control plane was heard.", found.silence)
        yield _gauge("sessions", "Sessions in the kernel at the last round of their collector.", found.sessions)
        yield _by_kind("entries", "Entries of the forwarding table in the kernel.", found.entries)
        yield _by_kind("difficulties", "Entries that pass no packets, or not all.", found.difficulties)
        yield _counter("repairs", "Entries of the kernel's table that others had altered.", found.repairs)
        yield _counter("resyncs", "Times that the agent began anew with a snapshot.", found.resyncs)
        about = "Times that the table was not the control plane's, and was repaired with a snapshot."
        yield _counter("differences", about, found.differences)
        about = "What became of packets since the kernel's maps were made."
        packets = CounterMetricFamily("sidegate_gateway_packets", about, labels=["outcome"])
        for outcome, count in found.packets.items():
            packets.add_metric([outcome], count)
        yield packets
        fits = found.session_capacity
        yield _gauge("session_capacity", "Sessions that fit in the kernel's table.", fits)
        filled = found.sessions / fits if fits else 0.0
        yield _gauge("session_table_used_ratio", "Share of the kernel's table of sessions that is filled.", filled)
        with self._scraping:  # every scrape has a thread of its own
            yield from list(self._traffic.collect(found.reading))
        yield from _of_health(found.health)
        flows = CounterMetricFamily("sidegate_gateway_flow_records", FLOWS, labels=["outcome"])
        for outcome, count in asdict(found.flows).items():
            flows.add_metric([outcome], count)
        yield flows
        yield from _of_resolvers(found.resolvers)

    async def _ask(self) -> Figures:
        return await self._figures()


def _gauge(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(f"sidegate_gateway_{name}", about, float(value))


def _counter(name: str, about: str, value: int) -> Metric:
    return CounterMetricFamily(f"sidegate_gateway_{name}", about, value)


def _of_health(health: HealthFigures) -> Iterator[Metric]:
    about = "Health checks of backends since the agent began, by what came of them."
    checks = CounterMetricFamily("sidegate_gateway_backend_checks", about, labels=["outcome"])
    for outcome in OUTCOMES:
        checks.add_metric([outcome], health.checks.get(outcome, 0))
    yield checks
    about = "Backends of services that ask for health checks, once for each such service."
    backends = GaugeMetricFamily("sidegate_gateway_backend_conditions", about, labels=["condition"])
    for condition in Condition:
        backends.add_metric([condition.value], health.backends.get(condition, 0))
    yield backends


def _of_resolvers(resolvers: ResolverFigures) -> Iterator[Metric]:
    yield _gauge("resolver_names", "Names of endpoints that resolvers answer now.", resolvers.names)
    about = "Questions to resolvers of VPCs since the agent began, by what became of them."
    questions = CounterMetricFamily("sidegate_gateway_resolver_questions", about, labels=["outcome"])
    for result in Result:
        questions.add_metric([result.value], resolvers.results.get(result, 0))
    yield questions
    about = "Name servers that were asked for other names since the agent began, by what came of it."
    forwards = CounterMetricFamily("sidegate_gateway_resolver_forwards", about, labels=["outcome"])
    for outcome in Outcome:
        forwards.add_metric([outcome.value], resolvers.outcomes.get(outcome, 0))
    yield forwards


def _by_kind(name: str, about: str, values: Mapping[Kind, int]) -> Metric:
    told = GaugeMetricFamily(f"sidegate_gateway_{name}", about, labels=["kind"])
    for kind in Kind:
        told.add_metric([kind.value], values.get(kind, 0))
    return told
