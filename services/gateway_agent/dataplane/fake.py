"""A data plane that executes its table on packets one by one, so that a test can ask where a packet comes out."""

import time
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import replace

from services.common.clock import SECOND
from services.gateway_agent.backend_health import HealthFigures, ServiceHealth
from services.gateway_agent.captures import Capture, Side
from services.gateway_agent.dataplane.difficulties import Difficulties, no_answer
from services.gateway_agent.dataplane.endpoint_sources import owns_sources
from services.gateway_agent.dataplane.entries import Entries
from services.gateway_agent.dataplane.fake_capture import FakeCapture
from services.gateway_agent.dataplane.fake_health import FakeHealth
from services.gateway_agent.dataplane.fake_kernel import FakeKernel, Packet, Refused
from services.gateway_agent.dataplane.fake_reach import fake_reach
from services.gateway_agent.dataplane.fake_trace import fake_trace
from services.gateway_agent.dataplane.maps import Counter
from services.gateway_agent.dataplane.port import DataplaneError
from services.gateway_agent.flows import FlowRecord
from services.gateway_agent.packet_trace import Opening, PacketTrace
from services.gateway_agent.reach import Reach
from services.gateway_agent.table import (
    Address,
    Attachment,
    Change,
    Endpoint,
    Entry,
    ForwardingTable,
    Key,
    Put,
    Remove,
    Service,
)
from services.gateway_agent.targets import Target
from services.gateway_agent.traffic import Traffic


