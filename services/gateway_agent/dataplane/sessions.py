"""Removing sessions that are over, by a program in the kernel that judges keys batch by batch."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from services.gateway_agent.dataplane.libbpf import LoadedObject, Map
from services.gateway_agent.dataplane.memory import Window
from services.gateway_agent.dataplane.session_maps import SWEEP, SWEEP_KEYS
from services.gateway_agent.table import Protocol, Timeouts


@dataclass(slots=True)
class Swept:
    """How many sessions there were, and how many of them are no more."""

    sessions: int = 0
    removed: int = 0


class Sweeper:
    """One round over all sessions of a family; what it finds it does not keep, so there may be any number.

    It sees an entry that stays for the length of the round. Forwarding goes on meanwhile.
    """

    def __init__(self, program: LoadedObject, family: str) -> None:
        self._program, self._name = program, f"sweep{family}"
        self._sessions: Map = program.maps[f"sessions{family}"]
        self._keys = Window(program.maps[f"sweep_keys{family}"])

    def sweep(self, swept: Swept, pause: Callable[[], None], now: int = 0) -> None:
        """Adds to `swept`; `pause` is called after each batch. `now` in nanoseconds of CLOCK_MONOTONIC; 0 is now.

        Raises BpfError.
        """
        for count in self._sessions.key_batches(self._keys.address, SWEEP_KEYS):
            if count:
                _, sessions, removed, _, _ = SWEEP.unpack(
                    self._program.call(self._name, SWEEP.pack(count, 0, 0, 0, now))
                )
                swept.sessions += sessions
                swept.removed += removed
                pause()

    def close(self) -> None:
        self._keys.close()


class Leisure:
    """Pauses after each batch, so that a round takes no more than a share of a processor."""

    SHARE = 0.2

    def __init__(self) -> None:
        self._since = time.monotonic()

    def pause(self) -> None:
        worked = time.monotonic() - self._since
        time.sleep(worked * (1 / self.SHARE - 1))
        self._since = time.monotonic()


def timeout_of(timeouts: Timeouts, protocol: Protocol, *, two_way: bool, closed: bool) -> int:
    """Seconds without a packet after which a session is over, as the program has it in sweep.h."""
    if protocol is Protocol.UDP:
        return timeouts.udp_two_way if two_way else timeouts.udp_one_way
    if closed:
        return timeouts.tcp_closed
    return timeouts.tcp_established if two_way else timeouts.tcp_half_open
