"""A client's first packet put through the forwarding program on the table as it is, with nothing left of it.

The program is loaded once more, on the pinned maps of the table, but with sessions and counters of its own: what runs
is what forwards (the kernel's tag of it says so), and yet no session opens and nothing is counted. A session that the
packet may belong to is copied there before, and those that have the source port that it would get. The steps are read
from the maps beside it; the verdict is the program's.
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
from services.gateway_agent.table import Endpoint, Service

OWN = {"sessions": 64, "counters": len(Counter)}
"""Maps that the copy has for itself, and how many entries they have."""

SENDER = bytes.fromhex("020000000001")
MOST_TAKEN = 48
"""Source ports that are taken and that the copy is told of: more than the program ever tries."""

TRIES = 3
"""The table may change between the run and the reading of the maps; then both are done again."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the program has said of one packet. `session` is the one that it opened or followed."""

    counter: str
    opened: bool
    session: Session | None


class DryRun:
    """Traces; each loads the program anew, which takes some tens of milliseconds on a thread of its own."""

    def __init__(self, table: KernelTable, maps: Maps, resolution: Resolution, program: LoadedObject) -> None:
        self._table, self._maps, self._resolution, self._program = table, maps, resolution, program

    async def trace(self, endpoint: str, opening: Opening) -> PacketTrace | None:
        """None if the endpoint is not in the table. Raises OSError, and NotReady if it cannot be asked."""
        copy = await asyncio.to_thread(self._program.copy, OWN)
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
        if opening.source.version != known.address.version:
            raise NotReady(f"{opening.source} is of another family than {known.address}")
        opening = replace(opening, port=opening.port or first_port(service, opening))
        verdict = self._run(copy, known, opening)
        looking = Looking(self._table, self._maps, self._resolution, known, opening)
        steps = tuple(looking.steps(verdict.session, opened=verdict.opened, verdict=verdict.counter))
        to = verdict.session if verdict.counter == FORWARDED else None
        return PacketTrace(
            opening,
            known.address,
            steps,
            verdict.counter,
            looking.foreseen.value,
            copy.tag,
            *((to.backend, to.server_port, to.seen_as, to.seen_port) if to else ()),
        )

    def _run(self, copy: LoadedObject, endpoint: Endpoint, opening: Opening) -> Verdict:
        """Again, as long as the source port that it takes is taken: then it must look for another."""
        number = self._table.vpc_number(endpoint.vpc)
        device = self._table.device(number)
        frame = first_frame(opening, endpoint.address, sender=SENDER, receiver=device.mac)
        key, counters = client_key(number, opening, endpoint.address), copy.maps["counters"]
        there = self._session_at(key)
        while True:
            _fill(copy.maps["sessions"], there)
            before = _counts(counters)
            copy.try_frame(frame, device.ifindex)
            counted = {name for name, count in _counts(counters).items() if count != before[name]}
            opened, session = Counter.SESSION_NEW in counted, session_of(copy.maps["sessions"], key)
            taken = self._maps.sessions.get(session.other) if session and opened else None
            if session is None or taken is None or len(there) >= MOST_TAKEN:
                (said,) = counted - {Counter.SESSION_NEW}
                return Verdict(said.value, opened, session)
            there[session.other] = taken

    def _session_at(self, key: bytes) -> dict[bytes, bytes]:
        """Both entries of the session that there is, if there is one."""
        consumer, session = self._maps.sessions.get(key), session_of(self._maps.sessions, key)
        provider = self._maps.sessions.get(session.other) if session else None
        return {key: consumer, session.other: provider} if consumer and session and provider else {}


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
