"""A model of the forwarding: what becomes of a frame by the rules of docs/design/dataplane.md, without maps.

model = Forwarding(capacity=64)
model.attach("blue", 1, Device(ifindex, mac))     # the VPC's number, which only hashes depend on
model.resolve("blue", backend, mac)
model.put(service); model.put(endpoint)
verdict = model.receive(frame, ifindex, now)

It knows no slot, epoch or version: a session remembers which life of its endpoint let it in, and is cut when that ends.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address

from services.gateway_agent.dataplane.maps import Counter
from services.gateway_agent.dataplane.shares import in_order, shares
from services.gateway_agent.table import Address, Backend, Endpoint, PortMapping, Protocol, Service
from tests.support.models.forwarding_hash import slot_of, source_ports
from tests.support.models.forwarding_packets import (
    ARP_LENGTH,
    ETHERNET,
    ETHERNET_AND_IPV4,
    REPLY,
    REQUEST,
    SOURCE_RANGE,
    TCP,
    UDP,
    EtherType,
    Packet,
    Refused,
    Tuple,
    answered,
    ether_type,
    read_packet,
    readdressed,
)
from tests.support.models.forwarding_sessions import Session, Sessions, Side

PROTOCOLS = {TCP: Protocol.TCP, UDP: Protocol.UDP}


@dataclass(frozen=True, slots=True)
class Device:
    """What faces a VPC; an `mtu` of 0 is not looked at."""

    ifindex: int
    mac: bytes
    mtu: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is counted, in order, and what comes out of which device; the last count says what became of the frame."""

    counts: tuple[Counter, ...]
    frame: bytes | None = None
    device: int = 0

    @property
    def kept(self) -> bool:
        """Whether the frame goes on into this machine: ARP that the agent learns from."""
        return self.counts[-1] is Counter.ARP_PASSED


@dataclass(frozen=True, slots=True)
class Grant:
    """What the table says to a client that may connect; the backend by the number of its VPC and its MAC address."""

    endpoint: Endpoint
    mapping: PortMapping
    backend: Backend
    vpc: int
    mac: bytes

    def providers(self, client: Tuple) -> Iterator[Tuple]:
        """The tuples that the backend's packets may have, in the order in which they are tried."""
        for port in source_ports(client):
            yield Tuple(
                source=self.backend.address,
                destination=self.endpoint.source_address,
                source_port=self.mapping.server_port,
                destination_port=port,
                vpc=self.vpc,
                protocol=client.protocol,
            )


