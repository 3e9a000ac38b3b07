"""A control plane that follows a script: a log in memory, served to gateway agents over real gRPC."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import uuid4

from google.protobuf.duration_pb2 import Duration

from services.common.errors import Outdated, OutOfRange, Unavailable, WrongState
from services.common.eventsourcing.memory_store import MemoryStore
from services.common.eventsourcing.store import AnyVersion, Append, NewEvent, RecordedEvent
from services.common.forwarding_digest import digest, line
from services.common.identity.nats import rights
from services.common.rpc.calls import Context
from services.common.rpc.records import to_log_record
from services.common.rpc.server import Hosted, RpcServer
from sidegate.api.events.v1 import endpoint_events_pb2 as events_pb
from sidegate.api.events.v1 import forwarding_pb2 as forwarding_pb
from sidegate.api.events.v1 import log_pb2
from sidegate.api.gateway.v1 import gateway_service_pb2 as gateway_pb
from sidegate.api.gateway.v1 import gateway_service_pb2_grpc as gateway_grpc
from sidegate.api.gateway.v1 import probe_pb2 as probe_pb
from sidegate.api.gateway.v1 import traffic_pb2 as traffic_pb
from tests.support import identity
from tests.support.nats import DEADLINE

CELL = "c1"
FORWARDING = gateway_pb.EndpointReport.PRESENCE_FORWARDING
ABSENT = gateway_pb.EndpointReport.PRESENCE_ABSENT
HINDERED = gateway_pb.EndpointReport.PRESENCE_HINDERED
Told = forwarding_pb.ForwardingEntry


def duration(seconds: float) -> Duration:
    return Duration(seconds=int(seconds), nanos=int(seconds % 1 * 1e9))


def named(entry: Told) -> tuple[str, str, int, bool]:
    """Kind, id, version, removed."""
    match entry.WhichOneof("entry"):
        case "attachment":
            attachment = entry.attachment
            return "attachment", attachment.vpc_id, attachment.version, attachment.removed
        case "service":
            return "service", entry.service.service_id, entry.service.version, entry.service.removed
        case "resolver":
            return "resolver", entry.resolver.vpc_id, entry.resolver.version, entry.resolver.removed
        case _:
            endpoint = entry.endpoint
            gone = endpoint.removed and not endpoint.draining_until
            return "endpoint", endpoint.endpoint_id, endpoint.generation, gone


def lease_of(entry: Told, gateway: str) -> str:
    """The source address that a gateway has of an endpoint; empty if none."""
    return next((lease.address for lease in entry.endpoint.sources if lease.gateway_id == gateway), "")


@dataclass
class ControlPlane(gateway_grpc.GatewayServiceServicer):
    """Its log is also what a relay publishes. Everything that an agent asks or says is kept."""

    log: MemoryStore = field(default_factory=MemoryStore)
    lease: float = 30.0
    fence_after: float = 3600.0
    sessions: list[str] = field(default_factory=list)
    valid: set[str] = field(default_factory=set)
    snapshots: int = 0
    digests: int = 0
    reports: dict[str, gateway_pb.EndpointReport] = field(default_factory=dict)
    calls: list[gateway_pb.ReportStateRequest] = field(default_factory=list)
    unreadable: set[int] = field(default_factory=set)
    retired: bool = False
    broken_snapshots: int = 0
    refuse_reports: bool = False
    refuse_flows: bool = False
    lose_traffic_answers: int = 0
    refused: int = 0
    address: str = "127.0.0.1:0"

    def __post_init__(self) -> None:
        self.may_send = asyncio.Event()
        self.may_send.set()
        self.asked_for_snapshot = asyncio.Event()
        self.probes: asyncio.Queue[probe_pb.Probe] = asyncio.Queue()
        self.answers: asyncio.Queue[probe_pb.AnswerProbeRequest] = asyncio.Queue()
        self.flows: asyncio.Queue[gateway_pb.ReportFlowsRequest] = asyncio.Queue()
        self.traffic: list[traffic_pb.ReportTrafficRequest] = []
        self._news = asyncio.Condition()
        self._server: RpcServer | None = None

    # ---- the script

    async def tell(self, *entries: Told, at: int = 0) -> int:
        """Appends an event for each entry; gives the position of the last. `at` is in nanoseconds."""
        for entry in entries:
            event = NewEvent("endpoint.v1.Changed", events_pb.EndpointEvent(forwarding=entry).SerializeToString())
            await self.log.append(Append("endpoint-1", AnyVersion(), [event], at=at, partition=CELL))
        return (await self.log.head()).position

    async def tell_elsewhere(self) -> int:
        """Appends an event of another cell; gives its position."""
        event = NewEvent("endpoint.v1.Changed", events_pb.EndpointEvent().SerializeToString())
        return (await self.log.append(Append("endpoint-2", AnyVersion(), [event], at=0, partition="c2"))).position

    def begin_another_log(self) -> None:
        """As after the database was lost; sessions are lost with it."""
        self.log = MemoryStore()
        self.forget()

    def forget(self) -> None:
        """What a restart of the control plane does to sessions and reports."""
        self.valid.clear()
        self.reports.clear()

    async def reported(
        self,
        endpoint: str,
        presence: gateway_pb.EndpointReport.Presence.ValueType,
        generation: int = 0,
        sources_wanted: int | None = None,
    ) -> str:
        """Waits for a report of the endpoint; gives the reason in it."""

        def found() -> bool:
            report = self.reports.get(endpoint)
            if report is None or report.presence != presence or generation not in (0, report.generation):
                return False
            return sources_wanted in (None, report.sources_wanted)

        async with asyncio.timeout(DEADLINE), self._news:
            await self._news.wait_for(found)
        return self.reports[endpoint].reason

    async def heard(self, position: int) -> None:
        """Waits for a report from an agent that has taken in the log up to the position."""
        async with asyncio.timeout(DEADLINE), self._news:
            await self._news.wait_for(lambda: any(call.position >= position for call in self.calls))

    async def renewed(self, times: int) -> None:
        """Waits for so many more reports."""
        calls = len(self.calls)
        async with asyncio.timeout(DEADLINE), self._news:
            await self._news.wait_for(lambda: len(self.calls) >= calls + times)

    async def joined(self, times: int) -> None:
        async with asyncio.timeout(DEADLINE), self._news:
            await self._news.wait_for(lambda: len(self.sessions) >= times)

    async def start(self) -> None:
        hosted = Hosted(
            "sidegate.api.gateway.v1.GatewayService",
            lambda server: gateway_grpc.add_GatewayServiceServicer_to_server(self, server),
        )
        self._server = RpcServer(identity.internal(self.address), [hosted])
        self.address = await self._server.start()

    async def stop(self) -> None:
        if self._server is not None:
            server, self._server = self._server, None
            await server.stop(grace=0.0)

    # ---- what agents ask

    async def Join(self, request: gateway_pb.JoinRequest, context: Context) -> gateway_pb.JoinResponse:
        if self.retired:
            raise WrongState("GATEWAY_RETIRED", f"gateway {request.gateway_id} was retired: give this one another id")
        session, head = uuid4().hex, await self.log.head()
        async with self._news:
            self.sessions.append(session)
            self.valid = {session}
            self._news.notify_all()
        return gateway_pb.JoinResponse(
            session_id=session,
            log_id=head.log_id,
            epoch=head.epoch,
            stream_prefix="EP",
            subject_filter=f"endpoint.v1.{request.cell}.>",
            lease=duration(self.lease),
            fence_after=duration(self.fence_after),
            consumer=rights.gateway(request.cell, request.gateway_id),
        )

    async def Snapshot(
        self, request: gateway_pb.SnapshotRequest, context: Context
    ) -> AsyncIterator[gateway_pb.SnapshotResponse]:
        self.snapshots += 1
        head = await self.log.head()
        entries = list((await self._table(head.position)).values())
        self.asked_for_snapshot.set()
        header = gateway_pb.SnapshotHeader(
            log_id=head.log_id, position=head.position, cell_position=head.position, entries=len(entries)
        )
        yield gateway_pb.SnapshotResponse(header=header)
        await self.may_send.wait()
        if self.broken_snapshots:
            self.broken_snapshots -= 1
            entries.pop()
        for entry in entries:
            yield gateway_pb.SnapshotResponse(entry=entry)

    async def Events(self, request: gateway_pb.EventsRequest, context: Context) -> AsyncIterator[log_pb2.LogRecord]:
        head = await self.log.head()
        if request.after > head.position:
            raise OutOfRange("POSITION_AHEAD", "the log is not there yet")
        for event in await self._events(request.after, request.through or head.position):
            if event.position not in self.unreadable:
                yield to_log_record(event)

    async def ReportState(
        self, request: gateway_pb.ReportStateRequest, context: Context
    ) -> gateway_pb.ReportStateResponse:
        if self.refuse_reports:
            self.refused += 1
            raise Outdated("CHANGED_MEANWHILE", "a refusal that no channel tries again by itself")
        if request.session_id not in self.valid:
            return gateway_pb.ReportStateResponse(joined=False)
        head = await self.log.head()
        async with self._news:
            self.calls.append(request)
            self.reports.update({report.endpoint_id: report for report in request.endpoints})
            self._news.notify_all()
        return gateway_pb.ReportStateResponse(joined=True, log_id=head.log_id, epoch=head.epoch)

    async def Digest(self, request: gateway_pb.DigestRequest, context: Context) -> gateway_pb.DigestResponse:
        self.digests += 1
        if request.position > (await self.log.head()).position:
            raise WrongState("POSITION_AHEAD", f"the log is not yet at {request.position}")
        table = await self._table(request.position)
        kept = [(entry, name) for entry in table.values() if not (name := named(entry))[3]]
        lines = [line(*name[:3], lease_of(entry, request.gateway_id)) for entry, name in kept]
        return gateway_pb.DigestResponse(digest=digest(lines), entries=len(kept), gateway_id=request.gateway_id)

    async def Probes(self, request: probe_pb.ProbesRequest, context: Context) -> AsyncIterator[probe_pb.Probe]:
        while True:
            yield await self.probes.get()

    async def AnswerProbe(self, request: probe_pb.AnswerProbeRequest, context: Context) -> probe_pb.AnswerProbeResponse:
        await self.answers.put(request)
        return probe_pb.AnswerProbeResponse()

    async def ReportFlows(
        self, request: gateway_pb.ReportFlowsRequest, context: Context
    ) -> gateway_pb.ReportFlowsResponse:
        if self.refuse_flows:
            raise Unavailable("NATS_AWAY", "flow records cannot be told")
        await self.flows.put(request)
        return gateway_pb.ReportFlowsResponse(told=len(request.flows))

    async def ReportTraffic(
        self, request: traffic_pb.ReportTrafficRequest, context: Context
    ) -> traffic_pb.ReportTrafficResponse:
        async with self._news:
            self.traffic.append(request)
            self._news.notify_all()
        if self.lose_traffic_answers:
            self.lose_traffic_answers -= 1
            raise Unavailable("AWAY", "its answer is lost")
        return traffic_pb.ReportTrafficResponse(joined=request.session_id in self.valid)

    async def told_traffic(self, found: Callable[[traffic_pb.ReportTrafficRequest], bool]) -> int:
        """Waits for such a report; gives its place among all."""
        async with asyncio.timeout(DEADLINE), self._news:
            await self._news.wait_for(lambda: any(map(found, self.traffic)))
        return next(place for place, request in enumerate(self.traffic) if found(request))

    async def _events(self, after: int, through: int) -> list[RecordedEvent]:
        return [event for event in await self.log.read(after, 2**31, CELL) if event.position <= through]

    async def _table(self, position: int) -> dict[tuple[str, str], Told]:
        events = await self._events(0, position)
        entries = [events_pb.EndpointEvent.FromString(event.data).forwarding for event in events]
        return {named(entry)[:2]: entry for entry in entries}


@asynccontextmanager
async def control_plane(*, lease: float = 30.0, fence_after: float = 3600.0) -> AsyncIterator[ControlPlane]:
    control = ControlPlane(lease=lease, fence_after=fence_after)
    await control.start()
    try:
        yield control
    finally:
        control.may_send.set()
        await control.stop()
