"""Keeping services turned to those of their backends that answer ARP, and are well where the service asks for that."""

import asyncio
import time
from collections.abc import Container, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address

from services.common.identity.attempts import Buckets
from services.gateway_agent.backend_health import HealthFigures, ServiceHealth, why_none_is_well
from services.gateway_agent.dataplane import arp, nd
from services.gateway_agent.dataplane.annex import inner_mac
from services.gateway_agent.dataplane.difficulties import Difficulties, no_answer
from services.gateway_agent.dataplane.health_prober import HealthProber, Obstacle, Way
from services.gateway_agent.dataplane.health_schedule import Patient
from services.gateway_agent.dataplane.kernel_table import KernelTable, Resolve
from services.gateway_agent.dataplane.neighbours import Host, Neighbours
from services.gateway_agent.dataplane.tcp_frames import Between, Peer
from services.gateway_agent.table import Address, Backend, Endpoint, Key, Service, seen_as
from services.gateway_agent.targets import Annex

SHORTEST_PAUSE_SECONDS = 0.01
FIRST_ANSWER_SECONDS = 0.02  # a host in reach answers within one; one that is silent must not hold up the others

REWRITES_AT_ONCE, REWRITE_EVERY_SECONDS = 16, 0.5
"""Of a service, for news of its backends. Of the largest one takes a millisecond, and a host that answers with one MAC
address and another by turns has as many as it likes to send frames."""


