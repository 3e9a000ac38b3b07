"""Which hosts of VPCs answer, by which MAC address, and whom to ask next. Pure: time comes in."""

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from services.gateway_agent.table import Address

REFRESH_SECONDS = 10.0
RETRY_SECONDS = 1.0
FIRST_RETRIES_SECONDS = (0.05, 0.25)  # of a host that was not heard yet: it may be about to come up
UNANSWERED_LIMIT = 3


class Host(NamedTuple):
    """An address in a VPC, by the VPC's local number."""

    vpc: int
    address: Address


@dataclass(slots=True)
class Neighbour:
    mac: bytes | None = None
    heard_at: float = 0.0
    unanswered: int = 0
    next_look: float = 0.0
    services: set[str] = field(default_factory=set)

    @property
    def patience(self) -> float:
        """How long to wait for an answer to the next probe."""
        if self.mac is None and self.unanswered < len(FIRST_RETRIES_SECONDS):
            return FIRST_RETRIES_SECONDS[self.unanswered]
        return RETRY_SECONDS


class Due(NamedTuple):
    """Hosts to ask now, and the services one of whose hosts is given up."""

    probes: Sequence[Host]
    lost: frozenset[str]


class Neighbours:
    """The hosts that services need. A host that was heard is asked again now and then, a silent one soon and
    then every second.
    """

    def __init__(self) -> None:
        self._neighbours: dict[Host, Neighbour] = {}
        self._watched: dict[str, frozenset[Host]] = {}
        self._queue: list[tuple[float, int, bytes, Host]] = []  # addresses of both families have an order as bytes

    def watch(self, service: str, hosts: Iterable[Host], now: float) -> None:
        """From now on the service needs exactly these."""
        before, wanted = self._watched.pop(service, frozenset()), frozenset(hosts)
        for host in before - wanted:
            self._neighbours[host].services.discard(service)
            if not self._neighbours[host].services:
                del self._neighbours[host]
        for host in wanted:
            if host not in self._neighbours:
                self._neighbours[host] = Neighbour()
                self._look_again(host, now)
            self._neighbours[host].services.add(service)
        if wanted:
            self._watched[service] = wanted

    def mac(self, host: Host) -> bytes | None:
        neighbour = self._neighbours.get(host)
        return neighbour.mac if neighbour else None

    def heard(self, host: Host, mac: bytes, now: float) -> frozenset[str]:
        """Answers the services that have to be told, if this is news."""
        neighbour = self._neighbours.get(host)
        if neighbour is None:
            return frozenset()
        changed = neighbour.mac != mac
        neighbour.mac, neighbour.heard_at, neighbour.unanswered = mac, now, 0
        return frozenset(neighbour.services) if changed else frozenset()

    def lose(self, vpc: int) -> frozenset[str]:
        """The VPC's device is gone, and with it all its hosts. Answers the services that have to be told."""
        lost: set[str] = set()
        for _, neighbour in self._in(vpc):
            neighbour.mac = None
            lost |= neighbour.services
        return frozenset(lost)

    def look_at(self, vpc: int, now: float) -> None:
        """The VPC's device is there again: ask without waiting."""
        for host, _ in self._in(vpc):
            self._look_again(host, now)

    @property
    def next_look(self) -> float | None:
        """When `due` may have something."""
        return self._queue[0][0] if self._queue else None

    def due(self, now: float) -> Due:
        """Takes those whose time has come, and counts them as asked."""
        probes: list[Host] = []
        lost: set[str] = set()
        while self._queue and self._queue[0][0] <= now:
            when, _, _, host = heapq.heappop(self._queue)
            neighbour = self._neighbours.get(host)
            if neighbour is None or neighbour.next_look != when:
                continue  # forgotten, or moved to another time
            if neighbour.mac is not None and now < neighbour.heard_at + REFRESH_SECONDS:
                self._look_again(host, neighbour.heard_at + REFRESH_SECONDS)
                continue
            if neighbour.mac is not None and neighbour.unanswered >= UNANSWERED_LIMIT:
                neighbour.mac = None
                lost |= neighbour.services
            probes.append(host)
            self._look_again(host, now + neighbour.patience)
            neighbour.unanswered += 1
        return Due(probes, frozenset(lost))

    def _in(self, vpc: int) -> list[tuple[Host, Neighbour]]:
        return [(host, neighbour) for host, neighbour in self._neighbours.items() if host.vpc == vpc]

    def _look_again(self, host: Host, when: float) -> None:
        self._neighbours[host].next_look = when
        heapq.heappush(self._queue, (when, host.vpc, host.address.packed, host))
