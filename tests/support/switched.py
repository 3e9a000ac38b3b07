"""Networks with a switch of their own: hosts in namespaces, cabled to a bridge, as machines are to a VPC's fabric.

    with contextlib.ExitStack() as stack:
        switch = Switch.make("vpc1", stack)
        machine = switch.host("machine", "10.0.0.10/24", stack)
        switch.cable(router, "lan0", "10.0.0.1/24")
        ...                                  # something attaches sidegate0 to switch.space
        switch.plug_in("sidegate0")

A host has the way to the provider's side (198.19.128.0/17) on link, as DHCP of its network would tell it.
"""

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Self

from tests.support import namespaces
from tests.support.namespaces import Namespace

BRIDGE = "bridge0"
NIC = "eth0"
SOURCES = "198.19.128.0/17"


def quiet(label: str, stack: contextlib.ExitStack) -> Namespace:
    """A namespace without IPv6, whose chatter nobody asked for; deleted with the stack."""
    made = namespaces.create(label)
    stack.callback(namespaces.delete_if_there, made)
    for which in ("default", "all"):
        made.set_sysctl(f"net.ipv6.conf.{which}.disable_ipv6", "1")
    return made


@dataclass
class Switch:
    """A bridge in a namespace of its own."""

    space: Namespace
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @classmethod
    def make(cls, label: str, stack: contextlib.ExitStack) -> Self:
        space = quiet(label, stack)
        space.ip("link", "add", BRIDGE, "type", "bridge", "forward_delay", "0", "mcast_snooping", "0")
        space.ip("link", "set", BRIDGE, "up")
        return cls(space)

    def host(self, label: str, address: str, stack: contextlib.ExitStack) -> Namespace:
        """A new host with a card eth0 of this address ("10.0.0.10/24")."""
        made = quiet(label, stack)
        self.cable(made, NIC, address)
        made.ip("route", "add", SOURCES, "dev", NIC)
        return made

    def cable(self, host: Namespace, device: str, address: str) -> None:
        """A cable from a host's new device to a port of the switch."""
        port = f"port{next(self._numbers)}"
        self.space.ip("link", "add", port, "type", "veth", "peer", "name", device, "netns", host.name)
        self.plug_in(port)
        host.ip("link", "set", device, "up")
        host.add_address(address, device)

    def plug_in(self, device: str) -> None:
        """A device of the switch's namespace becomes one of its ports."""
        self.space.ip("link", "set", device, "master", BRIDGE, "up")
