"""What an attachment reaches: a network namespace, a VXLAN segment, or a device that is there already."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network

from services.common.errors import Invalid

FIRST_DEVICE = "sidegate0"
FIRST_VXLAN_PORT = 4789
_NO_HOST = tuple(map(IPv4Network, ("0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/3")))


@dataclass(frozen=True, slots=True)
class Netns:
    """A veth into a network namespace, with `device` as its name there."""

    namespace: str
    device: str

    def __str__(self) -> str:
        return f"netns/{self.namespace}"


@dataclass(frozen=True, slots=True)
class Vxlan:
    """The segment `vni`, carried between gateways and `remotes` over the UDP port. `mtu` 0 is what the underlay allows;
    without `local` the kernel chooses the gateway's address.
    """

    vni: int
    port: int
    remotes: tuple[IPv4Address, ...]
    local: IPv4Address | None
    mtu: int

    def __str__(self) -> str:
        return f"vxlan/{self.vni}/{self.port}"


class Selector(StrEnum):
    """By what a device is found."""

    NAME = "name"
    MAC = "mac"
    ADDRESS = "address"


@dataclass(frozen=True, slots=True)
class Interface:
    """A device of the gateway's machine; `value` is in the selector's usual form."""

    selector: Selector
    value: str

    def __str__(self) -> str:
        return f"interface/{self.selector}/{self.value}"


Target = Netns | Vxlan | Interface


def check_hosts(hosts: Sequence[IPv4Address], field: str) -> None:
    """Refuses addresses that no host of an underlay network has."""
    for host in hosts:
        if any(host in network for network in _NO_HOST):
            text = f"{host} is not the address of a host: give a unicast address of the underlay network"
            raise Invalid("NO_HOST_ADDRESS", text, field=field)
