"""A gateway agent: its parts, and how they run together."""

import asyncio
import os
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from services.common.clock import Clock as WallClock
from services.common.clock import now
from services.common.identity.access_log import AccessLog
from services.common.rpc.auth import Doorman
from services.common.rpc.health import Health
from services.common.rpc.machine import Machine
from services.common.rpc.server import Entrance, Hosted, RpcServer
from services.common.rpc.status import Progress, StatusServicer
from services.gateway_agent.control_plane import ControlPlane
from services.gateway_agent.dataplane.port import Dataplane
from services.gateway_agent.desired import Desired
from services.gateway_agent.facts import Facts
from services.gateway_agent.feed import Connect, Feed
from services.gateway_agent.fence import Clock, Fence, boottime
from services.gateway_agent.flow_file import FlowFile
from services.gateway_agent.flow_log import FlowLog
from services.gateway_agent.flow_report import FlowReport
from services.gateway_agent.flows import OFF
from services.gateway_agent.meter import Meter
from services.gateway_agent.numbers import Figures
from services.gateway_agent.pace import Pace
from services.gateway_agent.prober import Prober
from services.gateway_agent.proxies import Proxies
from services.gateway_agent.readiness import Readiness
from services.gateway_agent.reconciler import Reconciler
from services.gateway_agent.reporter import Reporter
from services.gateway_agent.resolving.book import Book
from services.gateway_agent.resolving.publication import Publication
from services.gateway_agent.resolving.resolvers import OpenSockets, Resolvers, nowhere
from services.gateway_agent.sources import Needs
from services.gateway_agent.table import Kind
from services.gateway_agent.table_servicer import TableServicer
from services.gateway_agent.tap_servicer import TapServicer
from services.gateway_agent.traces import Traces
from services.gateway_agent.tracker import Tracker
from services.gateway_agent.traffic_report import TrafficReport
from sidegate.api.gateway.v1.gateway_service_pb2_grpc import add_TableServiceServicer_to_server
from sidegate.api.gateway.v1.tap_service_pb2_grpc import add_TapServiceServicer_to_server
from sidegate.api.gateway.v1.traffic_pb2 import GatewayCondition
from sidegate.transport import Caller

TABLE_SERVICE = "sidegate.api.gateway.v1.TableService"
TAP_SERVICE = "sidegate.api.gateway.v1.TapService"
GRACE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class FlowSettings:
    """One in `one_of` sessions is told of, or none; in `file`, or to the control plane where there is none."""

    one_of: int = OFF
    file: Path | None = None


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """`socket` is where the table is shown; what must outlive a restart of the agent alone stands beside it."""

    gateway_id: str
    cell: str
    socket: Path
    pace: Pace = field(default_factory=Pace)
    flows: FlowSettings = FlowSettings()


