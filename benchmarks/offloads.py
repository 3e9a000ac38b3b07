"""Which work a device takes off the stack, as `ethtool -k` shows it and `ethtool -K` sets it."""

import ctypes
import fcntl
import struct
from collections.abc import Mapping

from tests.support.namespaces import SIOCETHTOOL, Namespace

COMMANDS = {"rx": 0x14, "tx": 0x16, "scatter-gather": 0x18, "tso": 0x1E, "gso": 0x23, "gro": 0x2B}
"""ETHTOOL_GRXCSUM and its like, from linux/ethtool.h."""

TURNED_OFF = {"tso": 0x1F, "gso": 0x24, "gro": 0x2C}
"""ETHTOOL_STSO and its like."""


def offloads(namespace: Namespace, device: str) -> Mapping[str, bool]:
    """What is on. The device must be in the namespace."""
    with namespace.udp_socket() as inside:
        return {name: _ask(inside.fileno(), device, command) for name, command in COMMANDS.items()}


def leave_packets_alone(namespace: Namespace, device: str) -> None:
    """Neither cuts nor joins packets any more: each is as long as the MTU lets it be."""
    with namespace.udp_socket() as inside:
        for command in TURNED_OFF.values():
            _call(inside.fileno(), device, command, 0)


def _ask(descriptor: int, device: str, command: int) -> bool:
    return bool(_call(descriptor, device, command, 0))


def _call(descriptor: int, device: str, command: int, number: int) -> int:
    """SIOCETHTOOL with struct ethtool_value; gives the number that it holds then."""
    value = ctypes.create_string_buffer(struct.pack("=II", command, number))
    fcntl.ioctl(descriptor, SIOCETHTOOL, struct.pack("=16sQ16x", device.encode(), ctypes.addressof(value)))
    return int(struct.unpack("=II", value.raw[:8])[1])