@dataclass(slots=True)
class Forwarding:
    """`capacity` is how many entries the table of sessions has, two for each session."""

    capacity: int
    devices: dict[int, Device] = field(default_factory=dict)  # by number of the VPC; none: not in use
    numbers: dict[str, int] = field(default_factory=dict)
    services: dict[str, Service] = field(default_factory=dict)
    endpoints: dict[str, Endpoint] = field(default_factory=dict)
    macs: dict[tuple[str, Address], bytes] = field(default_factory=dict)
    lives: dict[str, int] = field(default_factory=dict)  # of endpoints that are in the table
    sessions: Sessions = field(default_factory=Sessions)
    begun: int = 0

    # ---- the table

    def attach(self, vpc: str, number: int, device: Device | None) -> None:
        """Without a device where it was lost."""
        self.numbers[vpc] = number
        if device is None:
            self.devices.pop(number, None)
        else:
            self.devices[number] = device

    def resolve(self, vpc: str, address: Address, mac: bytes | None) -> None:
        if mac is None:
            self.macs.pop((vpc, address), None)
        else:
            self.macs[vpc, address] = mac

    def put(self, entry: Service | Endpoint) -> None:
        match entry:
            case Service():
                known = self.services.get(entry.id)
                self.services[entry.id] = entry
                if known and known.vpc != entry.vpc:
                    self._begin(*(each.id for each in self.endpoints.values() if each.service == entry.id))
            case Endpoint():
                before = self.endpoints.get(entry.id)
                self.endpoints[entry.id] = entry
                if before is None or not _goes_on(before, entry):
                    self._begin(entry.id)

    def remove(self, id_: str) -> None:
        self.services.pop(id_, None)
        self.endpoints.pop(id_, None)
        self.lives.pop(id_, None)

    def _begin(self, *endpoints: str) -> None:
        """Another life: what was let in before is cut."""
        for each in endpoints:
            self.begun += 1
            self.lives[each] = self.begun

    def takers(self, service: Service) -> Sequence[Backend]:
        """The backends that take new sessions."""
        answering = [each for each in service.backends if (service.vpc, each.address) in self.macs]
        return in_order([each for each in answering if not each.draining])

    # ---- frames

    def receive(self, frame: bytes, ifindex: int, now: int) -> Verdict:
        """What becomes of a frame that came in by a device, `now` (nanoseconds since 1970)."""
        counts: list[Counter] = []
        try:
            out, device = self._receive(frame, ifindex, now, counts)
        except Refused as refused:
            return Verdict((*counts, refused.reason))
        return Verdict(tuple(counts), out, device)

    def _receive(self, frame: bytes, ifindex: int, now: int, counts: list[Counter]) -> tuple[bytes | None, int]:
        number = next((number for number, device in self.devices.items() if device.ifindex == ifindex), None)
        if number is None:
            raise Refused(Counter.REFUSED_NOT_ATTACHED)
        match ether_type(frame):
            case EtherType.IPV4:
                return self._forward(frame, number, now, counts)
            case EtherType.ARP:
                return self._answer(frame, number, counts)
            case _:
                raise Refused(Counter.REFUSED_PROTOCOL)

    def _answer(self, frame: bytes, number: int, counts: list[Counter]) -> tuple[bytes | None, int]:
        if len(frame) < ARP_LENGTH or frame[14:20] != ETHERNET_AND_IPV4:
            raise Refused(Counter.REFUSED_MALFORMED)
        operation, sender, target = frame[20:22], frame[28:32], frame[38:42]
        if operation == REPLY or sender == target:
            counts.append(Counter.ARP_PASSED)
            return None, 0
        if operation != REQUEST or not self._is_ours(number, IPv4Address(target)):
            raise Refused(Counter.REFUSED_ARP)
        counts.append(Counter.ARP_ANSWERED)
        device = self.devices[number]
        return answered(frame, device.mac), device.ifindex

    def _is_ours(self, number: int, address: IPv4Address) -> bool:
        return address in SOURCE_RANGE or self.endpoint_at(number, address) is not None

    def _forward(self, frame: bytes, number: int, now: int, counts: list[Counter]) -> tuple[bytes, int]:
        packet = read_packet(frame, number, self.devices[number].mac)
        side = self._follow(packet, now) or self._open(packet, counts)
        out = self.devices.get(side.becomes.vpc)
        if out is None:
            raise Refused(Counter.REFUSED_NO_DEVICE)
        if out.mtu and len(frame) - ETHERNET > out.mtu:
            raise Refused(Counter.REFUSED_TOO_LONG)
        counts.append(Counter.FORWARDED)
        return readdressed(frame, side.becomes, out.mac, side.next_hop), out.ifindex

    # ---- sessions

    def _follow(self, packet: Packet, now: int) -> Side | None:
        """The side of a session that the packet is of; none where it may begin one. Raises Refused."""
        found = self.sessions.find(packet.tuple)
        if found is None:
            if not packet.opens:
                raise Refused(Counter.REFUSED_NO_SESSION)
            return None
        session, side = found
        endpoint = self.endpoints.get(session.endpoint)
        cut = self.is_cut(session)
        if endpoint and not cut and endpoint.draining_until:
            if packet.tuple.protocol == TCP and packet.opens:
                raise Refused(Counter.REFUSED_DRAINING)
            cut = now >= endpoint.draining_until
        if side is session.consumer and packet.opens and (cut or session.is_over):
            self.sessions.remove(session)
            return None
        if endpoint is None or cut:
            raise Refused(Counter.REFUSED_STALE_EPOCH)
        self._check_source(endpoint, session.consumer.tuple)
        published = self._mapping(endpoint, session.consumer.tuple)
        if published.server_port != session.provider.tuple.source_port:
            raise Refused(Counter.REFUSED_NO_PORT)
        side.note(packet)
        session.idle = 0
        return side

    def _open(self, packet: Packet, counts: list[Counter]) -> Side:
        client = packet.tuple
        grant = self.grant(client)
        provider = next((each for each in grant.providers(client) if not self.sessions.holds(each)), None)
        if provider is None:
            raise Refused(Counter.REFUSED_NO_SOURCE_PORT)
        if len(self.sessions) + 2 > self.capacity:
            raise Refused(Counter.REFUSED_TABLE_FULL)
        session = Session(
            endpoint=grant.endpoint.id,
            life=self.lives[grant.endpoint.id],
            consumer=Side(client, _turned(provider), grant.mac, confirmed=client.protocol == UDP),
            provider=Side(provider, _turned(client), packet.sender),
        )
        self.sessions.add(session)
        counts.append(Counter.SESSION_NEW)
        return session.consumer

    def grant(self, client: Tuple) -> Grant:
        """What a client that opens a session gets. Raises Refused."""
        endpoint = self.endpoint_at(client.vpc, client.destination)
        if endpoint is None:
            raise Refused(Counter.REFUSED_NO_ENDPOINT)
        if endpoint.draining_until:
            raise Refused(Counter.REFUSED_DRAINING)
        self._check_source(endpoint, client)
        mapping = self._mapping(endpoint, client)
        service = self.services[endpoint.service]
        backend = self._choose_backend(service, client)
        return Grant(endpoint, mapping, backend, self.numbers[service.vpc], self.macs[service.vpc, backend.address])

    def _choose_backend(self, service: Service, client: Tuple) -> Backend:
        takers = tuple(self.takers(service))
        if not takers:
            raise Refused(Counter.REFUSED_NO_BACKEND)
        return takers[shares(takers)[slot_of(client)]] if len(takers) > 1 else takers[0]

    # ---- rules

    def is_cut(self, session: Session) -> bool:
        """Whether the life of its endpoint that let it in has ended."""
        return self.lives.get(session.endpoint) != session.life

    def endpoint_at(self, number: int, address: Address) -> Endpoint | None:
        for endpoint in self.endpoints.values():
            if self.numbers[endpoint.vpc] == number and endpoint.address == address:
                return endpoint
        return None

    def _check_source(self, endpoint: Endpoint, client: Tuple) -> None:
        if not any(client.source in network for network in endpoint.allowed):
            raise Refused(Counter.REFUSED_NOT_ALLOWED)

    def _mapping(self, endpoint: Endpoint, client: Tuple) -> PortMapping:
        for mapping in self.services[endpoint.service].ports:
            if (mapping.protocol, mapping.client_port) == (PROTOCOLS[client.protocol], client.destination_port):
                return mapping
        raise Refused(Counter.REFUSED_NO_PORT)


def _turned(key: Tuple) -> Tuple:
    return key._replace(
        source=key.destination,
        destination=key.source,
        source_port=key.destination_port,
        destination_port=key.source_port,
    )


def _goes_on(before: Endpoint, after: Endpoint) -> bool:
    """Whether sessions outlive the change: only whitelist and drain may differ."""
    return replace(before, allowed=after.allowed, draining_until=after.draining_until) == after