class Agent:
    """Forwards what the log of its cell says. Everything it knows it has from there and from the kernel."""

    def __init__(
        self,
        settings: AgentSettings,
        dataplane: Dataplane,
        caller: Caller,
        connect: Connect,
        *,
        clock: Clock = boottime,
        wall_clock: WallClock = now,
        open_sockets: OpenSockets = nowhere,
        proxies: Proxies | None = None,
    ) -> None:
        pace, socket = settings.pace, settings.socket
        self._pace, self._socket, self._dataplane = pace, socket, dataplane
        desired, tracker, traces, needs = Desired(), Tracker(), Traces(), Needs()
        fence = Fence(clock, pace.fence_after, record=socket.with_name(socket.name + ".heard"))
        facts, self._proxies = Facts(desired, tracker, needs, proxies), proxies
        self._tracker, self._fence, self._facts = tracker, fence, facts
        book = Book()
        self.resolvers = Resolvers(book, open_sockets)
        control = ControlPlane(settings.gateway_id, settings.cell, caller, fence)
        self._reporter = Reporter(control, desired, facts, pace, traces)
        self.meter = Meter(dataplane, tracker, needs, idle=facts.idle, changed=self._reporter.note, pace=pace)
        self._traffic = TrafficReport(control, dataplane, self.meter, condition=self._condition, pace=pace)
        self.reconciler = Reconciler(
            dataplane,
            self._reporter,
            desired=desired,
            tracker=tracker,
            facts=facts,
            fence=fence,
            pace=pace,
            traces=traces,
            wall_clock=wall_clock,
            parting=self.meter.parting,
            names=Publication(desired, tracker, facts, book, self.resolvers),
            proxies=proxies,
        )
        if proxies is not None:
            proxies.changed = self.reconciler.nudge
        self.feed = Feed(control, connect, desired, self.reconciler.nudge, pace, traces=traces)
        self._prober = Prober(
            control,
            dataplane,
            desired=desired,
            facts=facts,
            position=lambda: self.reconciler.position,
            pace=pace,
        )
        servicer = TableServicer(
            control,
            dataplane,
            self.reconciler,
            desired=desired,
            facts=facts,
            fence=fence,
            meter=self.meter,
            resolvers=self.resolvers,
            clock=wall_clock,
        )
        self.flow_log = _flow_log(settings, dataplane, control)
        tap = TapServicer(settings.gateway_id, dataplane, self.flow_log)
        hosted = [
            Hosted(TABLE_SERVICE, lambda server: add_TableServiceServicer_to_server(servicer, server)),
            Hosted(TAP_SERVICE, lambda server: add_TapServiceServicer_to_server(tap, server)),
        ]
        self.status = StatusServicer(settings.gateway_id, self._progress, wall_clock)
        doorman = Doorman(Machine(), AccessLog())
        self._server = RpcServer(Entrance(f"unix:{socket}", doorman), [*hosted, self.status.hosted()])
        self.health = self.status.health = Health(self._server, [Readiness(self.reconciler, fence).difficulty])
        self.serving = asyncio.Event()

    async def run(self) -> None:
        """Runs until cancelled; the kernel goes on forwarding. Raises Unusable, CannotListen, what breaks a part."""
        await self._dataplane.open()
        try:
            await self._serve()
            async with asyncio.TaskGroup() as parts:
                for part in (
                    self.feed.run,
                    self.reconciler.run,
                    self.reconciler.watch,
                    self._reporter.run,
                    self._prober.run,
                    self.meter.run,
                    self._traffic.run,
                    self.resolvers.run,
                    self.health.run,
                    self.flow_log.run,
                    *((self._proxies.run,) if self._proxies else ()),
                ):
                    parts.create_task(part())
                parts.create_task(self._collect())
        finally:
            await self._server.stop(GRACE_SECONDS)
            await self._dataplane.close()

    def _progress(self) -> Progress:
        return Progress(self.reconciler.position, self.feed.lag, in_sync=self.reconciler.in_sync)

    def _condition(self) -> GatewayCondition:
        return GatewayCondition(
            position=self.reconciler.position,
            in_sync=self.reconciler.in_sync,
            version=version("sidegate"),
            session_capacity=self._dataplane.session_capacity(),
        )

    async def figures(self) -> Figures:
        """How this gateway is doing."""
        resolvers = self.resolvers.figures()
        return Figures(
            position=self.reconciler.position,
            in_sync=self.reconciler.in_sync,
            fenced=self._fence.up,
            silence=max(0.0, self._fence.now() - self._fence.heard),
            sessions=self._dataplane.sessions(),
            entries={**self.reconciler.count(), Kind.RESOLVER: resolvers.serving},
            difficulties={**self._facts.hindered(), Kind.RESOLVER: resolvers.waiting},
            repairs=self.reconciler.repaired,
            resyncs=self.feed.resyncs,
            differences=self.feed.differences,
            packets=await self._dataplane.counters(),
            session_capacity=self._dataplane.session_capacity(),
            reading=await self.meter.read(),
            health=self._dataplane.health_figures(),
            flows=self.flow_log.counts(),
            resolvers=resolvers,
        )

    async def _serve(self) -> None:
        # The table names every tenant's networks: for root alone, from the first moment on.
        before = os.umask(0o177)
        try:
            await self._server.start(serving=False)
        finally:
            os.umask(before)
        self.serving.set()

    async def _collect(self) -> None:
        while True:
            await asyncio.sleep(self._pace.collect)
            await self._dataplane.collect()


def _flow_log(settings: AgentSettings, dataplane: Dataplane, control: ControlPlane) -> FlowLog:
    one_of, file = settings.flows.one_of, settings.flows.file
    sink = FlowFile(file, settings.gateway_id, one_of) if file else FlowReport(control, one_of)
    return FlowLog(dataplane, sink, one_of)
