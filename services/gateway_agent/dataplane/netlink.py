"""Network devices as the kernel tells of them. Synchronous: calls take milliseconds, so they belong on a thread."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from errno import ENODEV
from pathlib import Path
from typing import Self

from pyroute2 import IPRoute, NetlinkError
from pyroute2.netlink import nlmsg

from services.gateway_agent.dataplane.naming import Naming
from services.gateway_agent.dataplane.port import NotReady

UP, LOOPBACK, RUNNING, NO_ARP = 0x1, 0x8, 0x40, 0x80  # IFF_*
ETHERNET = 1  # ARPHRD_ETHER
NO_ADDRESS_GENERATION = 1  # IN6_ADDR_GEN_MODE_NONE
CARRIER_SECONDS = 0.2
CARRIER_LOOK_SECONDS = 0.001


@dataclass(frozen=True, slots=True)
class Link:
    """What is of interest in a network device."""

    index: int
    name: str
    alias: str
    kind: str  # "veth", "vxlan", ...; empty for a NIC
    hardware: int
    flags: int
    mac: bytes
    mtu: int
    lower: int  # the device that it is stacked on, or a veth's other end
    master: int  # the bridge or bond that it is a part of
    operational: bool  # up, and the kernel knows of its carrier

    @classmethod
    def read(cls, message: nlmsg) -> Self:
        info = message.get_attr("IFLA_LINKINFO")
        return cls(
            index=message["index"],
            name=message.get_attr("IFLA_IFNAME"),
            alias=message.get_attr("IFLA_IFALIAS") or "",
            kind=(info and info.get_attr("IFLA_INFO_KIND")) or "",
            hardware=message["ifi_type"],
            flags=message["flags"],
            mac=bytes.fromhex((message.get_attr("IFLA_ADDRESS") or "").replace(":", "")),
            mtu=message.get_attr("IFLA_MTU"),
            lower=message.get_attr("IFLA_LINK") or 0,
            master=message.get_attr("IFLA_MASTER") or 0,
            operational=message.get_attr("IFLA_OPERSTATE") == "UP",
        )

    @property
    def up(self) -> bool:
        return bool(self.flags & UP)

    @property
    def running(self) -> bool:
        """Up, and with a carrier as far as the kernel can tell."""
        return self.up and bool(self.flags & RUNNING)


@contextmanager
def netlink() -> Iterator[IPRoute]:
    route = IPRoute()
    try:
        yield route
    finally:
        route.close()


@contextmanager
def unless(*codes: int) -> Iterator[None]:
    """Goes on where the kernel answers with one of these: it is as it should be."""
    try:
        yield
    except NetlinkError as error:
        if error.code not in codes:
            raise


def links(route: IPRoute) -> list[Link]:
    return [Link.read(message) for message in route.get_links()]


def link_named(route: IPRoute, name: str) -> Link | None:
    return _link(route, {"ifname": name})


def link_at(route: IPRoute, index: int) -> Link | None:
    return _link(route, {"index": index})


def _link(route: IPRoute, by: dict[str, str | int]) -> Link | None:
    try:
        return Link.read(route.link("get", **by)[0])
    except NetlinkError as error:
        if error.code == ENODEV:
            return None
        raise


def our_link(route: IPRoute, naming: Naming, vpc: str) -> Link | None:
    """The device that we made for a VPC. Raises NotReady if somebody else's has its name."""
    link = link_named(route, naming.device(vpc))
    if link and link.alias != naming.alias(vpc):
        raise NotReady(f"device {link.name} is there and is not ours: remove it")
    return link


def need(link: Link | None, name: str) -> Link:
    if link is None:
        raise NotReady(f"device {name} went away")
    return link


def delete(route: IPRoute, index: int) -> None:
    with unless(ENODEV):
        route.link("del", index=index)


def make_ours(route: IPRoute, index: int, alias: str) -> None:
    """Marks a device that we made, and keeps the kernel from taking part: the program answers, and nobody else."""
    route.link(
        "set",
        index=index,
        ifalias=alias,
        arp=False,
        IFLA_AF_SPEC={"attrs": [("AF_INET6", {"attrs": [("IFLA_INET6_ADDR_GEN_MODE", NO_ADDRESS_GENERATION)]})]},
    )


def silence(name: str) -> None:
    """No IPv6 on our end. Where /proc/sys is read-only the program still drops all that comes."""
    setting = Path("/proc/sys/net/ipv6/conf", name, "disable_ipv6")
    try:
        setting.write_text("1")
    except OSError:
        return


def await_operational(route: IPRoute, name: str) -> None:
    """A device that just got its carrier drops what is sent until the kernel has noticed, a moment later."""
    deadline = time.monotonic() + CARRIER_SECONDS
    while time.monotonic() < deadline and not need(link_named(route, name), name).operational:
        time.sleep(CARRIER_LOOK_SECONDS)
