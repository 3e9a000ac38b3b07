"""What is behind an attachment of each kind: network namespaces that play a VPC, and the gateway's way into them.

site = InterfaceSite.make("shop")
...                                       # something attaches site.target
site.add_address("10.0.0.10")             # on the device sidegate0 of the namespace that is the address's home
site.delete()
"""

import json
import secrets
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from ipaddress import IPv4Address, ip_address
from typing import Self

import pytest

from services.gateway_agent.targets import Interface, Netns, Selector, Target, Vxlan
from tests.support import namespaces
from tests.support.namespaces import DEVICE, HostDevice, Namespace

SOURCE_RANGE, SOURCE_PREFIX_V6 = "198.19.128.0/17", "fd73:6964:6567:6174::/96"
UNDERLAY = IPv4Address("100.64.0.0")  # a /10 for carriers, of which each site takes a random part
UNDERLAY_SUBNETS = 1 << 20
VNIS = 1 << 24
VXLAN_PORT = 4789


@dataclass
class Site(ABC):
    """A VPC in one or more network namespaces."""

    spaces: tuple[Namespace, ...]

    @classmethod
    def named(cls, label: str) -> Self:
        """With empty namespaces; `build` goes on."""
        return cls((quiet(label),))

    @property
    @abstractmethod
    def target(self) -> Target: ...
    @abstractmethod
    def build(self) -> None:
        """Makes what an operator would have made before attaching."""

    @abstractmethod
    def lose(self) -> None:
        """Takes away what the attachment reaches."""

    @abstractmethod
    def restore(self) -> None:
        """Makes it anew, without addresses."""

    def delete(self) -> None:
        for space in self.spaces:
            namespaces.delete_if_there(space)

    def has(self, _device: HostDevice) -> bool:
        """Whether it is the one by which the gateway reaches the site, though its alias is not ours."""
        return False

    def home(self, address: str) -> Namespace:
        """The namespace of a host: they take turns by the last number of their addresses."""
        return self.spaces[int(ip_address(address)) % len(self.spaces)]

    def add_address(self, address: str) -> None:
        self.home(address).add_address(_in_its_subnet(address))

    def remove_address(self, address: str) -> None:
        self.home(address).ip("address", "delete", _in_its_subnet(address), "dev", DEVICE)

    def allow_ipv6(self) -> None:
        """Before the gateway reaches it; the tenants' devices say nothing that nobody has asked for."""
        for space in self.spaces:
            for name, value in (("router_solicitations", "0"), ("accept_dad", "0"), ("disable_ipv6", "0")):
                space.set_sysctl(f"net.ipv6.conf.default.{name}", value)
            if DEVICE in space.devices():  # it was there before
                space.set_sysctl(f"net.ipv6.conf.{DEVICE}.accept_dad", "0")
                space.set_sysctl(f"net.ipv6.conf.{DEVICE}.disable_ipv6", "0")
                space.ip("-6", "route", "add", SOURCE_PREFIX_V6, "dev", DEVICE)


class NetnsSite(Site):
    """The gateway makes everything."""

    @property
    def target(self) -> Netns:
        return Netns(self.spaces[0].name, DEVICE)

    def build(self) -> None:
        pass

    def lose(self) -> None:
        self.spaces[0].delete()

    def restore(self) -> None:
        namespaces.create_again(self.spaces[0])


@dataclass
class InterfaceSite(Site):
    """A veth that was there before, with an owner's alias; the VPC's router leads 198.19.128.0/17 to it."""

    name: str = field(default_factory=lambda: f"sgi{secrets.token_hex(4)}")
    alias: str = f"an operator's, {namespaces.PREFIX}"

    @property
    def target(self) -> Interface:
        return Interface(Selector.NAME, self.name)

    def build(self) -> None:
        self.restore()

    def has(self, device: HostDevice) -> bool:
        return device.name == self.name

    def lose(self) -> None:
        namespaces.host_ip("link", "delete", self.name)

    def restore(self) -> None:
        pair(self.name, self.spaces[0], DEVICE, self.alias)
        self.spaces[0].ip("route", "add", SOURCE_RANGE, "dev", DEVICE)

    def delete(self) -> None:
        namespaces.delete_host_device_if_there(self.name)
        super().delete()


