"""A VXLAN device for a VPC that lies on remote hosts; they get what nobody knows the way to, each a copy."""

from collections.abc import Sequence
from errno import EADDRINUSE, EEXIST, ENOENT
from ipaddress import IPv4Address

from pyroute2 import IPRoute, NetlinkError

from services.gateway_agent.dataplane.guard import guard
from services.gateway_agent.dataplane.maps import VpcDevice
from services.gateway_agent.dataplane.naming import Naming
from services.gateway_agent.dataplane.netlink import (
    Link,
    delete,
    link_at,
    link_named,
    make_ours,
    need,
    our_link,
    silence,
    unless,
)
from services.gateway_agent.dataplane.port import NotReady
from services.gateway_agent.targets import Vxlan

KIND = "vxlan"
OVERHEAD = 50  # bytes: Ethernet, IPv4, UDP and VXLAN headers
USUAL_MTU = 1500
EVERYBODY = "00:00:00:00:00:00"

RemoteHosts = dict[int, set[IPv4Address]]
"""By index of the device."""


def attach(host: IPRoute, naming: Naming, vpc: str, target: Vxlan, program_fd: int, *, known: RemoteHosts) -> VpcDevice:
    """Makes the device, or takes it as an earlier agent left it; up only with the program in place. Raises NotReady.

    `known` is where devices send to now, and is kept.
    """
    _check_local(host, target)
    link = _matching(host, naming, vpc, target) or _create(host, naming, vpc, target)
    mtu = target.mtu or _underlay_mtu(host, target) - OVERHEAD
    if link.mtu != mtu:
        host.link("set", index=link.index, mtu=mtu)
    guard(host, link.index, program_fd, naming.alias(vpc))
    silence(link.name)
    _send_to(host, link.index, target.remotes, known.setdefault(link.index, set()))
    _open(host, link.index, target)
    return VpcDevice(link.index, False, link.mac, mtu)


def _matching(host: IPRoute, naming: Naming, vpc: str, target: Vxlan) -> Link | None:
    """Our device, if it is of this segment; otherwise it is of no use and goes."""
    link = our_link(host, naming, vpc)
    if link is None or (link.kind == KIND and _segment(host, link.index) == _wanted_segment(target)):
        return link
    delete(host, link.index)
    return None


def _segment(host: IPRoute, index: int) -> tuple[int, int, str | None]:
    """VNI, port and own address of a VXLAN device."""
    data = host.link("get", index=index)[0].get_attr("IFLA_LINKINFO").get_attr("IFLA_INFO_DATA")
    return data.get_attr("IFLA_VXLAN_ID"), data.get_attr("IFLA_VXLAN_PORT"), data.get_attr("IFLA_VXLAN_LOCAL")


def _wanted_segment(target: Vxlan) -> tuple[int, int, str | None]:
    return target.vni, target.port, str(target.local) if target.local else None


def _create(host: IPRoute, naming: Naming, vpc: str, target: Vxlan) -> Link:
    name = naming.device(vpc)
    own = {"vxlan_local": str(target.local)} if target.local else {}
    try:
        host.link(
            "add",
            ifname=name,
            kind=KIND,
            address=naming.mac(vpc),
            vxlan_id=target.vni,
            vxlan_port=target.port,
            vxlan_learning=True,
            **own,
        )
    except NetlinkError as error:
        if error.code == EEXIST:
            raise NotReady(_taken(host, target)) from error
        raise
    link = need(link_named(host, name), name)
    make_ours(host, link.index, naming.alias(vpc))
    return link


def _taken(host: IPRoute, target: Vxlan) -> str:
    for message in host.get_links(kind=KIND):
        link = Link.read(message)
        if _segment(host, link.index)[:2] == (target.vni, target.port):
            whose = f", which is {link.alias}" if link.alias else ""
            return f"{target} is in use on this machine: device {link.name}{whose} has it"
    return f"{target} is in use on this machine"


def _open(host: IPRoute, index: int, target: Vxlan) -> None:
    try:
        host.link("set", index=index, state="up")
    except NetlinkError as error:
        if error.code == EADDRINUSE:
            raise NotReady(f"{target}: another program of this machine has that UDP port") from error
        raise


def remote_hosts(host: IPRoute) -> RemoteHosts:
    """Where every VXLAN device of the machine sends to. The kernel tells of all at once, or of none."""
    found: RemoteHosts = {}
    for entry in host.fdb("dump"):
        address = entry.get_attr("NDA_DST")
        if address and entry.get_attr("NDA_LLADDR") == EVERYBODY:
            found.setdefault(entry["ifindex"], set()).add(IPv4Address(address))
    return found


def _send_to(host: IPRoute, index: int, remotes: Sequence[IPv4Address], known: set[IPv4Address]) -> None:
    """New ones first, so that nobody misses a frame; an entry that is there is appended once."""
    for remote in remotes:
        known.add(remote)
        host.fdb("append", ifindex=index, lladdr=EVERYBODY, dst=str(remote))
    for remote in sorted(known.difference(remotes)):
        with unless(ENOENT):
            host.fdb("del", ifindex=index, lladdr=EVERYBODY, dst=str(remote))
        known.discard(remote)


def _check_local(host: IPRoute, target: Vxlan) -> None:
    if target.local and not any(True for _ in host.get_addr(address=str(target.local))):
        raise NotReady(f"no device of this machine has the address {target.local}, which {target} is to be sent from")


def _underlay_mtu(host: IPRoute, target: Vxlan) -> int:
    """The shortest on the ways to the remote hosts; a host that is out of reach now does not count."""
    return min((mtu for remote in target.remotes if (mtu := _route_mtu(host, remote))), default=USUAL_MTU)


def _route_mtu(host: IPRoute, remote: IPv4Address) -> int | None:
    try:
        route = host.route("get", dst=str(remote))[0]
    except NetlinkError:
        return None
    metrics = route.get_attr("RTA_METRICS")
    if metrics and (mtu := metrics.get_attr("RTAX_MTU")):
        return int(mtu)
    device = link_at(host, route.get_attr("RTA_OIF"))
    return device.mtu if device else None
