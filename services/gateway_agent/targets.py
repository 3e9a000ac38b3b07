"""How a gateway reaches a VPC: through a veth, a VXLAN segment, or a device that belongs to somebody else. Values.

What it makes for a VPC of a consumer's, an annex, is reached like one.
"""

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address
from uuid import UUID, uuid5

VXLAN_PORT = 4789

RESOLVER = IPv4Address("169.254.0.53")
RESOLVER_V6 = IPv6Address("fd73:6964:6567:6175::53")
"""Where an annex's resolver listens."""

_ANNEXES = UUID("a31bb63c-1d4e-5ee6-8a5e-3ef1d9a1c7f0")


@dataclass(frozen=True, slots=True)
class Netns:
    """A veth whose other end is `device` in the network namespace."""

    namespace: str
    device: str

    def __str__(self) -> str:
        return f"device {self.device} in network namespace {self.namespace}"


@dataclass(frozen=True, slots=True)
class Vxlan:
    """A VXLAN device of the gateway's own; what nobody knows the way to is sent to each of `remotes`.

    Without `local` the kernel chooses the gateway's address. `mtu` is in bytes; 0 is the underlay's less 50.
    """

    vni: int
    remotes: tuple[IPv4Address, ...]
    port: int = VXLAN_PORT
    local: IPv4Address | None = None
    mtu: int = 0

    def __str__(self) -> str:
        return f"VXLAN {self.vni} on port {self.port}"


class Selector(StrEnum):
    """By what a device is found."""

    NAME = "name"
    MAC = "mac"
    ADDRESS = "address"


@dataclass(frozen=True, slots=True)
class Interface:
    """A device of the gateway's machine; MAC addresses are in lower case with colons."""

    selector: Selector
    value: str

    def __str__(self) -> str:
        match self.selector:
            case Selector.NAME:
                return f"device {self.value}"
            case Selector.MAC:
                return f"the device with MAC address {self.value}"
            case Selector.ADDRESS:
                return f"the device with address {self.value}"


@dataclass(frozen=True, slots=True)
class Annex:
    """A network namespace of the gateway's own, for what it does for the clients of one VPC beside forwarding."""

    vpc: str

    def __str__(self) -> str:
        return f"the annex of VPC {self.vpc}"


def annex_id(vpc: str) -> str:
    """What the annex of a VPC is called where a VPC's id is asked for: the same on every gateway, for ever."""
    return str(uuid5(_ANNEXES, vpc))


Target = Netns | Vxlan | Interface | Annex
