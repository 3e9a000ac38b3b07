"""What has passed, told to the control plane every few seconds: counts as they are now, of those that have changed."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence

import structlog

from services.common.clock import SECOND
from services.gateway_agent.control_plane import ControlPlane, Membership
from services.gateway_agent.dataplane.port import Dataplane, DataplaneError
from services.gateway_agent.meter import SHARE, Meter
from services.gateway_agent.pace import Pace
from services.gateway_agent.untold import Told, Untold
from services.gateway_agent.wire_traffic import traffic_to_proto
from sidegate.api.gateway.v1 import traffic_pb2 as traffic_pb
from sidegate.errors import SidegateError, TimedOut, Unavailable

MOST_AT_ONCE = 500  # it is added up in one go
PREFIX = "refused_"
LONG_SECONDS = 60.0
"""Until it is tried again where the control plane will not hear of it: an older one, say."""

log = structlog.get_logger(__name__)

Condition = Callable[[], traffic_pb.GatewayCondition]


class TrafficReport:
    """What is not answered is told again as it was, under its number: so nothing is counted twice."""

    def __init__(
        self, control: ControlPlane, dataplane: Dataplane, meter: Meter, *, condition: Condition, pace: Pace
    ) -> None:
        self._control, self._dataplane, self._meter = control, dataplane, meter
        self._condition, self._pace = condition, pace
        self._membership: Membership | None = None
        self._number, self._read_at = 0, 0.0
        self._untold = Untold()
        self._unanswered: deque[traffic_pb.ReportTrafficRequest] = deque()
        self._failing = False
        meter.parted = self._untold.part

    async def run(self) -> None:
        """Tells until cancelled, as often as reading costs little."""
        while True:
            pause = self._pace.tell
            try:
                await self._tell(await self._control.membership())
                self._failing = False
            except (SidegateError, DataplaneError, OSError) as error:
                if not self._failing:  # said once, not at every attempt
                    log.warning("what has passed cannot be told, trying again", why=str(error))
                self._failing = True
                if isinstance(error, SidegateError) and not isinstance(error, Unavailable | TimedOut):
                    pause = LONG_SECONDS
            await asyncio.sleep(max(pause, SHARE * self._meter.cost))

    async def _tell(self, membership: Membership) -> None:
        if membership is not self._membership:
            self._membership, self._number, self._read_at = membership, 0, 0.0
            self._untold.forget()
            self._unanswered.clear()
        if not self._unanswered:
            self._unanswered.extend(await self._requests(membership))
        while self._unanswered:
            if not await self._control.report_traffic(self._unanswered[0]):
                await self._control.join_again(membership)
                return
            self._unanswered.popleft()

    async def _requests(self, membership: Membership) -> list[traffic_pb.ReportTrafficRequest]:
        self._untold.begin()
        reading, counters = await self._meter.read(), await self._dataplane.counters()
        before, self._read_at = self._read_at, time.monotonic()
        told = self._untold.news(reading.traffic)
        requests = [self._request(membership, part) for part in _parts(told)]
        last = requests[-1]
        last.complete = True
        last.condition.CopyFrom(self._condition())
        last.condition.sessions = sum(each.sessions for each in reading.traffic.values())
        last.condition.refused.update(_refused(counters))
        if before:
            last.since_last.FromNanoseconds(int((self._read_at - before) * SECOND))
        return requests

    def _request(self, membership: Membership, part: Sequence[Told]) -> traffic_pb.ReportTrafficRequest:
        self._number += 1
        return traffic_pb.ReportTrafficRequest(
            gateway_id=self._control.gateway,
            session_id=membership.session,
            number=self._number,
            counting=self._dataplane.counting(),
            endpoints=[
                traffic_pb.CountedTraffic(endpoint_id=id_, traffic=traffic_to_proto(passed)) for id_, passed in part
            ],
        )


def _parts(told: Sequence[Told]) -> Sequence[Sequence[Told]]:
    """As many at once as a report takes; at least one part, for the gateway's condition."""
    return [told[at : at + MOST_AT_ONCE] for at in range(0, len(told) or 1, MOST_AT_ONCE)]


def _refused(counters: Mapping[str, int]) -> dict[str, int]:
    """By reason, of those that there are."""
    return {name.removeprefix(PREFIX): each for name, each in counters.items() if name.startswith(PREFIX) and each}
