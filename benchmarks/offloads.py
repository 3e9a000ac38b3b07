"""Which work a device takes off the stack, as `ethtool -k` shows it."""

import ctypes
import fcntl
import struct
from collections.abc import Mapping

from tests.support.namespaces import SIOCETHTOOL, Namespace

COMMANDS = {"rx": 0x14, "tx": 0x16, "scatter-gather": 0x18, "tso": 0x1E, "gso": 0x23, "gro": 0x2B}
"""ETHTOOL_GRXCSUM and its like, from linux/ethtool.h."""


def offloads(namespace: Namespace, device: str) -> Mapping[str, bool]:
    """What is on. The device must be in the namespace."""
    with namespace.udp_socket() as inside:
        return {name: _ask(inside.fileno(), device, command) for name, command in COMMANDS.items()}


def _ask(descriptor: int, device: str, command: int) -> bool:
    value = ctypes.create_string_buffer(struct.pack("=II", command, 0))
    fcntl.ioctl(descriptor, SIOCETHTOOL, struct.pack("=16sQ16x", device.encode(), ctypes.addressof(value)))
    return bool(struct.unpack("=II", value.raw[:8])[1])
