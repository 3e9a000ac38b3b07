"""The way of a client's first packet through the maps, looked at step by step: what the program will have seen."""

import time
from collections.abc import Callable, Iterator
from ipaddress import ip_network
from typing import NamedTuple

from services.gateway_agent.dataplane.kernel_table import KernelTable
from services.gateway_agent.dataplane.libbpf import Map
from services.gateway_agent.dataplane.maps import (
    IDENTITIES,
    NUMBER,
    PORT_VALUE,
    VERSIONED_KEY,
    Counter,
    EndpointValue,
    Maps,
    ServiceWord,
    SlotWord,
    VpcDevice,
    allowed_key,
    endpoint_key,
    port_key,
    unpack_address,
)
from services.gateway_agent.dataplane.resolution import Resolution
from services.gateway_agent.dataplane.route_maps import RULE_PLACE, range_key
from services.gateway_agent.dataplane.session_maps import USAGE, SessionValue, Tuple
from services.gateway_agent.dataplane.settings_map import Settings
from services.gateway_agent.packet_trace import Opening, Outcome, Step, Subject
from services.gateway_agent.routes import allows, shown_by
from services.gateway_agent.table import SOURCE_RANGE, Address, ClientIdentity, Endpoint, Limits, PortMapping, Protocol

SECOND = 1e9
NOBODYS = (
    SOURCE_RANGE,
    *map(ip_network, ("0.0.0.0/8", "127.0.0.0/8", "::/64", "fd73:6964:6567:6174::/64")),
)
OF_LIMITS = {
    Counter.REFUSED_LIMIT_CONNECTIONS.value: "it has as many sessions as it may",
    Counter.REFUSED_LIMIT_NEW.value: "sessions came faster than it may open them",
    Counter.REFUSED_LIMIT_RATE.value: "its bits come faster than they may",
}
UNTOLD = {
    Counter.REFUSED_NO_SOURCE_PORT.value: "each source port that was tried is taken",
    Counter.REFUSED_TABLE_FULL.value: "there is no room for another session",
}
"""What no list says beforehand."""


class Session(NamedTuple):
    """A session as the consumer's entry tells it: `other` is the key of the provider's entry."""

    other: bytes
    vpc: int
    backend: Address
    server_port: int
    seen_as: Address
    seen_port: int
    identity: ClientIdentity  # of its port, when it began


