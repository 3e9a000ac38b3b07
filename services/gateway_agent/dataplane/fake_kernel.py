"""What the fake data plane has for a kernel: a table, sessions, and the rules by which packets pass."""

from collections import Counter as Tally
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Flag, auto
from hashlib import blake2b
from typing import Self

from services.gateway_agent.backend_health import Failure
from services.gateway_agent.dataplane.entries import Entries
from services.gateway_agent.dataplane.fake_flows import FakeFlows
from services.gateway_agent.dataplane.fake_limits import Meters, complaint_of_lists, is_nobodys
from services.gateway_agent.dataplane.fake_sessions import BOTH, Session
from services.gateway_agent.dataplane.fake_ways import is_told_otherwise, mapping_of, sources, way_of
from services.gateway_agent.dataplane.maps import Counter
from services.gateway_agent.dataplane.port import NotReady
from services.gateway_agent.dataplane.shares import SLOTS, in_order, shares
from services.gateway_agent.flows import CUT
from services.gateway_agent.table import (
    Address,
    Affinity,
    Backend,
    ClientIdentity,
    Endpoint,
    PortMapping,
    Protocol,
    Service,
)
from services.gateway_agent.targets import Interface, Target
from services.gateway_agent.traffic import Traffic

SOURCE_PORTS = range(1024, 65536)


class TcpFlags(Flag):
    NONE = 0
    SYN = auto()
    ACK = auto()
    FIN = auto()
    RST = auto()


@dataclass(frozen=True, slots=True)
class Flow:
    """Packets of one session in one direction, as they are in one VPC."""

    vpc: str
    protocol: Protocol
    source: Address
    source_port: int
    destination: Address
    destination_port: int

    def slot(self) -> int:
        """The slot of a table of shares that the flow's hash leads to."""
        text = f"{self.protocol} {self.source}:{self.source_port} {self.destination}:{self.destination_port}"
        return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big") % SLOTS

    def turned_round(self) -> Self:
        return replace(
            self,
            source=self.destination,
            source_port=self.destination_port,
            destination=self.source,
            destination_port=self.source_port,
        )


@dataclass(frozen=True, slots=True)
class Packet:
    """A packet in a VPC: sent there, or come out there."""

    flow: Flow
    flags: TcpFlags = TcpFlags.NONE
    size: int = 40  # bytes, with the headers of IP and TCP
    told: tuple[Address, int] | None = None  # whom a SYN says that it is from, beside its source

    @property
    def opens(self) -> bool:
        """Whether a session may begin with it."""
        return self.flow.protocol is Protocol.UDP or self.flags == TcpFlags.SYN

    @property
    def confirms(self) -> bool:
        return self.flow.protocol is Protocol.UDP or TcpFlags.ACK in self.flags

    @property
    def finishes(self) -> bool:
        return TcpFlags.FIN in self.flags

    @property
    def resets(self) -> bool:
        return TcpFlags.RST in self.flags

    def answer(self, flags: TcpFlags = TcpFlags.NONE) -> "Packet":
        return Packet(self.flow.turned_round(), flags)


class Refused(Exception):
    """The packet does not pass."""

    def __init__(self, reason: Counter) -> None:
        super().__init__(reason.value)
        self.reason = reason


