"""How a gateway reaches a VPC: through a veth, a VXLAN segment, or a device that belongs to somebody else. Values."""

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address

VXLAN_PORT = 4789


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


Target = Netns | Vxlan | Interface
