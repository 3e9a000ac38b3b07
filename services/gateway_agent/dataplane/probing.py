"""Trying out an endpoint as its own packets would go: ARP on the consumer's side, connections to the backends."""

import asyncio
import secrets
from collections.abc import Iterable, Sequence
from contextlib import suppress
from ipaddress import IPv4Address

from services.gateway_agent.dataplane.arp import BROADCAST, NOBODY, REQUEST, ArpFrame, probe
from services.gateway_agent.dataplane.listening import FIRST_SESSION_PORT, Ear, answers_to, claims_of
from services.gateway_agent.dataplane.segments import Dialling, Host
from services.gateway_agent.reach import Outcome
from services.gateway_agent.table import Address

FIRST_PORT = 512
ASKING_PERIODS = 3
"""How often in the time there is a question is put again: a frame may be lost."""

Heard = dict[tuple[Address, int], Outcome]
"""By address and port of a backend."""


async def claimants(device: str, mac: bytes, address: IPv4Address, seconds: float) -> tuple[str, ...]:
    """The MAC addresses of those behind the device who say within `seconds` that the address is theirs."""
    found: set[str] = set()

    def heard(frame: bytes) -> None:
        said = ArpFrame.unpack(frame)
        if said is not None and said.sender == address and said.sender_mac != mac:
            found.add(said.sender_mac.hex(":"))

    with Ear(device, claims_of(address), heard) as ear:
        for _ in range(ASKING_PERIODS):
            ear.say(probe(mac, address))
            await asyncio.sleep(seconds / ASKING_PERIODS)
            if found:
                break
    return tuple(sorted(found))


def question(asker: bytes, address: IPv4Address) -> bytes:
    """An ARP request as a client of the VPC would send it."""
    return ArpFrame(REQUEST, asker, NOBODY, bytes(6), address).pack(BROADCAST)


def is_answer(frame: bytes, address: IPv4Address) -> bool:
    """Whether it says where the address is."""
    said = ArpFrame.unpack(frame)
    return said is not None and said.tells and said.sender == address


async def dial(device: str, ours: Host, targets: Iterable[tuple[Host, int]], seconds: float) -> Heard:
    """Tries to connect to each port, from a source port that no session has; what is missing was silent."""
    dialled = [
        Dialling(ours, theirs, source_port, port, secrets.randbits(32))
        for (theirs, port), source_port in zip(targets, _source_ports(), strict=False)
    ]
    outcomes: Heard = {}
    all_known = asyncio.Event()

    def heard(frame: bytes) -> None:
        for each in dialled:
            outcome = each.outcome(frame)
            if outcome is None:
                continue
            if outcome is Outcome.OPEN:
                ear.say(each.hanging_up())
            outcomes.setdefault((each.theirs.address, each.port), outcome)
        if len(outcomes) == len(dialled):
            all_known.set()

    with Ear(device, answers_to(ours.address), heard) as ear:
        for _ in range(ASKING_PERIODS if dialled else 0):
            for each in dialled:
                if (each.theirs.address, each.port) not in outcomes:
                    ear.say(each.opening())
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds / ASKING_PERIODS):
                    await all_known.wait()
                    break
    return outcomes


def _source_ports() -> Sequence[int]:
    """In an order of their own every time: a late answer to an earlier test is none to this one."""
    return secrets.SystemRandom().sample(range(FIRST_PORT, FIRST_SESSION_PORT), FIRST_SESSION_PORT - FIRST_PORT)