class Resolution:
    """Asks for backends, and rewrites a service in the same moment in which one of them is heard or given up."""

    def __init__(self, table: KernelTable, difficulties: Difficulties) -> None:
        self._table = table
        self._difficulties = difficulties
        self._neighbours = Neighbours()
        self._vpcs: dict[str, int] = {}  # by name of the device
        self._devices: dict[int, str] = {}  # by number of the VPC
        self._only: dict[int, bytes] = {}  # of VPCs with one host, whose MAC address is known
        self._awaited: dict[str, asyncio.Event] = {}
        self._arp, self._nd = arp.ArpSocket(self._heard), nd.NdSocket(self._heard)
        self._loop = asyncio.get_running_loop()
        self._next_look: asyncio.TimerHandle | None = None
        self._turns = Buckets(REWRITES_AT_ONCE, REWRITE_EVERY_SECONDS)
        self._later: set[str] = set()  # services that wait for their turn, or for the end of a reading
        self._catching_up: asyncio.TimerHandle | None = None
        self._held = False
        self._prober = HealthProber(self._way, self._rewrite, difficulties.note_health)
        self._askers: dict[str, Key] = {}  # by service, the endpoint whose source address asks for health
        self._adopt()

    def close(self) -> None:
        for timer in (self._next_look, self._catching_up):
            if timer is not None:
                timer.cancel()
        self._prober.close()
        self._arp.close()
        self._nd.close()

    async def put(self, service: Service) -> None:
        """Writes the service with what is known; waits for a first answer only if nothing is."""
        number = self._table.vpc_number(service.vpc)
        self._neighbours.watch(service.id, self._hosts(number, service), time.monotonic())
        self._prober.watch(service)
        self._table.put_service(service, self._resolver(service))
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
        self._prober.forget(service)
        self._askers.pop(service, None)
        self._difficulties.clear(known.key)
        self._difficulties.note_health([service])

    def announce(self, vpc: str, address: Address) -> None:
        """Tells the hosts of a VPC that the gateway has an address there: an endpoint of it is new, or another."""
        endpoint = self._table.entries.endpoint_at(vpc, address)
        if endpoint is not None and endpoint.service not in self._askers:
            self._prober.ask_now(endpoint.service)
        number = self._table.vpc_number(vpc)
        name, mac = self._devices.get(number), self._table.device(number).mac
        if name is None:
            return
        if isinstance(address, IPv4Address):
            self._arp.send(name, arp.announcement(mac, address))
        else:
            self._nd.send(name, nd.announcement(mac, address))

    def device_of(self, vpc: int) -> str | None:
        """The name of the device that faces a VPC, while there is one."""
        return self._devices.get(vpc)

    def mac(self, vpc: int, address: Address) -> bytes | None:
        """Where a backend was heard last; None for one that does not answer."""
        return self._only.get(vpc) or self._neighbours.mac(Host(vpc, address))

    def device_there(self, vpc: int, name: str, only: bytes | None = None) -> None:
        """`only`: the MAC address of the one host behind the device, of which all addresses are."""
        if only is not None:
            self._only[vpc] = only
        self._vpcs[name] = vpc
        self._devices[vpc] = name
        self._nd.join(self._table.device(vpc).ifindex)
        self._neighbours.look_at(vpc, time.monotonic())
        self._probe()

    def device_gone(self, vpc: int) -> None:
        name = self._devices.pop(vpc, "")
        self._vpcs.pop(name, None)
        self._only.pop(vpc, None)
        self._prober.device_gone(name)
        self._rewrite(self._neighbours.lose(vpc))

    def _probe(self) -> None:
        """Asks all whose time has come, and again when the next one's has."""
        due = self._neighbours.due(time.monotonic())
        self._rewrite(due.lost)
        for host in due.probes:
            self._ask(host)
        if self._next_look is not None:
            self._next_look.cancel()
        if self._neighbours.next_look is not None:
            delay = max(self._neighbours.next_look - time.monotonic(), SHORTEST_PAUSE_SECONDS)
            self._next_look = self._loop.call_later(delay, self._probe)

    def _ask(self, host: Host) -> None:
        name, mac = self._devices.get(host.vpc), self._table.device(host.vpc).mac
        if name is None:
            return
        if isinstance(host.address, IPv4Address):
            self._arp.send(name, arp.probe(mac, host.address))
        else:
            self._nd.send(name, nd.probe(mac, host.address))

    def _adopt(self) -> None:
        """What an earlier agent had resolved goes on being used while it is asked again."""
        now = time.monotonic()
        for service in self._table.entries.services():
            number = self._table.vpc_number(service.vpc)
            self._adopt_annex(number, service)
            hosts = self._hosts(number, service)
            self._neighbours.watch(service.id, hosts, now)
            taking = {host.address: mac for host in hosts if (mac := self._table.macs.get(host))}
            for address, mac in taking.items():
                self._neighbours.heard(Host(number, address), mac, now)
            self._prober.watch(service, taking, calm=True)
            self._judge(service)
        self._probe()

    def _adopt_annex(self, number: int, service: Service) -> None:
        attachment = self._table.entries.attachment(service.vpc)
        if attachment and isinstance(attachment.target, Annex) and (mac := self._table.device(number).mac).strip(b"\0"):
            self._only[number] = inner_mac(mac)

    def _hosts(self, vpc: int, service: Service) -> list[Host]:
        """Whom to ask for. Those that are draining too, so that they take sessions again at once when they may."""
        return [] if vpc in self._only else [Host(vpc, backend.address) for backend in service.backends]

    def _heard(self, device: str, address: Address, mac: bytes) -> None:
        vpc = self._vpcs.get(device)
        if vpc is not None:
            self._rewrite(self._neighbours.heard(Host(vpc, address), mac, time.monotonic()), by_turns=True)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Rewrites nothing meanwhile: what is read then is of one moment."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
            self._catch_up(by_turns=False)

    def _rewrite(self, services: frozenset[str], *, by_turns: bool = False) -> None:
        """`by_turns` is what hosts say: all else is the gateway's own to know, and done at once."""
        for each in sorted(services):
            if self._held or (by_turns and not self._turns.take(each)):
                self._later.add(each)
            else:
                self._write(each)
        if self._later and self._catching_up is None:
            self._catching_up = self._loop.call_later(REWRITE_EVERY_SECONDS, self._catch_up)

    def _catch_up(self, *, by_turns: bool = True) -> None:
        if self._catching_up is not None:
            self._catching_up.cancel()
        self._catching_up, waiting = None, frozenset(self._later)
        self._later.clear()
        self._rewrite(waiting, by_turns=by_turns)

    def _write(self, id_: str) -> None:
        service = self._table.entries.service(id_)
        if service is None:
            return
        self._table.put_service(service, self._resolver(service))
        if id_ in self._awaited:
            self._awaited[id_].set()
        else:
            self._judge(service)

    def _takers(self, service: Service) -> list[Backend]:
        """The backends that could take new sessions, whether they are well or not."""
        number = self._table.vpc_number(service.vpc)
        return [each for each in service.backends if not each.draining and self.mac(number, each.address)]

    def _judge(self, service: Service) -> None:
        reason = no_answer(service, self._takers(service))
        if reason is None and (health := self.health(service.id)) is not None:
            reason = why_none_is_well(health)
        self._difficulties.judge(service.key, reason)
        if service.health_check is not None:
            self._difficulties.note_health([service.id])

    # ---- health

    def health(self, service: str) -> ServiceHealth | None:
        """How the backends of a service are; None where it asks for no health check, or is not in the table."""
        known = self._table.entries.service(service)
        return self._prober.health(service, self._able(known)) if known else None

    def health_figures(self) -> HealthFigures:
        return self._prober.figures()

    def _able(self, service: Service) -> frozenset[Address]:
        return frozenset(each.address for each in self._takers(service))

    def _resolver(self, service: Service) -> Resolve:
        """A backend that must not take new sessions is one that cannot be found; those that drain take none anyhow."""
        able = self._able(service)
        left_out: Container[Address] = able - self._prober.choice(service, able)
        return lambda vpc, address: None if address in left_out else self.mac(vpc, address)

    def _way(self, patient: Patient) -> Way | Obstacle:
        """As the service's own packets go: from the source address of one of its endpoints, the same one as long as it
        is there."""
        service = self._table.entries.service(patient.service)
        asker = self._table.entries.any_user(service.key, self._askers.get(service.id)) if service else None
        if service is None or not isinstance(asker, Endpoint):
            self._askers.pop(patient.service, None)
            return Obstacle.NOBODY_ASKS
        self._askers[service.id] = asker.key
        number = self._table.vpc_number(service.vpc) if self._table.entries.attachment(service.vpc) else 0
        if (name := self._devices.get(number)) is None:
            return Obstacle.NO_DEVICE
        if (mac := self._neighbours.mac(Host(number, patient.address))) is None:
            return Obstacle.NO_MAC
        ours = Peer(self._table.device(number).mac, seen_as(asker.source_address, patient.address.version))
        return Way(name, Between(ours, Peer(mac, patient.address)))