class FakeDataplane:
    """Implements `port.Dataplane`; `send` is what the wire is to the real one."""

    def __init__(
        self,
        kernel: FakeKernel | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self.kernel = kernel or FakeKernel()
        self._clock = clock
        self._wall_clock = wall_clock
        self._difficulties = Difficulties()
        self._health = FakeHealth(self.kernel, clock, wall_clock)
        self._open = False
        self.captures: list[FakeCapture] = []

    # ---- the port

    async def open(self) -> None:
        self._open = True
        self._health.adopt()
        self._judge()

    async def read(self) -> ForwardingTable:
        return self._kernel.entries.table()

    async def apply(self, change: Change) -> None:
        entries = self._kernel.entries
        match change:
            case Put(entry):
                entries.check_put(entry)
                self._prepare(entry)
                entries.put(entry)
                if isinstance(entry, Service):
                    self._health.watch(entry)
            case Remove(key):
                entries.check_remove(key)
                self._kernel.cut(key.id)
                self._kernel.passed.pop(key.id, None)
                entries.remove(key)
        self._judge()

    def difficulties(self) -> Mapping[Key, str]:
        return self._difficulties.all()

    def health(self, service: str) -> ServiceHealth | None:
        return self._health.of(service)

    def take_health_news(self) -> frozenset[str]:
        return self._difficulties.take_health_news()

    def health_figures(self) -> HealthFigures:
        return self._health.figures()

    async def wait_for_news(self) -> None:
        await self._difficulties.wait_for_news()

    async def counters(self) -> Mapping[str, int]:
        counts = self._kernel.counts
        return {counter.value: counts[counter] for counter in Counter}

    async def traffic(self) -> Mapping[str, Traffic]:
        return self._kernel.traffic()

    def counting(self) -> str:
        return self._kernel.counting

    async def traffic_of(self, endpoint: str) -> Traffic | None:
        passed = self._kernel.traffic().get(endpoint)
        return replace(passed, refused={}) if passed else None

    async def collect(self) -> int:
        return self._kernel.collect(self._clock())

    def sessions(self) -> int:
        return len(self._kernel.sessions) // 2

    def session_capacity(self) -> int:
        return self.kernel.session_capacity

    async def reach(self, endpoint: str, seconds: float) -> Reach | None:
        return fake_reach(self._kernel, endpoint)

    async def trace(self, endpoint: str, opening: Opening) -> PacketTrace | None:
        return fake_trace(self._kernel, endpoint, opening, self._clock())

    def capture(self, endpoint: str, snap: int) -> Capture | None:
        if self._kernel.entries.endpoint(endpoint) is None:
            return None
        self.captures = [each for each in self.captures if not each.closed]
        self.captures.append(FakeCapture(endpoint, snap))
        return self.captures[-1]

    def sample_flows(self, one_of: int) -> None:
        self._kernel.flows.sample(one_of)

    def flows(self) -> AsyncGenerator[FlowRecord, None]:
        return self._kernel.flows.records()

    def lost_flows(self) -> int:
        return self._kernel.flows.lost

    async def close(self) -> None:
        self._open = False

    async def uninstall(self) -> None:
        await self.close()
        self.kernel.entries = Entries()
        self.kernel.sessions.clear()
        self.kernel.counts.clear()
        self.kernel.passed.clear()
        self.kernel.counting += "'"
        self._judge()

    # ---- the world around it

    async def send(self, packet: Packet) -> Packet | None:
        """The packet as it comes out, and in which VPC; None if it does not. Also while the agent is away."""
        try:
            sent = self.kernel.forward(packet, self._clock())
        except Refused as refusal:
            self.kernel.count_refused(packet, refusal.reason)
            sent = None
        else:
            self.kernel.counts[Counter.FORWARDED] += 1
        self._show(packet, sent)
        return sent

    def lose(self, target: Target) -> None:
        """What an attachment reaches goes, its device with it: NotReady until `restore`, and then a new Put."""
        self.kernel.missing.add(target)
        self.kernel.lost_devices |= {
            attachment.vpc for attachment in self.kernel.entries.attachments() if attachment.target == target
        }
        self._judge()

    def restore(self, target: Target) -> None:
        self.kernel.missing.discard(target)

    def silence(self, vpc: str, address: Address) -> None:
        """The host no longer answers ARP."""
        self.kernel.silent_hosts.add((vpc, address))
        self._judge()

    def answer(self, vpc: str, address: Address) -> None:
        self.kernel.silent_hosts.discard((vpc, address))
        self._judge()

    def check(self) -> None:
        """One health check of each backend, now; `kernel.unhealthy` says what comes of it."""
        self._health.check()
        self._judge()

    # ---- inside

    @property
    def _kernel(self) -> FakeKernel:
        if not self._open:
            raise DataplaneError("the data plane is not open")
        return self.kernel

    def _show(self, packet: Packet, sent: Packet | None) -> None:
        """To whoever captures packets of its endpoint: as it came in, and as it went out."""
        session = self.kernel.sessions.get(packet.flow)
        found = self.kernel.entries.endpoint_for(packet.flow.vpc, packet.flow.destination)
        endpoint = session.endpoint if session else found.id if found else ""
        from_consumer = session is None or packet.flow == session.consumer
        sides = (Side.CONSUMER, Side.PROVIDER) if from_consumer else (Side.PROVIDER, Side.CONSUMER)
        for capture in self.captures:
            if capture.endpoint == endpoint:
                capture.see(sides[0], packet.flow, outbound=False)
                if sent is not None:
                    capture.see(sides[1], sent.flow, outbound=True)

    def _prepare(self, entry: Entry) -> None:
        """Cuts what another entry under the key must not inherit."""
        entries = self.kernel.entries
        match entry:
            case Attachment(vpc, target):
                self.kernel.check_reach(vpc, target)
                self.kernel.lost_devices.discard(vpc)
            case Service():
                service = entries.service(entry.id)
                if service and service.vpc != entry.vpc:
                    for user in entries.users(entry.key):
                        self.kernel.cut(user.key.id)
            case Endpoint():
                endpoint = entries.endpoint(entry.id)
                until = entry.draining_until
                if endpoint and replace(_grown(endpoint, entry), draining_until=until) != entry:
                    self.kernel.cut(entry.id)
                self.kernel.deadlines[entry.id] = self._clock() + max(0, until - self._wall_clock()) / SECOND

    def _judge(self) -> None:
        if altered := self._health.choose():
            self._difficulties.note_health(altered)
        for key in set(self._difficulties.all()) - {entry.key for entry in self.kernel.entries}:
            self._difficulties.clear(key)
        for attachment in self.kernel.entries.attachments():
            lost = attachment.vpc in self.kernel.lost_devices
            self._difficulties.judge(attachment.key, f"{attachment.target} went away" if lost else None)
        for service in self.kernel.entries.services():
            silent = no_answer(service, self.kernel.able(service))
            self._difficulties.judge(service.key, silent or self._health.why_none_is_well(service))


def _grown(before: Endpoint, after: Endpoint) -> Endpoint:
    """The endpoint with the proxy and the lists of what it lets in that it has now, and with the source addresses that
    came behind those that it had; as it was, if others went."""
    if owns_sources(before) != owns_sources(after):
        return before
    had, has = before.more_sources, after.more_sources
    listed = replace(before, allowed=after.allowed, routes=after.routes, proxy=after.proxy)
    return replace(listed, more_sources=has) if has[: len(had)] == had else listed
