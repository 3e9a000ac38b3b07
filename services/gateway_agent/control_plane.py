"""The control plane as one gateway asks it. Every failure is a `sidegate.errors.SidegateError`."""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass

from services.common.eventsourcing.store import RecordedEvent
from services.common.messaging.stream import ENDPOINT, LogEpoch, Topic
from services.common.messaging.subjects import Selection
from services.common.rpc.records import to_recorded_event
from services.gateway_agent.backend_health import ServiceHealth
from services.gateway_agent.desired import Versioned
from services.gateway_agent.facts import Fact
from services.gateway_agent.fence import Fence
from services.gateway_agent.reach import Found, Probe
from services.gateway_agent.wire import fact_to_proto, news_of
from services.gateway_agent.wire_health import health_to_proto
from services.gateway_agent.wire_probe import answer_to, probe_of
from sidegate import errors
from sidegate.api.gateway.v1 import gateway_service_pb2 as gateway_pb
from sidegate.api.gateway.v1 import probe_pb2 as probe_pb
from sidegate.api.gateway.v1 import traffic_pb2 as traffic_pb
from sidegate.api.gateway.v1.flow_pb2 import Flow
from sidegate.api.gateway.v1.gateway_service_pb2_grpc import GatewayServiceStub
from sidegate.transport import LONGEST_TIMEOUT_SECONDS, Caller

SNAPSHOT_SECONDS = 120.0
RETIRED = "GATEWAY_RETIRED"


@dataclass(frozen=True, slots=True)
class Membership:
    """What a Join gave: a session, and where the cell's events are, with the consumer that is made for us there.

    Times are in seconds.
    """

    session: str
    log: LogEpoch
    topic: Topic
    selection: Selection
    consumer: str
    lease: float
    fence_after: float


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The cell's table at a position of the log."""

    log_id: str
    position: int
    news: tuple[Versioned, ...]


@dataclass(frozen=True, slots=True)
class TableDigest:
    """What a table comes to; a control plane of 0.1.0 knows of no leases in it."""

    digest: bytes
    with_leases: bool


