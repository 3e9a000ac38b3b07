"""Trying out an endpoint as its own packets would go: ARP on the consumer's side, connections to the backends."""

import asyncio
import secrets
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address
from itertools import chain
from typing import NamedTuple

from services.gateway_agent.dataplane import arp, nd
from services.gateway_agent.dataplane.arp import BROADCAST, NOBODY, REQUEST, ArpFrame
from services.gateway_agent.dataplane.dialling import Dialling
from services.gateway_agent.dataplane.listening import FIRST_SESSION_PORT, Ear, answers_to, claims_of, claims_of_ipv6
from services.gateway_agent.dataplane.proxy_greeting import SECONDS as GREETING_SECONDS
from services.gateway_agent.dataplane.proxy_greeting import Greeting
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


class Target(NamedTuple):
    """A port of a backend; one that `tells` is sent a PROXY header when it has taken the connection."""

    peer: Peer
    port: int
    tells: bool = False


@dataclass(slots=True)
class _Call:
    """One attempt under way."""

    dialling: Dialling
    tells: bool
    greeting: Greeting | None = None
    outcome: Outcome | None = None

    @property
    def key(self) -> tuple[Address, int]:
        return self.dialling.between.theirs.address, self.dialling.port

    @property
    def is_waiting(self) -> bool:
        """Whether nobody has taken the connection yet, or refused it."""
        return self.outcome is None and self.greeting is None

    def hear(self, frame: bytes) -> list[bytes]:
        """What to say to a frame that came."""
        if self.outcome is not None:
            return []
        if self.greeting is not None:
            before = self.greeting.expected
            self.outcome = self.greeting.outcome(frame)
            if self.outcome:
                return self.greeting.hanging_up()
            return [self.greeting.acknowledging()] if self.greeting.expected != before else []
        found = self.dialling.outcome(frame)
        if found is Outcome.OPEN and self.tells:
            self.greeting = Greeting.of(self.dialling, frame)
            return [self.greeting.telling()]
        self.outcome = found
        return [self.dialling.hanging_up()] if found is Outcome.OPEN else []

    def end(self) -> list[bytes]:
        """Whoever was told and says nothing goes on."""
        if self.greeting is None or self.outcome is not None:
            return []
        self.outcome = Outcome.OPEN
        return self.greeting.hanging_up()


async def dial(device: str, ours: Peer, targets: Iterable[Target], seconds: float) -> Heard:
    """Tries to connect to each port, from a source port that no session has; what is missing was silent."""
    calls = [
        _Call(Dialling(Between(ours, to.peer), source_port, to.port, secrets.randbits(32)), to.tells)
        for to, source_port in zip(targets, _source_ports(), strict=False)
    ]
    taken, all_known = asyncio.Event(), asyncio.Event()

    def heard(frame: bytes) -> None:
        for answer in chain.from_iterable(call.hear(frame) for call in calls):
            ear.say(answer)
        if not any(call.is_waiting for call in calls):
            taken.set()
        if all(call.outcome for call in calls):
            all_known.set()

    with Ear(device, answers_to(ours.address), heard) as ear:
        for _ in range(ASKING_PERIODS if calls else 0):
            for call in calls:
                if call.is_waiting:
                    ear.say(call.dialling.opening())
            if await _within(seconds / ASKING_PERIODS, taken):
                break
        if any(call.greeting and not call.outcome for call in calls):
            await _within(GREETING_SECONDS, all_known)
        for last_word in chain.from_iterable(call.end() for call in calls):
            ear.say(last_word)
    return {call.key: call.outcome for call in calls if call.outcome}


async def _within(seconds: float, event: asyncio.Event) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            return await event.wait()
    return False


def _source_ports() -> Sequence[int]:
    """In an order of their own every time: a late answer to an earlier test is none to this one."""
    return secrets.SystemRandom().sample(range(FIRST_PORT, FIRST_SESSION_PORT), FIRST_SESSION_PORT - FIRST_PORT)