class Refusal(Exception):
    """The packet goes no further, for this reason."""

    def __init__(self, reason: Counter, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Looking:
    """One look. `foreseen` is what the steps come to, once they were taken."""

    def __init__(
        self, table: KernelTable, maps: Maps, resolution: Resolution, endpoint: Endpoint, opening: Opening
    ) -> None:
        self._table, self._maps, self._resolution = table, maps, resolution
        self._endpoint, self._opening = endpoint, opening
        self._address = opening.destination or shown_by(endpoint, opening.protocol, opening.port)
        self._slot = 0
        self._service = 0
        self._target = 0  # the service whose backends take it
        self._identity = ClientIdentity.NONE
        self._follows = False
        self.usage = b""  # what the endpoint has taken of its limits
        self.foreseen = Counter.FORWARDED

    def steps(self, session: Session | None, *, opened: bool, verdict: str) -> Iterator[Step]:
        """`session` is what the program opened or followed, `verdict` what it has said."""
        looks: list[tuple[Subject, Callable[[], str]]] = [(Subject.DEVICE, self._device)]
        self._follows = session is not None and not opened
        if session is not None and not opened:
            looks.append((Subject.SESSION, lambda: _followed(session)))
        looks += [
            (Subject.ENDPOINT, self._element),
            (Subject.DRAIN, self._drain),
            (Subject.WHITELIST, self._whitelist),
            *[(Subject.ROUTE, self._route)] * bool(self._endpoint.routes),
            (Subject.PORT, lambda: self._port(session)),
            (Subject.BACKEND, lambda: self._backend(session)),
            (Subject.LIMITS, lambda: self._limits(verdict)),
            (Subject.SOURCE, lambda: self._source(session, verdict)),
            (Subject.WAY_OUT, lambda: self._way_out(session)),
        ]
        for subject, look in looks:
            if self.foreseen is not Counter.FORWARDED:
                yield Step(subject, Outcome.NOT_REACHED, "")
                continue
            try:
                yield Step(subject, Outcome.PASSED, look())
            except Refusal as refusal:
                self.foreseen = refusal.reason
                yield Step(subject, Outcome.REFUSED, str(refusal))

    def _device(self) -> str:
        """Where the packet comes in."""
        number = self._table.vpc_number(self._endpoint.vpc)
        device, name = self._table.device(number), self._name(number)
        if not self._leads_to(device, number):
            raise Refusal(Counter.REFUSED_NOT_ATTACHED, f"no device faces VPC {self._endpoint.vpc}")
        return f"{name}, index {device.ifindex}, faces VPC {self._endpoint.vpc}, here number {number}"

    def _element(self) -> str:
        address, number = self._address, self._table.vpc_number(self._endpoint.vpc)
        data = self._maps.endpoints.get(endpoint_key(number, address))
        if data is None and (stands := self._maps.routes.get(range_key(number, ip_network(address)))):
            data = self._maps.endpoints.get(endpoint_key(number, unpack_address(stands)))
        if data is None:
            raise Refusal(Counter.REFUSED_NO_ENDPOINT, f"nothing is at {address} in the VPC")
        found = EndpointValue.unpack(data)
        self._slot, self._service = found.slot, found.service
        epoch = self._word.epoch
        if found.epoch != epoch:
            text = (
                f"endpoint {found.id} is at {address} with epoch {found.epoch}, and its slot {found.slot} has {epoch}"
            )
            raise Refusal(Counter.REFUSED_STALE_EPOCH, f"{text}: it was cut")
        return f"{found.id} is at {address}: marker {found.marker}, slot {found.slot}, epoch {epoch}"

    def _drain(self) -> str:
        if not self._word.draining:
            return "it is not draining"
        left = (self._maps.deadlines[self._slot].number - time.clock_gettime_ns(time.CLOCK_BOOTTIME)) / SECOND
        text = f"it is draining for {max(0.0, left):.0f} s more"
        if self._follows and self._opening.protocol is Protocol.UDP and left > 0:
            return f"{text}, and the session was open before"
        raise Refusal(Counter.REFUSED_DRAINING, f"{text}: no session opens")

    def _whitelist(self) -> str:
        source, word = self._opening.source, self._word
        if not self._follows and self._is_spoofed(source):
            raise Refusal(Counter.REFUSED_SPOOFED, f"no machine of a VPC can have the address {source}")
        place = self._maps.allowed.get(allowed_key(self._slot, word.allow_version, ip_network(source)))
        networks = self._endpoint.allowed
        if place is None:
            listed = ", ".join(map(str, networks)) or "empty"
            raise Refusal(Counter.REFUSED_NOT_ALLOWED, f"no range of the whitelist has {source}: {listed}")
        (number,) = NUMBER.unpack(place)
        matched = networks[number] if number < len(networks) else f"entry {number}"
        return f"{matched} has {source}: entry {number + 1} of {len(networks)}, version {word.allow_version}"

    def _route(self) -> str:
        value = self._maps.rules.get(allowed_key(self._slot, self._word.allow_version, ip_network(self._address)))
        routes, (rule,) = self._endpoint.routes, NUMBER.unpack(value or bytes(NUMBER.size))
        place = rule & RULE_PLACE
        if value is None or place >= len(routes):
            raise Refusal(Counter.REFUSED_NO_ENDPOINT, f"no route of the endpoint has {self._address}")
        route, asked = routes[place], f"{self._opening.protocol} port {self._opening.port}"
        said = f"{route.prefix} has {self._address}: route {place + 1} of {len(routes)}"
        if route.denied:
            raise Refusal(Counter.REFUSED_DENIED, f"{said}, which is denied")
        if not allows(route, self._opening.protocol, self._opening.port):
            raise Refusal(Counter.REFUSED_DENIED, f"{said}, which does not allow {asked}")
        return f"{said}, which allows {asked if route.ports else 'every port'}"

    def _port(self, session: Session | None) -> str:
        port, protocol = self._opening.port, self._opening.protocol
        asked = PortMapping(port, port, protocol)
        value = self._maps.ports.get(port_key(self._service, self._lists.version, asked))
        if value is None:
            raise Refusal(Counter.REFUSED_NO_PORT, f"{protocol} port {port} is not published")
        server_port, _, identity = PORT_VALUE.unpack(value)
        self._identity = session.identity if session and self._follows else IDENTITIES[identity]
        self._target = self._service
        if self._identity is ClientIdentity.PROXY:
            self._target = self._maps.proxies[self._slot].low
            if self._target != self._service or self._follows:
                return f"{protocol} port {port} leads to a proxy"
            self._identity = ClientIdentity.NONE
        said = ", and the SYN tells of the client (TOA)" if self._identity is ClientIdentity.TOA else ""
        return f"{protocol} port {port} leads to port {int.from_bytes(server_port, 'big')}{said}"

    def _backend(self, session: Session | None) -> str:
        proxied = self._identity is ClientIdentity.PROXY
        if session and proxied and self._follows:
            return f"{session.backend}, the proxy as the session found it"
        takers = ServiceWord.unpack(self._maps.services[self._target]).takers
        if proxied and not (self._target and takers and self._proxy_knows_port()):
            raise Refusal(Counter.REFUSED_NO_PROXY, f"the proxy of endpoint {self._endpoint.id} is not there")
        if not takers:
            raise Refusal(Counter.REFUSED_NO_BACKEND, "no backend takes new sessions")
        if session and proxied:
            return f"{session.backend}, the proxy of endpoint {self._endpoint.id}"
        chosen = f"{session.backend}, one of " if session else ""
        return f"{chosen}{takers} that take new sessions"

    def _proxy_knows_port(self) -> bool:
        port, version = self._opening.port, ServiceWord.unpack(self._maps.services[self._target]).version
        asked = PortMapping(port, port, self._opening.protocol)
        return self._maps.ports.get(port_key(self._target, version, asked)) is not None

    def _limits(self, verdict: str) -> str:
        """What has been taken of them in the last moment, the program alone can say."""
        word = ServiceWord.unpack(self._maps.services[self._service])
        data = self._maps.settings.get(VERSIONED_KEY.pack(self._service, word.version))
        limits = Settings.unpack(data).limits if data else Limits()
        sessions, epoch, *_ = USAGE.unpack(self.usage) if self.usage else (0, 0)
        told = [f"{sessions if epoch == self._word.epoch else 0} sessions"]
        told[0] += f" of {limits.connections:,}" * bool(limits.connections)
        told += [f"{limits.new_connections_per_second:,} new a second"] * bool(limits.new_connections_per_second)
        told += [f"{limits.bits_per_second:,} bit/s"] * bool(limits.bits_per_second)
        text = ", at most ".join(told)
        if verdict in OF_LIMITS:
            raise Refusal(Counter(verdict), f"{OF_LIMITS[verdict]}: {text}")
        return text if limits != Limits() else f"{text}, without a limit"

    def _source(self, session: Session | None, verdict: str) -> str:
        """Which ports are free, and whether there is room, the program alone can say."""
        if verdict in UNTOLD:
            raise Refusal(Counter(verdict), UNTOLD[verdict])
        if session is None:
            return "it has not got so far"
        client, seen = (self._opening.source, self._opening.source_port), (session.seen_as, session.seen_port)
        own = ", the client's own" if seen == client else ""
        toa = f", and in TCP option 254 {client[0]} port {client[1]}" if self._identity is ClientIdentity.TOA else ""
        return f"the backend sees {seen[0]} port {seen[1]}{own}{toa}"

    def _way_out(self, session: Session | None) -> str:
        number = session.vpc if session else self._table.vpc_number(self._service_vpc)
        device = self._table.device(number)
        if not device.ifindex:
            raise Refusal(Counter.REFUSED_NO_DEVICE, f"no device faces VPC {self._service_vpc}")
        return f"{self._name(number)}, index {device.ifindex}, faces VPC {self._service_vpc}"

    def _is_spoofed(self, source: Address) -> bool:
        """An address of ours, of this host, or nobody's: as table.h has it."""
        number = self._table.vpc_number(self._endpoint.vpc)
        ours = any(source in network for network in NOBODYS if network.version == source.version)
        routed = self._maps.routes.get(range_key(number, ip_network(source))) is not None
        return ours or routed or self._maps.endpoints.get(endpoint_key(number, source)) is not None

    # ---- the maps

    @property
    def _word(self) -> SlotWord:
        return SlotWord.unpack(self._maps.slots[self._slot])

    @property
    def _lists(self) -> ServiceWord:
        return ServiceWord.unpack(self._maps.services[self._service])

    @property
    def _service_vpc(self) -> str:
        proxied = self._identity is ClientIdentity.PROXY
        service = self._table.entries.service(self._endpoint.proxy if proxied else self._endpoint.service)
        return service.vpc if service else ""

    def _name(self, number: int) -> str:
        return self._resolution.device_of(number) or "a device"

    def _leads_to(self, device: VpcDevice, number: int) -> bool:
        """The program compares both directions."""
        return device.ifindex > 0 and self._maps.devices.get(NUMBER.pack(device.ifindex)) == NUMBER.pack(number)


def client_key(vpc: int, opening: Opening, address: Address) -> bytes:
    """The key of the consumer's entry."""
    return Tuple(opening.source, address, opening.source_port, opening.port, vpc, opening.protocol).pack()


def session_of(sessions: Map, key: bytes) -> Session | None:
    """The session whose consumer's entry has this key."""
    if (data := sessions.get(key)) is None:
        return None
    other = SessionValue.unpack(data).other
    provider = Tuple.unpack(other)
    seen = provider.destination, provider.destination_port
    identity = IDENTITIES[SessionValue.unpack(data).identity]
    return Session(other, provider.vpc, provider.source, provider.source_port, *seen, identity)


def _followed(session: Session) -> str:
    return f"a session with these addresses and ports is open, to {session.backend}: the packet belongs to it"
