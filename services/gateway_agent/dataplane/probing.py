"""Trying out an endpoint as its own packets would go: ARP on the consumer's side, connections to the backends."""

import asyncio
import secrets
from collections.abc import Iterable, Sequence
from contextlib import suppress
from ipaddress import IPv4Address

from services.gateway_agent.dataplane import arp, nd
from services.gateway_agent.dataplane.arp import BROADCAST, NOBODY, REQUEST, ArpFrame
from services.gateway_agent.dataplane.dialling import Dialling
from services.gateway_agent.dataplane.listening import FIRST_SESSION_PORT, Ear, answers_to, claims_of, claims_of_ipv6
from services.gateway_agent.dataplane.tcp_frames import Between, Peer
from services.gateway_agent.reach import Outcome
from services.gateway_agent.table import Address

FIRST_PORT = 512
ASKING_PERIODS = 3
"""How often in the time there is a question is put again: a frame may be lost."""

Heard = dict[tuple[Address, int], Outcome]
"""By address and port of a backend."""


async def claimants(device: str, mac: bytes, address: Address, seconds: float) -> tuple[str, ...]:
    """The MAC addresses of those behind the device who say within `seconds` that the address is theirs."""
    found: set[str] = set()

    def heard(frame: bytes) -> None:
        said = claimed_by(frame, address)
        if said is not None and said != mac:
            found.add(said.hex(":"))

    filtering = claims_of(address) if isinstance(address, IPv4Address) else claims_of_ipv6(address)
    with Ear(device, filtering, heard) as ear:
        for _ in range(ASKING_PERIODS):
            ear.say(arp.probe(mac, address) if isinstance(address, IPv4Address) else nd.probe(mac, address))
            await asyncio.sleep(seconds / ASKING_PERIODS)
            if found:
                break
    return tuple(sorted(found))


def claimed_by(frame: bytes, address: Address) -> bytes | None:
    """The MAC address of which the frame says that the address is there."""
    if isinstance(address, IPv4Address):
        told = ArpFrame.unpack(frame)
        return told.sender_mac if told is not None and told.sender == address else None
    said = nd.Advertisement.unpack(frame)
    return said.mac if said is not None and said.address == address else None


def question(asker: bytes, address: Address) -> bytes:
    """As a client of the VPC would ask where the address is."""
    if isinstance(address, IPv4Address):
        return ArpFrame(REQUEST, asker, NOBODY, bytes(6), address).pack(BROADCAST)
    return nd.probe(asker, address)


def is_answer(frame: bytes, address: Address) -> bool:
    """Whether it says where the address is."""
    told = ArpFrame.unpack(frame)
    return claimed_by(frame, address) is not None and (told is None or told.tells)


async def dial(device: str, ours: Peer, targets: Iterable[tuple[Peer, int]], seconds: float) -> Heard:
    """Tries to connect to each port, from a source port that no session has; what is missing was silent."""
    dialled = [
        Dialling(Between(ours, theirs), source_port, port, secrets.randbits(32))
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
            outcomes.setdefault((each.between.theirs.address, each.port), outcome)
        if len(outcomes) == len(dialled):
            all_known.set()

    with Ear(device, answers_to(ours.address), heard) as ear:
        for _ in range(ASKING_PERIODS if dialled else 0):
            for each in dialled:
                if (each.between.theirs.address, each.port) not in outcomes:
                    ear.say(each.opening())
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds / ASKING_PERIODS):
                    await all_known.wait()
                    break
    return outcomes


def _source_ports() -> Sequence[int]:
    """In an order of their own every time: a late answer to an earlier test is none to this one."""
    return secrets.SystemRandom().sample(range(FIRST_PORT, FIRST_SESSION_PORT), FIRST_SESSION_PORT - FIRST_PORT)