class ControlPlane:
    """Keeps the membership, and tells the fence of every answer that renews it."""

    def __init__(self, gateway: str, cell: str, caller: Caller, fence: Fence) -> None:
        self.gateway, self.cell = gateway, cell
        self._caller = caller
        self._stub = GatewayServiceStub(caller.channel)
        self._fence = fence
        self._membership: Membership | None = None
        self._joining = asyncio.Lock()
        self._joined = asyncio.Event()

    async def membership(self) -> Membership:
        """The present membership; waits for the first."""
        while self._membership is None:
            await self._joined.wait()
        return self._membership

    async def another_than(self, membership: Membership, seconds: float) -> Membership:
        """The present membership: as soon as it is another, or after a time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._membership is membership:
                    await self._joined.wait()
        return await self.membership()

    async def join(self) -> Membership:
        """Joins the cell, whatever there was before."""
        async with self._joining:
            return await self._join()

    async def join_again(self, void: Membership) -> Membership:
        """Joins the cell, unless that has been done since the void membership."""
        async with self._joining:
            if self._membership is not None and self._membership is not void:
                return self._membership
            return await self._join()

    async def _join(self) -> Membership:
        asked_at = self._fence.now()
        request = gateway_pb.JoinRequest(gateway_id=self.gateway, cell=self.cell)
        try:
            answer = await self._caller.ask(self._stub.Join, request)
        except errors.WrongState as refusal:
            if refusal.reason == RETIRED:
                self._fence.close()
            raise
        membership = _membership(answer, self.cell)
        self._membership = membership
        self._fence.after = membership.fence_after
        self._fence.hear(asked_at)
        joined, self._joined = self._joined, asyncio.Event()
        joined.set()
        return membership

    async def snapshot(self) -> Snapshot:
        header, news = gateway_pb.SnapshotHeader(), []
        request, received = gateway_pb.SnapshotRequest(cell=self.cell), 0
        try:
            async with (
                asyncio.timeout(SNAPSHOT_SECONDS),
                aclosing(self._caller.stream(self._stub.Snapshot, request)) as parts,
            ):
                async for part in parts:
                    if part.HasField("header"):
                        header = part.header
                        continue
                    received += 1
                    if (each := news_of(part.entry, self.gateway)) is not None:
                        news.append(each)
        except TimeoutError as error:
            raise errors.TimedOut(f"no whole snapshot within {SNAPSHOT_SECONDS:.0f} s") from error
        if not header.log_id or received != header.entries:
            raise errors.Unavailable(f"the snapshot broke off after {received} of {header.entries} entries")
        return Snapshot(header.log_id, header.position, tuple(news))

    async def events(self, after: int, through: int = 0) -> AsyncGenerator[RecordedEvent, None]:
        """The cell's events with after < position <= through; 0 is the end of the log as it is now."""
        request = gateway_pb.EventsRequest(cell=self.cell, after=after, through=through)
        async with aclosing(self._caller.stream(self._stub.Events, request)) as records:
            async for record in records:
                yield to_recorded_event(record)

    async def report(
        self, membership: Membership, position: int, facts: Iterable[Fact], health: Iterable[ServiceHealth] = ()
    ) -> bool:
        """Tells what is forwarded and how backends are; False where the membership is void, or of another log now."""
        asked_at = self._fence.now()
        request = gateway_pb.ReportStateRequest(
            gateway_id=self.gateway,
            session_id=membership.session,
            position=position,
            endpoints=map(fact_to_proto, facts),
            services=map(health_to_proto, health),
        )
        answer = await self._caller.ask(self._stub.ReportState, request)
        if answer.joined:
            self._fence.hear(asked_at)
        # NATS cannot tell us that the log goes on in another epoch: the stream that we may read ends, and no more.
        return answer.joined and LogEpoch(answer.log_id, answer.epoch) == membership.log

    async def probes(self) -> AsyncGenerator[Probe, None]:
        """Endpoints to try out, as they come; ends when the control plane stops, or this gateway asks again."""
        request = probe_pb.ProbesRequest(gateway_id=self.gateway, cell=self.cell)
        async with aclosing(self._caller.stream(self._stub.Probes, request)) as told:
            async for each in told:
                yield probe_of(each)

    async def answer_probe(self, probe: Probe, found: Found) -> None:
        await self._caller.ask(self._stub.AnswerProbe, answer_to(self.gateway, probe, found))

    async def report_flows(self, flows: Sequence[Flow]) -> None:
        """Tells of sessions that are over; again is no harm."""
        request = gateway_pb.ReportFlowsRequest(gateway_id=self.gateway, cell=self.cell, flows=flows)
        await self._caller.ask(self._stub.ReportFlows, request)

    async def report_traffic(self, request: traffic_pb.ReportTrafficRequest) -> bool:
        """Tells what has passed by now; False where the membership is void. Again, with its number, is no harm."""
        return (await self._caller.ask(self._stub.ReportTraffic, request)).joined

    async def digest(self, position: int) -> TableDigest:
        """The digest of the cell's table at a position. Raises WrongState where the log does not reach it."""
        request = gateway_pb.DigestRequest(cell=self.cell, position=position, gateway_id=self.gateway)
        answer = await self._caller.ask(self._stub.Digest, request, LONGEST_TIMEOUT_SECONDS)
        return TableDigest(answer.digest, with_leases=answer.gateway_id == self.gateway)


def _membership(answer: gateway_pb.JoinResponse, cell: str) -> Membership:
    return Membership(
        session=answer.session_id,
        log=LogEpoch(answer.log_id, answer.epoch),
        topic=Topic(answer.stream_prefix, ENDPOINT.program),
        selection=Selection(answer.subject_filter, partition=cell),
        consumer=answer.consumer,
        lease=answer.lease.ToTimedelta().total_seconds(),
        fence_after=answer.fence_after.ToTimedelta().total_seconds(),
    )
