"""An endpoint tried out from here: whether its address is answered for, and what its backends' ports say."""

import asyncio
from collections.abc import Container
from itertools import islice

from services.gateway_agent.dataplane.kernel_table import KernelTable
from services.gateway_agent.dataplane.libbpf import LoadedObject
from services.gateway_agent.dataplane.probing import Heard, Target, claimants, dial, is_answer, question
from services.gateway_agent.dataplane.resolution import Resolution
from services.gateway_agent.dataplane.tcp_frames import Peer
from services.gateway_agent.reach import MOST_ATTEMPTS, Attempt, Outcome, Reach, served, told
from services.gateway_agent.table import Address, Endpoint, Protocol, Service, seen_as

REDIRECT = 7  # TC_ACT_REDIRECT
ASKER = bytes.fromhex("020000000001")
CLAIM_SECONDS = 0.3
"""A host in reach answers ARP within milliseconds."""

SHORTEST_ETHERNET = 60


class Trial:
    """Sends on the devices themselves, and hears the answers before the program, which knows no session of them."""

    def __init__(self, table: KernelTable, resolution: Resolution, program: LoadedObject) -> None:
        self._table = table
        self._resolution = resolution
        self._program = program

    async def reach(self, endpoint: str, seconds: float) -> Reach | None:
        """Raises OSError where a device went away."""
        known = self._table.entries.endpoint(endpoint)
        service = self._table.entries.service(known.service) if known else None
        if known is None or service is None:
            return None
        consumer, attempts = await asyncio.gather(
            self._consumer_side(known, min(seconds, CLAIM_SECONDS)), self._provider_side(known, service, seconds)
        )
        return Reach(consumer.answers, consumer.mac, consumer.claimants, attempts)

    async def _consumer_side(self, endpoint: Endpoint, seconds: float) -> Reach:
        number = self._table.vpc_number(endpoint.vpc)
        device, name = self._table.device(number), self._resolution.device_of(number)
        address = endpoint.address
        if name is None:
            return Reach(answers=False)
        asked = question(ASKER, address).ljust(SHORTEST_ETHERNET, b"\0")
        verdict, frame = self._program.try_frame(asked, device.ifindex)
        answers = verdict == REDIRECT and is_answer(frame, address)
        others = await claimants(name, device.mac, address, seconds)
        return Reach(answers, device.mac.hex(":"), others)

    async def _provider_side(self, endpoint: Endpoint, service: Service, seconds: float) -> tuple[Attempt, ...]:
        number = self._table.vpc_number(service.vpc)
        device, name = self._table.device(number), self._resolution.device_of(number)
        ports = ((each.address, *port) for port in served(service) for each in service.backends)
        wanted = tuple(islice(ports, MOST_ATTEMPTS))
        hosts: dict[Address, Peer] = {}
        for backend in service.backends if name else ():
            mac = self._resolution.mac(number, backend.address)
            if mac is not None:
                hosts[backend.address] = Peer(mac, backend.address)
        tell = told(service)
        targets = [
            Target(hosts[address], port, port in tell)
            for address, port, kind in wanted
            if kind is Protocol.TCP and address in hosts
        ]
        heard: Heard = {}
        if name is not None and targets:
            ours = Peer(device.mac, seen_as(endpoint.source_address, endpoint.address.version))
            heard = await dial(name, ours, targets, seconds)
        return tuple(Attempt(*each, _outcome(each, heard, hosts)) for each in wanted)


def _outcome(tried: tuple[Address, int, Protocol], heard: Heard, hosts: Container[Address]) -> Outcome:
    address, port, protocol = tried
    if address not in hosts:
        return Outcome.UNRESOLVED
    return Outcome.PRESENT if protocol is Protocol.UDP else heard.get((address, port), Outcome.SILENT)
