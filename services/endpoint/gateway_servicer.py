"""What gateway agents ask, and what they report."""

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing

from google.protobuf.duration_pb2 import Duration

from services.common.eventsourcing.store import EventStore
from services.common.identity.nats import rights
from services.common.messaging import subjects
from services.common.messaging.stream import ENDPOINT
from services.common.rpc.calls import Context
from services.common.rpc.records import to_log_record
from services.endpoint.application.cells import Cells
from services.endpoint.application.feed import Feed
from services.endpoint.application.flows import Flows
from services.endpoint.application.limits import Limits
from services.endpoint.application.probes import Probes
from services.endpoint.application.traffic import TrafficReports
from services.endpoint.wire.backend_health import backends_of
from services.endpoint.wire.reachability import finding_of, probe_message
from services.endpoint.wire.request import statement_of
from services.endpoint.wire.traffic import told_of
from sidegate.api.events.v1 import log_pb2
from sidegate.api.gateway.v1 import gateway_service_pb2 as gateway_pb
from sidegate.api.gateway.v1 import gateway_service_pb2_grpc as gateway_grpc
from sidegate.api.gateway.v1 import probe_pb2 as probe_pb
from sidegate.api.gateway.v1 import traffic_pb2 as traffic_pb


class GatewayServicer(gateway_grpc.GatewayServiceServicer):
    """`joined` is told when a gateway has joined."""

    def __init__(
        self,
        store: EventStore,
        cells: Cells,
        feed: Feed,
        limits: Limits,
        probes: Probes,
        *,
        flows: Flows,
        traffic: TrafficReports,
        joined: Callable[[], None] = lambda: None,
    ) -> None:
        self._store, self._cells, self._feed, self._limits = store, cells, feed, limits
        self._probes, self._flows, self._traffic, self._joined = probes, flows, traffic, joined

    async def Join(self, request: gateway_pb.JoinRequest, context: Context) -> gateway_pb.JoinResponse:
        session = await self._cells.join(request.gateway_id, request.cell)
        self._joined()
        head = await self._store.head()
        return gateway_pb.JoinResponse(
            session_id=session,
            log_id=head.log_id,
            epoch=head.epoch,
            stream_prefix=ENDPOINT.prefix,
            subject_filter=subjects.of_cell(request.cell).subject,
            lease=_duration(self._limits.lease),
            fence_after=_duration(self._limits.fence_after),
            consumer=rights.gateway(request.cell, request.gateway_id),
        )

    async def Snapshot(
        self, request: gateway_pb.SnapshotRequest, context: Context
    ) -> AsyncIterator[gateway_pb.SnapshotResponse]:
        snapshot = await self._feed.snapshot(request.cell)
        table = snapshot.table
        header = gateway_pb.SnapshotHeader(
            log_id=snapshot.log_id,
            position=table.position,
            cell_position=table.cell_position,
            entries=len(table.events),
        )
        yield gateway_pb.SnapshotResponse(header=header)
        for entry in snapshot.entries():
            yield gateway_pb.SnapshotResponse(entry=entry)

    async def Events(self, request: gateway_pb.EventsRequest, context: Context) -> AsyncIterator[log_pb2.LogRecord]:
        async for event in self._feed.events(request.cell, request.after, request.through):
            yield to_log_record(event)

    async def ReportState(
        self, request: gateway_pb.ReportStateRequest, context: Context
    ) -> gateway_pb.ReportStateResponse:
        statements = [statement_of(request.gateway_id, report) for report in request.endpoints]
        health = {report.service_id: backends_of(report) for report in request.services}
        joined = await self._cells.report(request.gateway_id, request.session_id, statements, health)
        head = await self._store.head()
        return gateway_pb.ReportStateResponse(joined=joined, log_id=head.log_id, epoch=head.epoch)

    async def Digest(self, request: gateway_pb.DigestRequest, context: Context) -> gateway_pb.DigestResponse:
        found = await self._feed.digest(request.cell, request.position, request.gateway_id)
        return gateway_pb.DigestResponse(digest=found.digest, entries=found.entries, gateway_id=request.gateway_id)

    async def Probes(self, request: probe_pb.ProbesRequest, context: Context) -> AsyncIterator[probe_pb.Probe]:
        async with aclosing(self._probes.of(request.gateway_id)) as probes:
            async for probe in probes:
                yield probe_message(probe.id, probe.endpoint, probe.seconds, probe.opening)

    async def AnswerProbe(self, request: probe_pb.AnswerProbeRequest, context: Context) -> probe_pb.AnswerProbeResponse:
        self._probes.answer(request.gateway_id, request.id, finding_of(request))
        return probe_pb.AnswerProbeResponse()

    async def ReportFlows(
        self, request: gateway_pb.ReportFlowsRequest, context: Context
    ) -> gateway_pb.ReportFlowsResponse:
        told = await self._flows.tell(request.gateway_id, request.cell, request.flows)
        return gateway_pb.ReportFlowsResponse(told=told)

    async def ReportTraffic(
        self, request: traffic_pb.ReportTrafficRequest, context: Context
    ) -> traffic_pb.ReportTrafficResponse:
        return traffic_pb.ReportTrafficResponse(joined=await self._traffic.take(request.gateway_id, told_of(request)))


def _duration(nanoseconds: int) -> Duration:
    duration = Duration()
    duration.FromNanoseconds(nanoseconds)
    return duration