@dataclass
class VxlanSite(Site):
    """A segment on two hosts of an underlay, each in a namespace with a veth of its own to the gateway's."""

    vni: int = field(default_factory=lambda: 1 + secrets.randbelow(VNIS - 1))
    port: int = VXLAN_PORT

    def __post_init__(self) -> None:
        self.subnets = [UNDERLAY + 4 * secrets.randbelow(UNDERLAY_SUBNETS) for _ in self.spaces]
        self._thief = f"sgx{secrets.token_hex(4)}"
        self.cables = [f"sgu{secrets.token_hex(4)}" for _ in self.spaces]

    @classmethod
    def named(cls, label: str) -> Self:
        return cls((quiet(label), quiet(f"{label}-b")))

    @property
    def target(self) -> Vxlan:
        return Vxlan(self.vni, tuple(sorted(subnet + 2 for subnet in self.subnets)), self.port)

    def build(self) -> None:
        for space, subnet, cable in zip(self.spaces, self.subnets, self.cables, strict=True):
            pair(cable, space, "under0", f"underlay of {namespaces.PREFIX}")
            namespaces.host_ip("address", "add", f"{subnet + 1}/30", "dev", cable)
            space.add_address(f"{subnet + 2}/30", "under0")
        self.restore()

    def lose(self) -> None:
        """Another takes the segment from the gateway's device; the hosts' devices go too, with their addresses."""
        for link in json.loads(namespaces.host_ip("-json", "-details", "link", "show", "type", "vxlan")):
            if link["linkinfo"]["info_data"]["id"] == self.vni:
                namespaces.host_ip("link", "delete", link["ifname"])
        namespaces.host_ip("link", "add", self._thief, "type", "vxlan", "id", str(self.vni), "dstport", str(self.port))
        for space in self.spaces:
            space.ip("link", "delete", DEVICE)

    def restore(self) -> None:
        namespaces.delete_host_device_if_there(self._thief)
        for space, subnet in zip(self.spaces, self.subnets, strict=True):
            vxlan = ("type", "vxlan", "id", str(self.vni), "remote", str(subnet + 1), "dstport", str(self.port))
            space.ip("link", "add", DEVICE, *vxlan, "dev", "under0")
            space.ip("link", "set", DEVICE, "up")
            space.ip("route", "add", SOURCE_RANGE, "dev", DEVICE)

    def delete(self) -> None:
        for device in (*self.cables, self._thief):
            namespaces.delete_host_device_if_there(device)
        super().delete()


def _in_its_subnet(address: str) -> str:
    return f"{address}/64" if ":" in address else f"{address}/24"


IN_EVERY_WAY = pytest.mark.parametrize("world", ["netns", "vxlan", "interface"], indirect=True)
"""A test's world once for each way in which VPCs are attached."""

SITES: dict[str, type[Site]] = {"netns": NetnsSite, "vxlan": VxlanSite, "interface": InterfaceSite}


def quiet(label: str) -> Namespace:
    """A new namespace without IPv6, whose chatter would be counted as refused."""
    namespace = namespaces.create(label)
    namespace.set_sysctl("net.ipv6.conf.default.disable_ipv6", "1")
    return namespace


def pair(name: str, namespace: Namespace, device: str, alias: str) -> None:
    """A veth between this namespace and another, both ends up; IPv6 is off here, too."""
    far = ("peer", "name", device, "netns", namespace.name)
    namespaces.host_ip("link", "add", name, "type", "veth", *far)
    namespaces.host_ip("link", "set", name, "alias", alias, "addrgenmode", "none", "up")
    namespace.ip("link", "set", device, "up")
