"""A packet socket on one device, filtered in the kernel, that hears frames before our program drops them."""

import asyncio
import ctypes
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from ipaddress import IPv4Address
from struct import Struct
from typing import Self

EVERY_PROTOCOL = 0x0003  # ETH_P_ALL: sockets for one protocol come after tc ingress, and would hear nothing
SO_ATTACH_FILTER = 26
LONGEST_FRAME = 256
FRAMES_AT_ONCE = 64
FIRST_SESSION_PORT = 1024
"""Sessions have source ports from here on; what is below is free for tests."""

# Of classic BPF, linux/filter.h: load a byte, half-word or word, jump by comparison, return.
LD_WORD, LD_HALF, LD_BYTE, LDX_HEADER, LD_HALF_BEHIND = 0x20, 0x28, 0x30, 0xB1, 0x48
JUMP_EQUAL, JUMP_GREATER_EQUAL, RETURN = 0x15, 0x35, 0x06
_INSTRUCTION = Struct("=HBBI")
Instruction = tuple[int, int, int, int]


def claims_of(address: IPv4Address) -> Sequence[Instruction]:
    """Lets ARP through whose sender says that it has the address."""
    return (
        (LD_HALF, 0, 0, 12), (JUMP_EQUAL, 0, 3, 0x0806),
        (LD_WORD, 0, 0, 28), (JUMP_EQUAL, 0, 1, int(address)),
        (RETURN, 0, 0, LONGEST_FRAME),
        (RETURN, 0, 0, 0),
    )  # fmt: skip


def answers_to(address: IPv4Address) -> Sequence[Instruction]:
    """Lets IPv4 to the address through that is ICMP, or TCP to a port that no session has."""
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


class Ear:
    """Tells `heard(frame)` of frames that came in by the device; `say` sends one. Raises OSError without the device."""

    def __init__(self, device: str, filtering: Sequence[Instruction], heard: Callable[[bytes], None]) -> None:
        self._heard = heard
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
        try:
            _attach(self._socket, filtering)
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
        self._loop.remove_reader(self._socket)
        self._socket.close()

    def _read(self) -> None:
        for _ in range(FRAMES_AT_ONCE):
            try:
                frame, (_, _, direction, *_) = self._socket.recvfrom(LONGEST_FRAME)
            except OSError:
                return  # nothing more, or the device went away
            if direction != socket.PACKET_OUTGOING:
                self._heard(frame)


def _attach(listening: socket.socket, filtering: Sequence[Instruction]) -> None:
    program = ctypes.create_string_buffer(b"".join(_INSTRUCTION.pack(*each) for each in filtering))
    described = Struct("@HP").pack(len(filtering), ctypes.addressof(program))  # struct sock_fprog
    listening.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, described)
