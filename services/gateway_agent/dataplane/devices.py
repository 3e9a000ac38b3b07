"""Devices that reach into VPCs: a veth per attachment, its far end in the tenant's network namespace.

Synchronous: netlink calls take milliseconds, so they belong on a thread of their own.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from errno import EEXIST, EINVAL, ENODEV, ENOENT
from hashlib import sha256
from ipaddress import IPv4Network
from pathlib import Path
from typing import NamedTuple, Self, TypeVar

from pyroute2 import IPRoute, NetlinkError, netns
from pyroute2.netlink import nlmsg

from services.gateway_agent.dataplane.maps import VpcDevice
from services.gateway_agent.dataplane.port import NotReady
from services.gateway_agent.table import Attachment

NAMESPACES = Path("/run/netns")
SOURCE_RANGE = IPv4Network("198.19.128.0/17")
ALL_PROTOCOLS = 3  # ETH_P_ALL
INGRESS = "ffff:fff2"  # of a clsact qdisc
NO_ADDRESS_GENERATION = 1  # IN6_ADDR_GEN_MODE_NONE
LINK_SCOPE = 253
UP = 1  # IFF_UP
CARRIER_SECONDS = 0.2
CARRIER_LOOK_SECONDS = 0.001

Result = TypeVar("Result")


class NamespaceIdentity(NamedTuple):
    """What tells a namespace from another of the same name, made after it was deleted."""

    device: int
    inode: int


@dataclass(frozen=True, slots=True)
class Link:
    """What is of interest in a network device."""

    index: int
    name: str
    alias: str
    mac: bytes
    far_index: int  # of a veth's other end
    up: bool
    running: bool  # up, and the kernel knows of its carrier

    @classmethod
    def read(cls, message: nlmsg) -> Self:
        return cls(
            index=message["index"],
            name=message.get_attr("IFLA_IFNAME"),
            alias=message.get_attr("IFLA_IFALIAS") or "",
            mac=bytes.fromhex((message.get_attr("IFLA_ADDRESS") or "").replace(":", "")),
            far_index=message.get_attr("IFLA_LINK") or 0,
            up=bool(message["flags"] & UP),
            running=message.get_attr("IFLA_OPERSTATE") == "UP",
        )


def namespace_identity(name: str) -> NamespaceIdentity | None:
    try:
        status = (NAMESPACES / name).stat()
    except FileNotFoundError:
        return None
    return NamespaceIdentity(status.st_dev, status.st_ino)


class Devices:
    """The devices of one gateway, recognisable by an alias that says whose they are."""

    def __init__(self, gateway_id: str) -> None:
        self._gateway_id = gateway_id

    def attach(self, attachment: Attachment, program_fd: int) -> VpcDevice:
        """Makes the veth, or takes it as an earlier agent left it; up only with the program in place.

        Raises NotReady.
        """
        if namespace_identity(attachment.namespace) is None:
            name = attachment.namespace
            raise NotReady(f"network namespace {name} is not there: ip netns add {name}")
        with _netlink() as host:
            link = self._matching(host, attachment) or self._create(host, attachment)
            _guard(host, link.index, program_fd)
            _silence(link.name)
            host.link("set", index=link.index, state="up")
            _in_namespace(attachment.namespace, lambda inside: _open_far_end(inside, attachment))
            _await_running(host, link.name)
        return VpcDevice(link.index, True, link.mac)

    def detach(self, vpc: str) -> None:
        """Deletes the pair, the far end with it."""
        with _netlink() as host:
            link = self._find(host, vpc)
            if link:
                _delete(host, link.index)

    def shut_all(self) -> None:
        """Downs every device of this gateway and takes the program off it; the far ends stay where they are."""
        with _netlink() as host:
            for index in self._all(host):
                with _unless(ENODEV, EINVAL, ENOENT):  # it went away, or has no program
                    host.link("set", index=index, state="down")
                    host.tc("del", "clsact", index)

    def remove_all(self) -> None:
        with _netlink() as host:
            for index in self._all(host):
                _delete(host, index)

    def name(self, vpc: str) -> str:
        return f"sg{self._digest(vpc).hex()[:12]}"

    def _alias(self, vpc: str) -> str:
        return f"sidegate/{self._gateway_id}/{vpc}"

    def _mac(self, vpc: str) -> str:
        """The same after the device is made anew, so that neighbours need not learn it again."""
        return "02:" + self._digest(vpc)[-5:].hex(":")

    def _digest(self, vpc: str) -> bytes:
        return sha256(self._alias(vpc).encode()).digest()

    def _all(self, host: IPRoute) -> list[int]:
        ours = self._alias("")
        return [link.index for link in map(Link.read, host.get_links()) if link.alias.startswith(ours)]

    def _find(self, host: IPRoute, vpc: str) -> Link | None:
        link = _link_named(host, self.name(vpc))
        if link and link.alias != self._alias(vpc):
            raise NotReady(f"device {self.name(vpc)} is there and is not ours: remove it")
        return link

    def _matching(self, host: IPRoute, attachment: Attachment) -> Link | None:
        """Our device, if its far end is where the attachment says; otherwise both ends are of no use and go."""
        link = self._find(host, attachment.vpc)
        far = _in_namespace(attachment.namespace, lambda inside: _link_named(inside, attachment.device))
        if link and far and _are_ends(link, far):
            return link
        if far:
            where = f"network namespace {attachment.namespace}"
            raise NotReady(f"{where} has a device {attachment.device} that is not ours: rename or remove it")
        if link:
            _delete(host, link.index)
        return None

    def _create(self, host: IPRoute, attachment: Attachment) -> Link:
        name = self.name(attachment.vpc)
        far = {"ifname": attachment.device, "net_ns_fd": str(NAMESPACES / attachment.namespace)}
        host.link("add", ifname=name, kind="veth", address=self._mac(attachment.vpc), peer=far)
        link = _need(_link_named(host, name), name)
        host.link(
            "set",
            index=link.index,
            ifalias=self._alias(attachment.vpc),
            arp=False,  # the program answers; the kernel must not take part
            IFLA_AF_SPEC={"attrs": [("AF_INET6", {"attrs": [("IFLA_INET6_ADDR_GEN_MODE", NO_ADDRESS_GENERATION)]})]},
        )
        return link


@contextmanager
def _netlink() -> Iterator[IPRoute]:
    route = IPRoute()
    try:
        yield route
    finally:
        route.close()


@contextmanager
def _unless(*codes: int) -> Iterator[None]:
    """Goes on where the kernel answers with one of these: it is as it should be."""
    try:
        yield
    except NetlinkError as error:
        if error.code not in codes:
            raise


def _in_namespace(name: str, work: Callable[[IPRoute], Result]) -> Result:
    """Works on a thread that enters the namespace and ends there: no other thread ever leaves its own."""

    def enter() -> Result:
        netns.setns(str(NAMESPACES / name), flags=0)
        with _netlink() as inside:
            return work(inside)

    with ThreadPoolExecutor(1) as thread:
        try:
            return thread.submit(enter).result()
        except OSError as error:
            raise NotReady(f"network namespace {name} cannot be entered: {error.strerror}") from error


def _link_named(route: IPRoute, name: str) -> Link | None:
    try:
        return Link.read(route.link("get", ifname=name)[0])
    except NetlinkError as error:
        if error.code == ENODEV:
            return None
        raise


def _need(link: Link | None, name: str) -> Link:
    if link is None:
        raise NotReady(f"device {name} went away")
    return link


def _are_ends(link: Link, far: Link) -> bool:
    return link.far_index == far.index and far.far_index == link.index


def _delete(host: IPRoute, index: int) -> None:
    with _unless(ENODEV):
        host.link("del", index=index)


def _guard(host: IPRoute, index: int, program_fd: int) -> None:
    """Puts the program on the device; one that is there is replaced between two packets."""
    with _unless(EEXIST):
        host.tc("add", "clsact", index)
    host.tc(
        "replace-filter",
        "bpf",
        index,
        handle=1,
        prio=1,
        parent=INGRESS,
        protocol=ALL_PROTOCOLS,
        fd=program_fd,
        name="sidegate",
        direct_action=True,
    )


def _silence(name: str) -> None:
    """No IPv6 on our end. Where /proc/sys is read-only the program still drops all that comes."""
    setting = Path("/proc/sys/net/ipv6/conf", name, "disable_ipv6")
    try:
        setting.write_text("1")
    except OSError:
        return


def _open_far_end(inside: IPRoute, attachment: Attachment) -> None:
    """Brings the tenant's end up, with the way back to the addresses that backends see."""
    link = _need(_link_named(inside, attachment.device), attachment.device)
    if not link.up:
        inside.link("set", index=link.index, state="up")
        _await_running(inside, link.name)
    try:
        inside.route("add", dst=str(SOURCE_RANGE), oif=link.index, scope=LINK_SCOPE)
    except NetlinkError as error:
        if error.code != EEXIST:
            raise
        _check_route(inside, link.index, attachment)


def _await_running(route: IPRoute, name: str) -> None:
    """A device that just got its carrier drops what is sent until the kernel has noticed, a moment later."""
    deadline = time.monotonic() + CARRIER_SECONDS
    while time.monotonic() < deadline and not _need(_link_named(route, name), name).running:
        time.sleep(CARRIER_LOOK_SECONDS)


def _check_route(inside: IPRoute, index: int, attachment: Attachment) -> None:
    routes = inside.get_routes(dst=str(SOURCE_RANGE), table=254)
    if not any(route.get_attr("RTA_OIF") == index for route in routes):
        where = f"network namespace {attachment.namespace}"
        raise NotReady(f"{where} has another route to {SOURCE_RANGE}, which is for what comes through endpoints")
