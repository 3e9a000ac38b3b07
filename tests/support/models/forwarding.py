"""A model of the forwarding: what becomes of a frame by the rules of docs/design/dataplane.md, without maps.

model = Forwarding(capacity=64)
model.attach("blue", 1, Device(ifindex, mac))     # the VPC's number, which only hashes depend on
model.resolve("blue", backend, mac)
model.put(service); model.put(endpoint)
verdict = model.receive(frame, ifindex, now, chosen)

It knows no slot, epoch or version: a session remembers which life of its endpoint let it in, and is cut when that ends.
Source ports are chosen at random: `chosen` tells what the program chose, and the model says whether it might.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Any

from services.gateway_agent.dataplane.maps import Counter
from services.gateway_agent.dataplane.shares import in_order, shares
from services.gateway_agent.table import (
    SOURCE_PREFIX_V6,
    Address,
    Affinity,
    Backend,
    ClientIdentity,
    Endpoint,
    Network,
    PortMapping,
    Protocol,
    Route,
    Service,
)
from tests.support.models.forwarding_hash import slot_of, slot_of_source
from tests.support.models.forwarding_identity import Way, introduced, way_of
from tests.support.models.forwarding_limits import Meters, Moment
from tests.support.models.forwarding_owners import Owners
from tests.support.models.forwarding_packets import (
    ADVERTISEMENT,
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
    advertised,
    answered,
    ether_type,
    is_neighbour_discovery,
    read_packet,
    readdressed,
)
from tests.support.models.forwarding_sessions import Session, Sessions, Side
from tests.support.models.forwarding_values import FIRST_SOURCE_PORT, Chosen, Device, Grant, Passage, Passed, Verdict

NOBODYS: tuple[Network, ...] = (
    IPv4Network("0.0.0.0/8"),
    IPv4Network("127.0.0.0/8"),
    SOURCE_RANGE,
    IPv6Network("::/64"),
    SOURCE_PREFIX_V6.supernet(new_prefix=64),
)
PROTOCOLS = {TCP: Protocol.TCP, UDP: Protocol.UDP}


@dataclass(slots=True)
class Forwarding:
    """`capacity` is how many entries the table of IPv4 sessions has, two for each session."""

    capacity: int
    devices: dict[int, Device] = field(default_factory=dict)  # by number of the VPC; none: not in use
    numbers: dict[str, int] = field(default_factory=dict)
    services: dict[str, Service] = field(default_factory=dict)
    endpoints: dict[str, Endpoint] = field(default_factory=dict)
    macs: dict[tuple[str, Address], bytes] = field(default_factory=dict)
    lives: dict[str, int] = field(default_factory=dict)  # of endpoints that are in the table
    passed: dict[str, Passed] = field(default_factory=dict)
    meters: dict[str, Meters] = field(default_factory=dict)
    sessions: Sessions = field(default_factory=Sessions)
    begun: int = 0
    owners: Owners = field(default_factory=Owners)

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
                    self._begin(*sorted(each.id for each in self.endpoints.values() if entry.key in each.needs))
            case Endpoint():
                before = self.endpoints.get(entry.id)
                self.endpoints[entry.id] = entry
                self.passed.setdefault(entry.id, Passed())
                self.meters.setdefault(entry.id, Meters.unused())
                if before is None or not _goes_on(before, entry):
                    self._begin(entry.id)
                else:
                    self._own(entry)

    def remove(self, id_: str) -> None:
        self.owners.disown(id_)
        everything: tuple[dict[str, Any], ...]
        everything = self.services, self.endpoints, self.lives, self.passed, self.meters
        for each in everything:
            each.pop(id_, None)

    def _begin(self, *endpoints: str) -> None:
        """Another life: what was let in before is cut."""
        for each in endpoints:
            self.begun += 1
            self.lives[each] = self.begun
            self.owners.disown(each)
            self._own(self.endpoints[each])

    def takers(self, service: Service) -> Sequence[Backend]:
        """The backends that take new sessions."""
        answering = [each for each in service.backends if (service.vpc, each.address) in self.macs]
        return in_order([each for each in answering if not each.draining])

    # ---- frames

    def receive(self, frame: bytes, ifindex: int, now: Moment, chosen: Chosen) -> Verdict:
        """What becomes of a frame that came in by a device. Raises Undecided, AssertionError for a wrong choice."""
        passage = Passage(now, chosen)
        try:
            out, device = self._receive(frame, ifindex, passage)
        except Refused as refused:
            if passage.endpoint in self.passed:
                self.passed[passage.endpoint].refused[refused.reason] += 1
            return Verdict((*passage.counts, refused.reason))
        return Verdict(tuple(passage.counts), out, device)

    def _receive(self, frame: bytes, ifindex: int, passage: Passage) -> tuple[bytes | None, int]:
        number = next((number for number, device in self.devices.items() if device.ifindex == ifindex), None)
        if number is None:
            raise Refused(Counter.REFUSED_NOT_ATTACHED)
        match ether_type(frame):
            case EtherType.IPV6 if is_neighbour_discovery(frame):
                return self._advertise(frame, number, passage)
            case EtherType.IPV4 | EtherType.IPV6:
                return self._forward(frame, number, passage)
            case EtherType.ARP:
                return self._answer(frame, number, passage)
            case _:
                raise Refused(Counter.REFUSED_PROTOCOL)

    def _answer(self, frame: bytes, number: int, passage: Passage) -> tuple[bytes | None, int]:
        if len(frame) < ARP_LENGTH or frame[14:20] != ETHERNET_AND_IPV4:
            raise Refused(Counter.REFUSED_MALFORMED)
        operation, sender, target = frame[20:22], frame[28:32], frame[38:42]
        if operation == REPLY or sender == target:
            passage.counts.append(Counter.ARP_PASSED)
            return None, 0
        if operation != REQUEST or not self._is_ours(number, IPv4Address(target)):
            raise Refused(Counter.REFUSED_ARP)
        passage.counts.append(Counter.ARP_ANSWERED)
        device = self.devices[number]
        return answered(frame, device.mac), device.ifindex

    def _advertise(self, frame: bytes, number: int, passage: Passage) -> tuple[bytes | None, int]:
        if frame[54] == ADVERTISEMENT:
            passage.counts.append(Counter.ND_PASSED)
            return None, 0
        if not self._is_ours(number, IPv6Address(frame[62:78])):
            raise Refused(Counter.REFUSED_ARP)
        passage.counts.append(Counter.ND_ANSWERED)
        device = self.devices[number]
        return advertised(frame, device.mac), device.ifindex

    def _is_ours(self, number: int, address: Address) -> bool:
        return address in SOURCE_RANGE or address in SOURCE_PREFIX_V6 or self.endpoint_at(number, address) is not None

    def _forward(self, frame: bytes, number: int, passage: Passage) -> tuple[bytes, int]:
        packet = read_packet(frame, number, self.devices[number].mac)
        side = self._follow(packet, passage)
        if side is None:
            self._open(packet, passage)
            side = self._follow(packet, passage)
        assert side is not None, "a session that was opened is not found"
        out = self.devices.get(side.becomes.vpc)
        if out is None:
            raise Refused(Counter.REFUSED_NO_DEVICE)
        frame, length = self._introduce(frame, packet, passage)
        if out.mtu and length > out.mtu:
            raise Refused(Counter.REFUSED_TOO_LONG)
        passage.counts.append(Counter.FORWARDED)
        told = min(filter(None, (self.devices[number].told, out.told)), default=0)
        return readdressed(frame, side.becomes, out.mac, side.next_hop, told), out.ifindex

    def _introduce(self, frame: bytes, packet: Packet, passage: Passage) -> tuple[bytes, int]:
        """The frame in which the backend reads who the client is, where its port wants that, and its length."""
        found = self.sessions.find(packet.tuple)
        assert found is not None
        session, side = found
        if session.identity is not ClientIdentity.TOA or side is not session.consumer or not packet.syn:
            return frame, packet.length
        frame, counted = introduced(frame, packet.tuple)
        passage.counts.append(counted)
        return frame, len(frame) - ETHERNET

    # ---- sessions

    def _follow(self, packet: Packet, passage: Passage) -> Side | None:
        """The side of a session that the packet is of; none where it may begin one. Raises Refused."""
        found = self.sessions.find(packet.tuple)
        if found is not None and found[1] is found[0].provider and packet.asks_for_connection:
            found = None  # only consumers open connections
        if found is None:
            if not packet.opens:
                passage.endpoint = self._addressee(packet.tuple)
                raise Refused(Counter.REFUSED_NO_SESSION)
            return None
        session, side = found
        cut = self.is_cut(session)
        passage.endpoint = None if cut else session.endpoint
        endpoint = self.endpoints.get(session.endpoint)
        if endpoint and not cut and endpoint.draining_until:
            if packet.is_pure_syn:
                raise Refused(Counter.REFUSED_DRAINING)
            cut = self.is_drained(endpoint, passage.now)
        anew = session.is_over or (packet.is_pure_syn and self._is_told_otherwise(session))
        if side is session.consumer and packet.opens and (cut or anew):
            self.sessions.remove(session)
            return None
        if endpoint is None or cut:
            raise Refused(Counter.REFUSED_STALE_EPOCH)
        self._check_lists(endpoint, session.consumer.tuple)
        published = self._mapping(endpoint, session.consumer.tuple)
        proxied = session.identity is ClientIdentity.PROXY
        if not proxied and published.server_port != session.provider.tuple.source_port:
            raise Refused(Counter.REFUSED_NO_PORT)
        limits = self.services[endpoint.service].limits
        if not self.meters[endpoint.id].may_pass(packet.length, limits.bits_per_second, passage.now):
            raise Refused(Counter.REFUSED_LIMIT_RATE)
        side.note(packet)
        session.idle = 0
        passed, direction = self.passed[endpoint.id], int(side is session.provider)
        passed.packets[direction] += 1
        passed.bytes[direction] += packet.length
        return side

    def _is_told_otherwise(self, session: Session) -> bool:
        """Whether backends learn of clients of its port what it does not tell, since it began before."""
        if self.is_cut(session):
            return False
        endpoint, client = self.endpoints[session.endpoint], session.consumer.tuple
        for each in self.services[endpoint.service].ports:
            if (each.protocol, each.client_port) == (PROTOCOLS[client.protocol], client.destination_port):
                direct = each.identity is ClientIdentity.PROXY and endpoint.proxy == endpoint.service
                return not direct and each.identity not in {ClientIdentity.NONE, session.identity}
        return False

    def _open(self, packet: Packet, passage: Passage) -> None:
        client = packet.tuple
        grant = self._grant(client, passage)
        limits, endpoint = grant.service.limits, grant.endpoint
        if not self.meters[endpoint.id].may_open(limits.new_connections_per_second, passage.now):
            raise Refused(Counter.REFUSED_LIMIT_NEW)
        if limits.connections and len(self.sessions_of(endpoint.id)) >= limits.connections:
            raise Refused(Counter.REFUSED_LIMIT_CONNECTIONS)
        kept = grant.kept(client)
        if kept and self.sessions.holds(kept):
            raise Refused(Counter.REFUSED_NO_SOURCE_PORT)
        if client.source.version == 4 and self.sessions.count() + 2 > self.capacity:
            raise Refused(Counter.REFUSED_TABLE_FULL)
        provider = passage.chosen(client)
        assert provider is not None, f"{client} opens no session"
        allowed = provider == kept if kept else grant.allows(provider, client.protocol)
        assert allowed, f"{client} is seen as {provider}"
        assert not self.sessions.holds(provider), f"{client} takes the source port of another: {provider}"
        session = Session(
            endpoint=endpoint.id,
            life=self.lives[endpoint.id],
            consumer=Side(client, _turned(provider), grant.mac),
            provider=Side(provider, _turned(client), packet.sender),
            identity=grant.way.identity,
        )
        self.sessions.add(session)
        self.passed[endpoint.id].made += 1
        passage.counts.append(Counter.SESSION_NEW)

    def _grant(self, client: Tuple, passage: Passage) -> Grant:
        """What a client that opens a session gets. Raises Refused."""
        endpoint = self.endpoint_at(client.vpc, client.destination)
        if endpoint is None:
            raise Refused(Counter.REFUSED_NO_ENDPOINT)
        passage.endpoint = endpoint.id
        if endpoint.draining_until:
            raise Refused(Counter.REFUSED_DRAINING)
        if self._is_spoofed(client):
            raise Refused(Counter.REFUSED_SPOOFED)
        self._check_lists(endpoint, client)
        mapping = self._mapping(endpoint, client)
        service = self.services[endpoint.service]
        way = way_of(self.services, endpoint, mapping)
        backend = self._choose_backend(endpoint, way, client)
        mac = self.macs[way.service.vpc, backend.address]
        return Grant(endpoint, service, way, backend, self.numbers[way.service.vpc], mac)

    def _is_spoofed(self, client: Tuple) -> bool:
        """No machine of a VPC has such an address, or an endpoint's."""
        nobodys = any(client.source in network for network in NOBODYS)
        return nobodys or self.endpoint_at(client.vpc, client.source) is not None

    def _choose_backend(self, endpoint: Endpoint, way: Way, client: Tuple) -> Backend:
        takers = tuple(self.takers(way.service))
        if not takers:
            raise Refused(way.without)
        by_source = way.service.affinity is Affinity.SOURCE_ADDRESS
        slot = slot_of_source(client, endpoint.address) if by_source else slot_of(client)
        return takers[shares(takers)[slot]] if len(takers) > 1 else takers[0]

    def collect(self, now: Moment) -> int:
        """Removes what is over, as the agent has it done now and then; tells how many sessions."""
        over = [session for session in self.sessions.all() if self.expires_in(session, now) <= 0]
        for session in over:
            self.sessions.remove(session)
        return len(over)

    # ---- rules

    def is_cut(self, session: Session) -> bool:
        """Whether the life of its endpoint that let it in has ended."""
        return self.lives.get(session.endpoint) != session.life

    def is_drained(self, endpoint: Endpoint, now: Moment) -> bool:
        return 0 < endpoint.draining_until <= now.wall

    def sessions_of(self, endpoint: str) -> list[Session]:
        """Those that its present life has let in, the closed ones too as long as nobody has collected them."""
        every = self.sessions.all()
        return [session for session in every if session.endpoint == endpoint and not self.is_cut(session)]

    def expires_in(self, session: Session, now: Moment) -> int:
        """After how many more idle seconds it may be removed."""
        endpoint = self.endpoints.get(session.endpoint)
        if endpoint is None or self.is_cut(session) or self.is_drained(endpoint, now):
            return 0
        return session.limit(self.services[endpoint.service].timeouts) - session.idle

    def endpoint_at(self, number: int, address: Address) -> Endpoint | None:
        """The one with the address, or with a route that it is in."""
        for endpoint in self.endpoints.values():
            ways = [ip_network(endpoint.address), *(route.prefix for route in endpoint.routes)]
            if self.numbers[endpoint.vpc] == number and any(address in way for way in ways):
                return endpoint
        return None

    def is_in_the_way(self, wanted: Endpoint) -> bool:
        """Whether another endpoint has an address that the wanted one would have."""
        for each in self.endpoints.values():
            prefixes = (one.prefix.overlaps(other.prefix) for one in wanted.routes for other in each.routes)
            if (each.vpc, each.id) == (wanted.vpc, wanted.id) or each.vpc != wanted.vpc:
                continue
            if each.address == wanted.address or any(prefixes):
                return True
        return False

    def _addressee(self, stray: Tuple) -> str | None:
        """Whose a packet of no session is: an endpoint's address is its own, and so is its source at the provider."""
        found = self.endpoint_at(stray.vpc, stray.destination)
        if found is None and stray.destination_port >= FIRST_SOURCE_PORT:
            return self.owners.find(stray.vpc, stray.destination)
        return found.id if found else None

    def _own(self, endpoint: Endpoint) -> None:
        number = self.numbers[self.services[endpoint.service].vpc]
        if endpoint.proxy != endpoint.service:  # a proxy's has those of the endpoint that it is for
            self.owners.own(endpoint.id, number, (endpoint.source_address, *endpoint.more_sources))

    def _check_lists(self, endpoint: Endpoint, client: Tuple) -> None:
        if not any(client.source in network for network in endpoint.allowed):
            raise Refused(Counter.REFUSED_NOT_ALLOWED)
        taken: Route | None = None
        for route in endpoint.routes:
            if client.destination in route.prefix and (not taken or route.prefix.prefixlen > taken.prefix.prefixlen):
                taken = route
        if taken is None and endpoint.routes:
            raise Refused(Counter.REFUSED_NO_ENDPOINT)
        if taken and (taken.denied or not _has_port(taken, client)):
            raise Refused(Counter.REFUSED_DENIED)

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


def _has_port(route: Route, client: Tuple) -> bool:
    return not route.ports or (PROTOCOLS[client.protocol], client.destination_port) in route.ports


def _goes_on(before: Endpoint, after: Endpoint) -> bool:
    """Whether sessions outlive the change: lists, drain and proxy may differ, and sources may have come on top."""
    more = after.more_sources[: len(before.more_sources)] == before.more_sources
    if (before.proxy == before.service) != (after.proxy == after.service):  # the sources change hands
        return False
    lists = replace(before, allowed=after.allowed, routes=after.routes, more_sources=after.more_sources)
    return more and replace(lists, draining_until=after.draining_until, proxy=after.proxy) == after
