"""What the agent shows on this machine: its table from three sources, and how it is doing."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, MutableSequence, Sequence

from google.protobuf.timestamp_pb2 import Timestamp

from services.common.clock import SECOND
from services.common.clock import Clock as WallClock
from services.common.errors import Unavailable
from services.common.rpc.calls import Context
from services.gateway_agent.annexes import expand
from services.gateway_agent.control_plane import ControlPlane
from services.gateway_agent.dataplane.port import Dataplane
from services.gateway_agent.desired import Desired
from services.gateway_agent.facts import Facts
from services.gateway_agent.fence import Fence
from services.gateway_agent.meter import Meter
from services.gateway_agent.reconciler import Reconciler
from services.gateway_agent.replay import replay
from services.gateway_agent.resolving.resolvers import Resolvers
from services.gateway_agent.table import Entry, ForwardingTable, Key, Kind, Resolver
from services.gateway_agent.wire import entry_to_proto
from services.gateway_agent.wire_traffic import traffic_response
from sidegate.api.gateway.v1 import gateway_service_pb2 as gateway_pb
from sidegate.api.gateway.v1 import traffic_pb2 as traffic_pb
from sidegate.api.gateway.v1.gateway_service_pb2_grpc import TableServiceServicer
from sidegate.errors import SidegateError

BREATH = 256
"""Entries after which others on the event loop have their turn."""

ORDER = {kind: place for place, kind in enumerate(Kind)}


class TableServicer(TableServiceServicer):
    def __init__(
        self,
        control: ControlPlane,
        dataplane: Dataplane,
        reconciler: Reconciler,
        *,
        desired: Desired,
        facts: Facts,
        fence: Fence,
        meter: Meter,
        resolvers: Resolvers,
        clock: WallClock,
    ) -> None:
        self._resolvers = resolvers
        self._control = control
        self._desired = desired
        self._dataplane = dataplane
        self._facts = facts
        self._reconciler = reconciler
        self._fence = fence
        self._meter = meter
        self._clock = clock

    async def GetTable(self, request: gateway_pb.GetTableRequest, context: Context) -> gateway_pb.GetTableResponse:
        match request.source:
            case gateway_pb.GetTableRequest.SOURCE_REPLAY:
                return await self._replayed(request)
            case gateway_pb.GetTableRequest.SOURCE_DESIRED:
                table = expand(self._desired.table(), self._desired.resolvers())
                shown = await self._shown(table, self._desired.position)
                self._name(shown.entries, lambda id_: self._desired.names(Key(Kind.ENDPOINT, id_)))
                self._resolve(shown.entries, self._desired.resolvers())
                return shown
            case _:
                position = self._reconciler.position
                shown = await self._shown(await self._dataplane.read(), position)
                self._name(shown.entries, self._resolvers.answers)
                self._resolve(shown.entries, self._resolvers.serving())
                await self._add(shown.withheld, ForwardingTable.of(self._facts.unmade()))
                for resolver, why in self._resolvers.waiting():
                    self._resolve(shown.withheld, [resolver], why)
                return shown

    async def GetStatus(self, request: gateway_pb.GetStatusRequest, context: Context) -> gateway_pb.GetStatusResponse:
        return gateway_pb.GetStatusResponse(
            gateway_id=self._control.gateway,
            cell=self._control.cell,
            position=self._desired.position,
            in_sync=self._reconciler.in_sync,
            heard_time=self._heard_time(),
            counters=await self._dataplane.counters(),
        )

    async def GetTraffic(
        self, request: traffic_pb.GetTrafficRequest, context: Context
    ) -> traffic_pb.GetTrafficResponse:
        reading, capacity = await self._meter.read(), self._dataplane.session_capacity()
        shown = await asyncio.to_thread(traffic_response, reading, request)
        shown.gateway_id, shown.cell, shown.session_capacity = self._control.gateway, self._control.cell, capacity
        return shown

    async def _replayed(self, request: gateway_pb.GetTableRequest) -> gateway_pb.GetTableResponse:
        until = {"until": request.time.ToNanoseconds()} if request.HasField("time") else {}
        try:
            replayed = await replay(self._control, request.position, **until)
        except SidegateError as error:
            raise Unavailable("LOG_UNAVAILABLE", f"the log cannot be read: {error}") from error
        shown = self._response(request.position or replayed.position)
        shown.events = replayed.events
        async for entry in _in_order(expand(replayed.table, replayed.resolvers)):
            shown.entries.add(entry=entry_to_proto(entry, self._control.gateway))
        self._name(shown.entries, lambda id_: replayed.names.get(Key(Kind.ENDPOINT, id_), ()))
        self._resolve(shown.entries, replayed.resolvers)
        return shown

    async def _shown(self, table: ForwardingTable, position: int) -> gateway_pb.GetTableResponse:
        shown = self._response(position)
        await self._add(shown.entries, table)
        return shown

    async def _add(self, to: MutableSequence[gateway_pb.TableEntry], table: ForwardingTable) -> None:
        async for entry in _in_order(table):
            told, difficulty = entry_to_proto(entry, self._control.gateway), self._facts.difficulty(entry.key)
            to.append(gateway_pb.TableEntry(entry=told, difficulty=difficulty))

    def _resolve(
        self, to: MutableSequence[gateway_pb.TableEntry], resolvers: Iterable[Resolver], difficulty: str = ""
    ) -> None:
        for resolver in sorted(resolvers, key=lambda each: each.vpc):
            told = entry_to_proto(resolver, self._control.gateway)
            to.append(gateway_pb.TableEntry(entry=told, difficulty=difficulty))

    def _name(self, shown: Iterable[gateway_pb.TableEntry], names: Callable[[str], Sequence[str]]) -> None:
        """The kernel's table has none."""
        for each in shown:
            if each.entry.HasField("endpoint"):
                each.entry.endpoint.dns_names.extend(names(each.entry.endpoint.endpoint_id))

    def _response(self, position: int) -> gateway_pb.GetTableResponse:
        return gateway_pb.GetTableResponse(gateway_id=self._control.gateway, cell=self._control.cell, position=position)

    def _heard_time(self) -> Timestamp:
        heard = Timestamp()
        heard.FromNanoseconds(self._clock() - int((self._fence.now() - self._fence.heard) * SECOND))
        return heard


async def _in_order(table: ForwardingTable) -> AsyncIterator[Entry]:
    """By kind and id, with pauses: whoever looks at a large table must not hold up forwarding."""
    for number, key in enumerate(sorted(table.entries, key=lambda key: (ORDER[key.kind], key.id)), 1):
        yield table.entries[key]
        if number % BREATH == 0:
            await asyncio.sleep(0)
