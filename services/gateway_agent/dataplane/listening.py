"""A packet socket on one device, filtered in the kernel, that hears frames before our program drops them."""

import asyncio
import ctypes
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address
from itertools import chain
from struct import Struct
from typing import Self

from services.gateway_agent.table import SOURCE_PREFIX_V6, SOURCE_RANGE, Address

EVERY_PROTOCOL = 0x0003  # ETH_P_ALL: sockets for one protocol come after tc ingress, and would hear nothing
SO_ATTACH_FILTER = 26
SOL_PACKET = 263
PACKET_IGNORE_OUTGOING = 23  # of linux/if_packet.h; else the kernel copies each packet that leaves, to be dropped here
LONGEST_FRAME = 256
LONGEST_ANSWER = 8192
FRAMES_AT_ONCE = 64
FIRST_SESSION_PORT = 1024
"""Sessions have source ports from here on; what is below is free for tests."""

# Of classic BPF, linux/filter.h: load a byte, half-word or word, jump by comparison, return.
LD_WORD, LD_HALF, LD_BYTE, LDX_HEADER, LD_HALF_BEHIND = 0x20, 0x28, 0x30, 0xB1, 0x48
AND, JUMP_EQUAL, JUMP_GREATER_EQUAL, JUMP_SET, RETURN = 0x54, 0x15, 0x35, 0x45, 0x06
FRAGMENT_OFFSET = 0x1FFF
ADVERTISEMENT = 136  # a type of ICMPv6
DESTINATION, TARGET = 38, 62  # where an IPv6 header and an advertisement have them, in a frame
_INSTRUCTION = Struct("=HBBI")
Instruction = tuple[int, int, int, int]
Line = tuple[int, int] | tuple[int, int, str, str]
"""Code, operand, and for a jump the labels of where it goes if it is so, and if not."""


def claims_of(address: IPv4Address) -> Sequence[Instruction]:
    """Lets ARP through whose sender says that it has the address."""
    return (
        (LD_HALF, 0, 0, 12), (JUMP_EQUAL, 0, 3, 0x0806),
        (LD_WORD, 0, 0, 28), (JUMP_EQUAL, 0, 1, int(address)),
        (RETURN, 0, 0, LONGEST_FRAME),
        (RETURN, 0, 0, 0),
    )  # fmt: skip


def answers_to(address: Address) -> Sequence[Instruction]:
    """Lets through, to the address, ICMP, and TCP to a port that no session has."""
    if isinstance(address, IPv6Address):
        return _answers_to_ipv6(address)
    return (
        (LD_HALF, 0, 0, 12), (JUMP_EQUAL, 0, 9, 0x0800),
        (LD_WORD, 0, 0, 30), (JUMP_EQUAL, 0, 7, int(address)),
        (LD_BYTE, 0, 0, 23), (JUMP_EQUAL, 4, 0, socket.IPPROTO_ICMP),
        (JUMP_EQUAL, 0, 4, socket.IPPROTO_TCP),
        (LDX_HEADER, 0, 0, 14), (LD_HALF_BEHIND, 0, 0, 16),
        (JUMP_GREATER_EQUAL, 1, 0, FIRST_SESSION_PORT),
        (RETURN, 0, 0, LONGEST_FRAME),
        (RETURN, 0, 0, 0),
    )  # fmt: skip


def _is_at(address: IPv6Address, offset: int) -> Iterator[Line]:
    for start in range(0, len(address.packed), 4):
        yield LD_WORD, offset + start
        yield JUMP_EQUAL, int.from_bytes(address.packed[start : start + 4], "big"), "", "drop"


def _answers_to_ipv6(address: IPv6Address) -> Sequence[Instruction]:
    return _assembled({
        "": [
            (LD_HALF, 12), (JUMP_EQUAL, 0x86DD, "", "drop"), *_is_at(address, DESTINATION),
            (LD_BYTE, 20), (JUMP_EQUAL, socket.IPPROTO_ICMPV6, "accept", ""),
            (JUMP_EQUAL, socket.IPPROTO_TCP, "", "drop"),
            (LD_HALF, 56), (JUMP_GREATER_EQUAL, FIRST_SESSION_PORT, "drop", "accept"),
        ],
        "accept": [(RETURN, LONGEST_FRAME)],
        "drop": [(RETURN, 0)],
    })  # fmt: skip


def claims_of_ipv6(address: IPv6Address) -> Sequence[Instruction]:
    """Lets advertisements through that say where the address is."""
    return _assembled({
        "": [
            (LD_HALF, 12), (JUMP_EQUAL, 0x86DD, "", "drop"),
            (LD_BYTE, 20), (JUMP_EQUAL, socket.IPPROTO_ICMPV6, "", "drop"),
            (LD_BYTE, 54), (JUMP_EQUAL, ADVERTISEMENT, "", "drop"), *_is_at(address, TARGET),
        ],
        "accept": [(RETURN, LONGEST_FRAME)],
        "drop": [(RETURN, 0)],
    })  # fmt: skip


