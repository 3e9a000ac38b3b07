"""A client's first packet put through the forwarding program on the table as it is, with nothing left of it.

The program is loaded once more, on the pinned maps of the table, but with maps of its own for all that it writes: what
runs is what forwards (the kernel's tag of it says so), and yet no session opens and nothing is counted. Of that
is copied before: the session that the packet may belong to, what the endpoint has taken of its limits, sessions that
have the source port that it would get. The steps are read from the maps beside it; the verdict is the program's.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace

from services.gateway_agent.dataplane.crafted import first_frame
from services.gateway_agent.dataplane.kernel_table import KernelTable
from services.gateway_agent.dataplane.libbpf import LoadedObject, Map
from services.gateway_agent.dataplane.maps import COUNT, NUMBER, Counter, Maps
from services.gateway_agent.dataplane.port import NotReady
from services.gateway_agent.dataplane.resolution import Resolution
from services.gateway_agent.dataplane.trace_steps import Looking, Session, client_key, session_of
from services.gateway_agent.packet_trace import FORWARDED, Opening, PacketTrace
from services.gateway_agent.routes import leads_to, shown_by
from services.gateway_agent.table import Address, Endpoint, Service

ENTRIES, PAGE = 128, 4096
BESIDE = {Counter.SESSION_NEW, Counter.FLOW_RECORD_LOST, Counter.TOA_ADDED, Counter.TOA_LEFT_OUT}
"""What is counted beside what became of the packet."""

SENDER = bytes.fromhex("020000000001")
MOST_TAKEN = 32
"""So many source ports the program tries. It is told of each that is taken, as soon as it has taken it."""

TRIES = 3
"""The table may change between the run and the reading of the maps; then both are done again."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the program has said of one packet. `session` is the one that it opened or followed."""

    counter: str
    opened: bool
    session: Session | None


class DryRun:
    """Traces; each loads the program anew, on a thread of its own."""

    def __init__(self, table: KernelTable, resolution: Resolution, program: LoadedObject, maps: Maps) -> None:
        self._table, self._resolution, self._program, self._maps = table, resolution, program, maps

    async def trace(self, endpoint: str, opening: Opening) -> PacketTrace | None:
        """None if the endpoint is not in the table. Raises OSError, and NotReady if it cannot be asked."""
        known = self._table.entries.endpoint(endpoint)
        if known is None:
            return None
        check_opening(known, opening)
        copy = await asyncio.to_thread(self._program.copy, own_maps(self._table.slot(endpoint)))
        try:
            if copy.tag != self._program.tag:
                raise NotReady("the program on disk is not the one that forwards: restart the agent")
            for _ in range(TRIES):
                trace = self._once(copy, endpoint, opening)
                if trace is None or trace.agrees:
                    break
            return trace
        finally:
            copy.close()

    def _once(self, copy: LoadedObject, endpoint: str, opening: Opening) -> PacketTrace | None:
        known = self._table.entries.endpoint(endpoint)
        service = self._table.entries.service(known.service) if known else None
        if known is None or service is None:
            return None
        opening = replace(opening, port=opening.port or first_port(service, opening))
        address = destination_of(known, opening)
        verdict = self._run(copy, known, opening, address)
        looking = Looking(self._table, self._maps, self._resolution, known, opening)
        looking.usage = self._program.maps["usage"].get(NUMBER.pack(self._table.slot(endpoint))) or b""
        steps = tuple(looking.steps(verdict.session, opened=verdict.opened, verdict=verdict.counter))
        to = verdict.session if verdict.counter == FORWARDED else None
        return PacketTrace(
            opening,
            address,
            steps,
            verdict.counter,
            looking.foreseen.value,
            copy.tag,
            *((to.backend, to.server_port, to.seen_as, to.seen_port) if to else ()),
        )

    def _run(self, copy: LoadedObject, endpoint: Endpoint, opening: Opening, address: Address) -> Verdict:
        """Again, as long as the source port that it takes is taken, and as often as the program looks for one."""
        number, slot = self._table.vpc_number(endpoint.vpc), NUMBER.pack(self._table.slot(endpoint.id))
        device, family = self._table.device(number), "sessions" if opening.source.version == 4 else "sessions6"
        frame = first_frame(opening, address, sender=SENDER, receiver=device.mac)
        key, live, ours = client_key(number, opening, address), self._program.maps, copy.maps
        there = _session_at(live[family], key)
        for tried in range(1, MOST_TAKEN + 1):
            _fill(ours[family], there)
            ours["usage"].put(slot, live["usage"].get(slot) or bytes(ours["usage"].value_size))
            before = _counts(ours["counters"])
            copy.try_frame(frame, device.ifindex)
            counted = {name for name, count in _counts(ours["counters"]).items() if count != before[name]}
            opened, session = Counter.SESSION_NEW in counted, session_of(ours[family], key)
            taken = live[family].get(session.other) if session and opened else None
            if session is None or taken is None:
                break
            there[session.other] = taken
            if tried == MOST_TAKEN:
                return Verdict(Counter.REFUSED_NO_SOURCE_PORT.value, opened=False, session=None)
        (said,) = counted - BESIDE
        return Verdict(said.value, opened, session)


def own_maps(slot: int) -> Mapping[str, int]:
    """What the program writes to, and how many entries of it the copy has for itself: arrays up to the slot."""
    return {
        "sessions": ENTRIES,
        "sessions6": ENTRIES,
        "refusals": ENTRIES,
        "counters": len(Counter),
        "usage": slot + 1,
        "traffic": 1,
        "flows": PAGE,
        "desks": 1,
    }


def _session_at(sessions: Map, key: bytes) -> dict[bytes, bytes]:
    """Both entries of the session that there is, if there is one."""
    consumer, session = sessions.get(key), session_of(sessions, key)
    provider = sessions.get(session.other) if session else None
    return {key: consumer, session.other: provider} if consumer and session and provider else {}


def check_opening(endpoint: Endpoint, opening: Opening) -> None:
    """Raises NotReady for a packet that cannot be one to the endpoint."""
    if opening.source.version != endpoint.address.version:
        raise NotReady(f"{opening.source} is of another family than {endpoint.address}")
    if opening.destination and not leads_to(endpoint, opening.destination):
        raise NotReady(f"{opening.destination} is no address of the endpoint, nor in a route of it")


def destination_of(endpoint: Endpoint, opening: Opening) -> Address:
    return opening.destination or shown_by(endpoint, opening.protocol, opening.port)


def first_port(service: Service, opening: Opening) -> int:
    """The first that is published for the protocol, or at all; 1 where there is none, which no service needs."""
    of_it = [each.client_port for each in service.ports if each.protocol is opening.protocol]
    return next(iter((*of_it, *(each.client_port for each in service.ports))), 1)


def _fill(sessions: Map, entries: Mapping[bytes, bytes]) -> None:
    for key, _ in list(sessions.items()):
        sessions.delete(key)
    for key, entry in entries.items():
        sessions.put(key, entry)


def _counts(counters: Map) -> dict[Counter, int]:
    """Every CPU counts for itself."""
    return {
        counter: sum(value for (value,) in COUNT.iter_unpack(counters.get(NUMBER.pack(number)) or b""))
        for number, counter in enumerate(Counter)
    }