class FakeKernel:
    """What outlives the agent: give the same one to the next FakeDataplane, as a restart would find it.

    Whatever attachments reach is there and every host answers, until a test says otherwise. `devices` says which
    device an interface's selector means, where it is not one of its own.
    """

    def __init__(self) -> None:
        self.entries = Entries()
        self.sessions: dict[Flow, Session] = {}
        self.deadlines: dict[str, float] = {}  # of endpoints that are draining
        self.counts: Tally[Counter] = Tally()
        self.meters = Meters()
        self.passed: dict[str, Traffic] = {}  # of endpoints; how many sessions there are is counted when asked
        self.missing: set[Target] = set()
        self.devices: dict[Interface, str] = {}
        self.lost_devices: set[str] = set()  # by VPC
        self.silent_hosts: set[tuple[str, Address]] = set()
        self.source_ports = SOURCE_PORTS
        self.session_capacity = 1_000_000
        self.open_ports: set[tuple[str, Address, int]] = set()
        self.unhealthy: dict[tuple[str, Address], Failure] = {}  # what hosts answer to health checks
        self.left_out: dict[str, frozenset[Address]] = {}  # by service, backends that are found and not well
        self.flows = FakeFlows()
        self.counting = "0"  # another word where `passed` has begun anew

    def check_reach(self, vpc: str, target: Target) -> None:
        """Raises NotReady if the target is not there, or its device carries another VPC."""
        if target in self.missing:
            raise NotReady(f"{target} is not there")
        for other in self.entries.attachments():
            if other.vpc != vpc and self._device(other.target) == self._device(target):
                raise NotReady(f"{target} already carries VPC {other.vpc}")

    def _device(self, target: Target) -> str:
        """What makes two targets one device."""
        return self.devices.get(target, str(target)) if isinstance(target, Interface) else str(target)

    def takers(self, service: Service) -> tuple[Backend, ...]:
        """The backends that take new sessions."""
        left_out = self.left_out.get(service.id, frozenset())
        return tuple(each for each in self.able(service) if each.address not in left_out)

    def able(self, service: Service) -> tuple[Backend, ...]:
        """The backends that could: they can be reached, and do not drain."""
        if service.vpc in self.lost_devices:
            return ()
        return in_order(
            [
                each
                for each in service.backends
                if not (each.draining or (service.vpc, each.address) in self.silent_hosts)
            ]
        )

    def forward(self, packet: Packet, now: float) -> Packet:
        """The packet as it comes out on the other side. Raises Refused."""
        if packet.flow.vpc in self.lost_devices or self.entries.attachment(packet.flow.vpc) is None:
            raise Refused(Counter.REFUSED_NOT_ATTACHED)
        session = self._follow(packet, now) or self._open(packet, now)
        _, service = self._rules(session.endpoint)
        if not self.meters.may_pass(session.endpoint, service.limits, packet.size, now):
            raise Refused(Counter.REFUSED_LIMIT_RATE)
        session.note(packet, now)
        out = (session.provider if packet.flow == session.consumer else session.consumer).turned_round()
        if out.vpc in self.lost_devices:
            raise Refused(Counter.REFUSED_NO_DEVICE)
        self._count(session, packet)
        return Packet(out, packet.flags, packet.size, self._tell(session, packet))

    def _tell(self, session: Session, packet: Packet) -> tuple[Address, int] | None:
        if session.identity is not ClientIdentity.TOA or packet.flow != session.consumer:
            return None
        if TcpFlags.SYN not in packet.flags:
            return None
        self.counts[Counter.TOA_ADDED] += 1
        return packet.flow.source, packet.flow.source_port

    def traffic(self) -> Mapping[str, Traffic]:
        listed = Tally(session.endpoint for session in self.sessions.values())  # twice, once per direction
        return {
            endpoint.id: replace(self.passed.get(endpoint.id, Traffic()), sessions=listed[endpoint.id] // BOTH)
            for endpoint in self.entries.endpoints()
        }

    def count_refused(self, packet: Packet, reason: Counter) -> None:
        """Counts it for everybody, and for its endpoint where one is known."""
        self.counts[reason] += 1
        session = self.sessions.get(packet.flow)
        found = self.entries.endpoint_for(packet.flow.vpc, packet.flow.destination)
        if endpoint := session.endpoint if session else found.id if found else "":
            passed = self.passed.get(endpoint, Traffic())
            refused = Tally(passed.refused) + Tally([reason.value.removeprefix("refused_")])
            self.passed[endpoint] = replace(passed, refused=dict(refused))
        if found and packet.opens:
            self.flows.refused(packet, found, reason.value.removeprefix("refused_"))

    def _count(self, session: Session, packet: Packet) -> None:
        passed = self.passed.get(session.endpoint, Traffic())
        if packet.flow == session.consumer:
            passed = replace(passed, packets_in=passed.packets_in + 1, bytes_in=passed.bytes_in + packet.size)
        else:
            passed = replace(passed, packets_out=passed.packets_out + 1, bytes_out=passed.bytes_out + packet.size)
        self.passed[session.endpoint] = passed
        self.flows.passed(session.consumer, packet, self.entries.endpoint(session.endpoint))

    def cut(self, endpoint: str) -> None:
        self._drop([session for session in self.sessions.values() if session.endpoint == endpoint], CUT)

    def collect(self, now: float) -> int:
        return self._drop([session for session in self.sessions.values() if self._is_over(session, now)])

    def _is_over(self, session: Session, now: float) -> bool:
        _, service = self._rules(session.endpoint)
        return session.is_over(now, service.timeouts)

    def _drop(self, sessions: list[Session], verdict: str = "") -> int:
        """Each is listed twice, once per direction."""
        for session in sessions:
            self.flows.ended(session.consumer, verdict or session.ending)
            self.sessions.pop(session.consumer, None)
            self.sessions.pop(session.provider, None)
        return len(sessions) // BOTH

    def _follow(self, packet: Packet, now: float) -> Session | None:
        session = self.sessions.get(packet.flow)
        asks = TcpFlags.SYN in packet.flags and TcpFlags.ACK not in packet.flags
        if session is None or (asks and packet.flow == session.provider):
            return None  # only consumers open connections
        self._check_drain(session, packet, now)
        endpoint, service = self._rules(session.endpoint)
        anew = session.closed or is_told_otherwise(session, endpoint, service)
        if anew and packet.flow == session.consumer and packet.flags == TcpFlags.SYN:
            self._drop([session, session])
            return None
        self._check_lists(endpoint, session.consumer)
        mapping = self._mapping(service, session.consumer)
        if session.identity is not ClientIdentity.PROXY and mapping.server_port != session.provider.source_port:
            raise Refused(Counter.REFUSED_NO_PORT)
        return session

    def _check_drain(self, session: Session, packet: Packet, now: float) -> None:
        endpoint = self.entries.endpoint(session.endpoint)
        if endpoint is None or not endpoint.draining_until:
            return
        if packet.flags == TcpFlags.SYN:
            raise Refused(Counter.REFUSED_DRAINING)
        if now >= self.deadlines[endpoint.id]:
            raise Refused(Counter.REFUSED_STALE_EPOCH)

    def _open(self, packet: Packet, now: float) -> Session:
        flow = packet.flow
        if flow.protocol is Protocol.TCP and packet.flags != TcpFlags.SYN:
            raise Refused(Counter.REFUSED_NO_SESSION)
        found = self.entries.endpoint_for(flow.vpc, flow.destination)
        if found is None:
            raise Refused(Counter.REFUSED_NO_ENDPOINT)
        endpoint, service = self._rules(found.id)
        if endpoint.draining_until:
            raise Refused(Counter.REFUSED_DRAINING)
        if is_nobodys(flow.source) or self.entries.endpoint_for(flow.vpc, flow.source):
            raise Refused(Counter.REFUSED_SPOOFED)
        self._check_lists(endpoint, flow)
        mapping = self._mapping(service, flow)
        way = way_of(self.entries, endpoint, service, mapping)
        takers = self.takers(way.service) if way else ()
        if not way or not takers:
            raise Refused(way.without_backend if way else Counter.REFUSED_NO_PROXY)
        sessions = self.traffic()[endpoint.id].sessions
        if complaint := self.meters.complaint_of_opening(endpoint.id, service.limits, sessions, now):
            raise Refused(complaint)
        affine = way.service.affinity is Affinity.SOURCE_ADDRESS
        asked = Flow(flow.vpc, Protocol.TCP, flow.source, 0, endpoint.address, 0)
        chosen_by = asked if affine else flow
        backend = takers[shares(takers)[chosen_by.slot()]].address
        client, ends = (flow.source, flow.source_port), (flow.protocol, backend, way.mapping.server_port)
        seen = sources(endpoint, way.service, client, self.source_ports, flow.slot())
        ways = (Flow(way.service.vpc, *ends, *each) for each in seen)
        provider = next((each for each in ways if each not in self.sessions), None)
        if provider is None:
            raise Refused(Counter.REFUSED_NO_SOURCE_PORT)
        session = Session(endpoint.id, flow, provider, now, way.identity)
        self.sessions[flow] = self.sessions[provider] = session
        self.counts[Counter.SESSION_NEW] += 1
        passed = self.passed.get(endpoint.id, Traffic())
        self.passed[endpoint.id] = replace(passed, sessions_made=passed.sessions_made + 1)
        return session

    def _rules(self, endpoint: str) -> tuple[Endpoint, Service]:
        """Sessions of an endpoint that went are cut, and an endpoint does not go before its service."""
        found = self.entries.endpoint(endpoint)
        service = self.entries.service(found.service) if found else None
        if found is None or service is None:
            raise Refused(Counter.REFUSED_NO_ENDPOINT)
        return found, service

    def _check_lists(self, endpoint: Endpoint, consumer: Flow) -> None:
        to = consumer.destination, consumer.protocol, consumer.destination_port
        if complaint := complaint_of_lists(endpoint, consumer.source, to):
            raise Refused(complaint)

    def _mapping(self, service: Service, consumer: Flow) -> PortMapping:
        mapping = mapping_of(service, consumer.protocol, consumer.destination_port)
        if mapping is None:
            raise Refused(Counter.REFUSED_NO_PORT)
        return mapping