def advertisements() -> Sequence[Instruction]:
    """Lets ICMPv6 through by which hosts say where they are (RFC 4861)."""
    return (
        (LD_HALF, 0, 0, 12), (JUMP_EQUAL, 0, 5, 0x86DD),
        (LD_BYTE, 0, 0, 20), (JUMP_EQUAL, 0, 3, socket.IPPROTO_ICMPV6),
        (LD_BYTE, 0, 0, 54), (JUMP_EQUAL, 0, 1, ADVERTISEMENT),
        (RETURN, 0, 0, LONGEST_FRAME),
        (RETURN, 0, 0, 0),
    )  # fmt: skip


def answers_to_checks(ports: range) -> Sequence[Instruction]:
    """Lets through, at addresses that backends see, TCP to one of the ports, and ICMP."""
    words = SOURCE_PREFIX_V6.network_address.packed
    prefix = [int.from_bytes(words[at : at + 4], "big") for at in (0, 4, 8)]
    return _assembled({
        "": [
            (LD_HALF, 12), (JUMP_EQUAL, 0x0800, "", "v6"),
            (LD_WORD, 30), (AND, int(SOURCE_RANGE.netmask)),
            (JUMP_EQUAL, int(SOURCE_RANGE.network_address), "", "drop"),
            (LD_BYTE, 23), (JUMP_EQUAL, socket.IPPROTO_ICMP, "accept", ""),
            (JUMP_EQUAL, socket.IPPROTO_TCP, "", "drop"),
            (LD_HALF, 20), (JUMP_SET, FRAGMENT_OFFSET, "drop", ""),
            (LDX_HEADER, 14), (LD_HALF_BEHIND, 16), (JUMP_GREATER_EQUAL, 0, "port", "port"),
        ],
        "v6": [
            (JUMP_EQUAL, 0x86DD, "", "drop"),
            (LD_WORD, 38), (JUMP_EQUAL, prefix[0], "", "drop"),
            (LD_WORD, 42), (JUMP_EQUAL, prefix[1], "", "drop"),
            (LD_WORD, 46), (JUMP_EQUAL, prefix[2], "", "drop"),
            (LD_BYTE, 20), (JUMP_EQUAL, socket.IPPROTO_ICMPV6, "accept", ""),
            (JUMP_EQUAL, socket.IPPROTO_TCP, "", "drop"), (LD_HALF, 56),
        ],
        "port": [(JUMP_GREATER_EQUAL, ports[0], "", "drop"), (JUMP_GREATER_EQUAL, ports[-1] + 1, "drop", "accept")],
        "accept": [(RETURN, LONGEST_ANSWER)],
        "drop": [(RETURN, 0)],
    })  # fmt: skip


def _assembled(blocks: Mapping[str, Sequence[Line]]) -> Sequence[Instruction]:
    """One program of the blocks in their order, with each jump's label as a distance; "" is what follows."""
    starts, length = {}, 0
    for label, lines in blocks.items():
        starts[label], length = length, length + len(lines)
    program: list[Instruction] = []
    for code, operand, *labels in chain.from_iterable(blocks.values()):
        here = len(program) + 1
        if_true, if_false = (starts[label] - here if label else 0 for label in labels or ("", ""))
        program.append((code, if_true, if_false, operand))
    return program


class Ear:
    """Tells `heard(frame)` of frames that came in by the device; `say` sends one. Raises OSError without the device."""

    def __init__(
        self,
        device: str,
        filtering: Sequence[Instruction],
        heard: Callable[[bytes], None],
        longest: int = LONGEST_FRAME,
    ) -> None:
        self._heard, self._longest = heard, longest
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
        try:
            attach(self._socket, filtering)
            self._socket.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
            self._socket.bind((device, EVERY_PROTOCOL))
        except BaseException:
            self._socket.close()
            raise
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket, self._read)

    def say(self, frame: bytes) -> None:
        """Lost if the device is gone or its queue full: whoever asks, asks again."""
        with suppress(OSError):
            self._socket.send(frame)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._loop.remove_reader(self._socket)
        self._socket.close()

    def _read(self) -> None:
        for _ in range(FRAMES_AT_ONCE):
            try:
                frame = self._socket.recv(self._longest)
            except OSError:
                return  # nothing more, or the device went away
            self._heard(frame)


def attach(listening: socket.socket, filtering: Sequence[Instruction]) -> None:
    program = ctypes.create_string_buffer(b"".join(_INSTRUCTION.pack(*each) for each in filtering))
    described = Struct("@HP").pack(len(filtering), ctypes.addressof(program))  # struct sock_fprog
    listening.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, described)
