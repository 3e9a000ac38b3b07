"""Keeping services turned to those of their backends that answer ARP."""

import asyncio
import time
from ipaddress import IPv4Address

from services.gateway_agent.dataplane.arp import ArpSocket, announcement, probe
from services.gateway_agent.dataplane.difficulties import Difficulties, no_answer
from services.gateway_agent.dataplane.kernel_table import KernelTable
from services.gateway_agent.dataplane.neighbours import Host, Neighbours
from services.gateway_agent.table import Backend, Service

SHORTEST_PAUSE_SECONDS = 0.01
FIRST_ANSWER_SECONDS = 0.02  # a host in reach answers within one; one that is silent must not hold up the others


class Resolution:
    """Asks for backends, and rewrites a service in the same moment in which one of them is heard or given up."""

    def __init__(self, table: KernelTable, difficulties: Difficulties) -> None:
        self._table = table
        self._difficulties = difficulties
        self._neighbours = Neighbours()
        self._vpcs: dict[str, int] = {}  # by name of the device
        self._devices: dict[int, str] = {}  # by number of the VPC
        self._awaited: dict[str, asyncio.Event] = {}
        self._arp = ArpSocket(self._heard)
        self._loop = asyncio.get_running_loop()
        self._next_look: asyncio.TimerHandle | None = None
        self._adopt()

    def close(self) -> None:
        if self._next_look is not None:
            self._next_look.cancel()
        self._arp.close()

    async def put(self, service: Service) -> None:
        """Writes the service with what is known; waits for a first answer only if nothing is."""
        number = self._table.vpc_number(service.vpc)
        self._neighbours.watch(service.id, _hosts(number, service), time.monotonic())
        self._table.put_service(service, self.mac)
        answered = self._awaited[service.id] = asyncio.Event()
        try:
            self._probe()
            if not (self._takers(service) or all(backend.draining for backend in service.backends)):
                async with asyncio.timeout(FIRST_ANSWER_SECONDS):
                    await answered.wait()
        except TimeoutError:
            pass
        finally:
            del self._awaited[service.id]
        self._judge(service)

    def remove(self, service: str) -> None:
        known = self._table.entries.service(service)
        if known is None:
            return
        self._table.remove_service(service)
        self._neighbours.watch(service, (), time.monotonic())
        self._difficulties.clear(known.key)

    def announce(self, vpc: str, address: IPv4Address) -> None:
        """Tells the hosts of a VPC that the gateway has an address there."""
        number = self._table.vpc_number(vpc)
        name = self._devices.get(number)
        if name is not None:
            self._arp.send(name, announcement(self._table.device(number).mac, address))

    def device_of(self, vpc: int) -> str | None:
        """The name of the device that faces a VPC, while there is one."""
        return self._devices.get(vpc)

    def mac(self, vpc: int, address: IPv4Address) -> bytes | None:
        """Where a backend was heard last; None for one that does not answer."""
        return self._neighbours.mac(Host(vpc, address))

    def device_there(self, vpc: int, name: str) -> None:
        self._vpcs[name] = vpc
        self._devices[vpc] = name
        self._neighbours.look_at(vpc, time.monotonic())
        self._probe()

    def device_gone(self, vpc: int) -> None:
        self._vpcs.pop(self._devices.pop(vpc, ""), None)
        self._rewrite(self._neighbours.lose(vpc))

    def _probe(self) -> None:
        """Asks all whose time has come, and again when the next one's has."""
        due = self._neighbours.due(time.monotonic())
        self._rewrite(due.lost)
        for host in due.probes:
            name = self._devices.get(host.vpc)
            if name is not None:
                self._arp.send(name, probe(self._table.device(host.vpc).mac, host.address))
        if self._next_look is not None:
            self._next_look.cancel()
        if self._neighbours.next_look is not None:
            delay = max(self._neighbours.next_look - time.monotonic(), SHORTEST_PAUSE_SECONDS)
            self._next_look = self._loop.call_later(delay, self._probe)

    def _adopt(self) -> None:
        """What an earlier agent had resolved goes on being used while it is asked again."""
        now = time.monotonic()
        for service in self._table.entries.services():
            number = self._table.vpc_number(service.vpc)
            hosts = _hosts(number, service)
            self._neighbours.watch(service.id, hosts, now)
            for host in hosts:
                mac = self._table.macs.get(host)
                if mac:
                    self._neighbours.heard(host, mac, now)
            self._judge(service)
        self._probe()

    def _heard(self, device: str, address: IPv4Address, mac: bytes) -> None:
        vpc = self._vpcs.get(device)
        if vpc is not None:
            self._rewrite(self._neighbours.heard(Host(vpc, address), mac, time.monotonic()))

    def _rewrite(self, services: frozenset[str]) -> None:
        for each in sorted(services):
            service = self._table.entries.service(each)
            if service is None:
                continue
            self._table.put_service(service, self.mac)
            if each in self._awaited:
                self._awaited[each].set()
            else:
                self._judge(service)

    def _takers(self, service: Service) -> list[Backend]:
        """The backends that take new sessions."""
        number = self._table.vpc_number(service.vpc)
        return [each for each in service.backends if not each.draining and self.mac(number, each.address)]

    def _judge(self, service: Service) -> None:
        self._difficulties.judge(service.key, no_answer(service, self._takers(service)))


def _hosts(vpc: int, service: Service) -> list[Host]:
    """Those that are draining too: they are asked for, so that they take sessions again at once when they may."""
    return [Host(vpc, backend.address) for backend in service.backends]
