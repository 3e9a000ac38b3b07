"""What an attachment reaches, as the registry has it: a network namespace, a VXLAN segment, or a device."""

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address


@dataclass(frozen=True, slots=True)
class Netns:
    """A network namespace of the gateway's machine, and the device that the gateway makes in it."""

    namespace: str
    device: str


@dataclass(frozen=True, slots=True)
class Vxlan:
    """A VXLAN segment and the hosts that carry it. `mtu` 0 is what the underlay allows."""

    vni: int
    port: int
    remotes: tuple[IPv4Address, ...]
    local: IPv4Address | None
    mtu: int


class Selector(StrEnum):
    """By what a device is found."""

    NAME = "name"
    MAC = "mac"
    ADDRESS = "address"


@dataclass(frozen=True, slots=True)
class Interface:
    """A device of the gateway's machine that belongs to somebody else."""

    selector: Selector
    value: str


Target = Netns | Vxlan | Interface
