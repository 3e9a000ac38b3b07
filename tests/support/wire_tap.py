"""What is seen on a wire while something happens: who talked to whom, counted; only headers are read."""

import asyncio
import contextlib
import socket
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address

from tests.support.namespaces import Namespace

ALL = 0x0003
IPV4 = b"\x08\x00"
HEADERS = 64  # bytes of a frame that are read
BATCH = 256
TRANSPORTS = {1: "icmp", 6: "tcp", 17: "udp"}
BUFFER = 8 << 20


@dataclass(frozen=True, slots=True, order=True)
class Talk:
    """Who asks whom: the client's port is left out, for each question has another."""

    client: str
    server: str
    port: int
    protocol: str

    def __str__(self) -> str:
        where = f"{self.server}:{self.port}" if self.port else self.server
        return f"{self.client} → {where} {self.protocol}"


class Talks:
    """Counts frames by who asks whom; what goes from the one asked to the one who asks is an answer."""

    def __init__(self) -> None:
        self._there: Counter[Talk] = Counter()
        self._back: Counter[Talk] = Counter()
        self._known: set[Talk] = set()

    @property
    def counted(self) -> Mapping[Talk, tuple[int, int]]:
        """Packets that went there and came back, of each."""
        return {talk: (self._there[talk], self._back[talk]) for talk in sorted({*self._there, *self._back})}

    @property
    def packets(self) -> int:
        return self._there.total() + self._back.total()

    def begin_anew(self) -> None:
        """Counts from zero; who asks whom stays known, so that answers are still told from questions."""
        self._there.clear()
        self._back.clear()

    def count(self, frame: bytes) -> None:
        """The first bytes of an Ethernet frame; what is not IPv4 is left out."""
        if frame[12:14] != IPV4 or len(frame) < 34:
            return
        begin = 14 + (frame[14] & 15) * 4
        source, destination = (str(IPv4Address(frame[at : at + 4])) for at in (26, 30))
        protocol = TRANSPORTS.get(frame[23], str(frame[23]))
        ports = protocol in ("tcp", "udp")
        here, there = (int.from_bytes(frame[begin + at : begin + at + 2], "big") if ports else 0 for at in (0, 2))
        talk, answer = Talk(source, destination, there, protocol), Talk(destination, source, here, protocol)
        turned = Talk(destination, source, there, protocol)  # both ends may have the same port, as VXLAN's do
        if known := next((each for each in (answer, turned) if each in self._known), None):
            self._back[known] += 1
        else:
            self._known.add(talk)
            self._there[talk] += 1


class Tap:
    """On one device of one namespace."""

    def __init__(self, place: str, namespace: Namespace, device: str) -> None:
        self.place = place
        self._socket = namespace.packet_socket(ALL, device)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        self._talks = Talks()
        asyncio.get_running_loop().add_reader(self._socket, self._read)

    @property
    def talks(self) -> Mapping[Talk, tuple[int, int]]:
        """Packets that went there and came back, of each."""
        self._read()
        return self._talks.counted

    @property
    def addresses(self) -> set[str]:
        """Everybody who was seen to send or to be sent something."""
        return {address for talk in self.talks for address in (talk.client, talk.server)}

    def lines(self, at_most: int = 6) -> list[str]:
        talks = sorted(self.talks.items(), key=lambda each: -sum(each[1]))
        told = [f"{self.place}: {talk}  {there:,} there, {back:,} back" for talk, (there, back) in talks[:at_most]]
        return told + ([f"{self.place}: and {len(talks) - at_most} more"] if len(talks) > at_most else [])

    @property
    def packets(self) -> int:
        self._read()
        return self._talks.packets

    def begin_anew(self) -> None:
        self._talks.begin_anew()

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()

    def _read(self) -> None:
        with contextlib.suppress(BlockingIOError, OSError):
            for _ in range(BATCH):
                self._talks.count(self._socket.recv(HEADERS))


@contextlib.contextmanager
def tapped(*wires: tuple[str, Namespace, str]) -> Iterator[list[Tap]]:
    """Taps (place, namespace, device) all at once."""
    with contextlib.ExitStack() as stack:
        taps = []
        for wire in wires:
            taps.append(Tap(*wire))
            stack.callback(taps[-1].close)
        yield taps
