"""Annexes: network namespaces of the gateway's own, one for a VPC, with no way out but through the gateway.

Whatever comes in through the veth is local, to whatever address it is; whatever is sent from inside leaves by the veth,
unless it is to an address of the annex's own. So who listens here on an endpoint's address is asked by its clients, and
who connects to that address asks the gateway.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from errno import EACCES, EAFNOSUPPORT, EEXIST, EINVAL, ENODEV, ENOENT, EOPNOTSUPP, EPERM
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from pathlib import Path
from socket import AF_INET, AF_INET6
from typing import TypeVar

from pyroute2 import IPRoute

from services.gateway_agent.dataplane import veth
from services.gateway_agent.dataplane.guard import guard
from services.gateway_agent.dataplane.maps import VpcDevice
from services.gateway_agent.dataplane.namespaces import (
    NAMESPACES,
    delete_namespace,
    in_namespace,
    make_namespace,
    namespace_identity,
    within,
)
from services.gateway_agent.dataplane.naming import Naming
from services.gateway_agent.dataplane.netlink import await_operational, link_named, need, silence, unless
from services.gateway_agent.dataplane.port import NotReady
from services.gateway_agent.targets import RESOLVER, RESOLVER_V6, Annex, Netns

DEVICE = "sidegate0"
PROXY, PROXY_V6 = IPv4Address("169.254.0.1"), IPv6Address("fd73:6964:6567:6175::1")
"""What connects from an annex does so from here."""

PROXIES = IPv4Network("169.254.1.0/24")
"""Or from here, where it needs more addresses; in IPv6 it may be any."""

ROUTER, ROUTER_V6 = IPv4Address("169.254.255.254"), IPv6Address("fe80::1")
"""The gateway, as the annex's routes name it; nobody asks for its MAC address, and nobody has these addresses."""

ARRIVING = 100  # table and priority of what comes in
LOCAL, LOCAL_TABLE = 2, 255  # RTN_LOCAL, RT_TABLE_LOCAL
PERMANENT = 0x80  # NUD_PERMANENT
ONLINK = 4  # RTNH_F_ONLINK
HOST_SCOPE = 254
AT_ONCE = 2  # IFA_F_NODAD: a route that names it as its source is refused before an address is tried
Result = TypeVar("Result")
_NO_IPV6 = (EACCES, EPERM, EINVAL, ENODEV, EOPNOTSUPP, EAFNOSUPPORT)
_SETTINGS = {
    "ipv4/ip_forward": "0",
    "ipv4/ip_local_port_range": "1024 65535",
    "ipv4/tcp_tw_reuse": "1",  # or no more than a thousand connections a second would find a port
    "ipv6/ip_nonlocal_bind": "1",
    "ipv4/conf/all/accept_redirects": "0",
    "ipv4/conf/all/send_redirects": "0",
    "ipv6/conf/all/disable_ipv6": "0",
    "ipv6/conf/all/forwarding": "0",
    "ipv6/conf/default/accept_ra": "0",
    "ipv6/conf/default/router_solicitations": "0",
    "ipv6/conf/default/accept_dad": "0",
    "ipv6/conf/default/addr_gen_mode": "1",
}
_OF_THE_DEVICE = {
    "disable_ipv6": "0",
    "accept_ra": "0",
    "router_solicitations": "0",
    "accept_redirects": "0",
    "addr_gen_mode": "1",
}


def attach(host: IPRoute, naming: Naming, vpc: str, target: Annex, program_fd: int) -> VpcDevice:
    """Makes the annex, or takes it as an earlier agent left it. Raises NotReady."""
    inner = Netns(naming.annex(target.vpc), DEVICE)
    if not is_whole(inner.namespace):
        delete_namespace(inner.namespace)
        make_namespace(inner.namespace)
        in_namespace(inner.namespace, _prepare)
    link = veth.end(host, naming, vpc, inner)
    guard(host, link.index, program_fd, naming.alias(vpc))
    silence(link.name)
    host.link("set", index=link.index, state="up")
    in_namespace(inner.namespace, lambda inside: _open(inside, link.mac))
    await_operational(host, link.name)
    return VpcDevice(link.index, True, link.mac, link.mtu)


def in_annex(gateway_id: str, vpc: str, work: Callable[[], Result]) -> Result:
    """Works on a thread that is in the annex of a VPC and ends there: sockets that it opens belong to the annex, as do
    processes that it starts. Raises NotReady."""
    return within(Naming(gateway_id).annex(vpc), work)


def inner_mac(outer: bytes) -> bytes:
    """The MAC address of the annex's end of the veth: nobody need ask for it."""
    return bytes((outer[0] | 4,)) + outer[1:]


def is_whole(namespace: str) -> bool:
    """Whether the name stands for a namespace, and not for what a kill has left of making one."""
    found = namespace_identity(namespace)
    return found is not None and found.device != NAMESPACES.stat().st_dev


def ours(naming: Naming) -> Iterator[str]:
    """The names of our annexes that are there."""
    for path in NAMESPACES.iterdir() if NAMESPACES.exists() else ():
        if naming.owns_annex(path.name):
            yield path.name


def _prepare(inside: IPRoute) -> None:
    """A new namespace: nothing is forwarded, and the annex's own addresses are there."""
    for name, value in _SETTINGS.items():
        _set(name, value)
    loopback = need(link_named(inside, "lo"), "lo").index
    inside.link("set", index=loopback, state="up")
    for address in (PROXY, RESOLVER):
        inside.addr("add", index=loopback, address=str(address), prefixlen=32)
    inside.route("replace", dst=str(PROXIES), oif=loopback, type=LOCAL, table=LOCAL_TABLE, scope=HOST_SCOPE)
    for address6 in (PROXY_V6, RESOLVER_V6):
        with unless(*_NO_IPV6):
            inside.addr("add", index=loopback, address=str(address6), prefixlen=128, family=AF_INET6, flags=AT_ONCE)


def _open(inside: IPRoute, gateway: bytes) -> None:
    """Brings the annex's end up, with the ways in and out. Whatever of it is there already stays."""
    link = need(link_named(inside, DEVICE), DEVICE)
    for name, value in _OF_THE_DEVICE.items():
        _set(f"ipv6/conf/{DEVICE}/{name}", value)
    mac = inner_mac(gateway)
    if link.mac != mac:
        inside.link("set", index=link.index, address=mac.hex(":"))
    if not link.up:
        inside.link("set", index=link.index, state="up")
        await_operational(inside, link.name)
    loopback = need(link_named(inside, "lo"), "lo").index
    for family, router, source in ((AF_INET, ROUTER, PROXY), (AF_INET6, ROUTER_V6, PROXY_V6)):
        with unless(*(_NO_IPV6 if family == AF_INET6 else ())):
            out: dict[str, str | int] = {
                "gateway": str(router),
                "oif": link.index,
                "flags": ONLINK,
                "prefsrc": str(source),
            }
            known = {"dst": str(router), "lladdr": gateway.hex(":"), "ifindex": link.index, "state": PERMANENT}
            inside.neigh("replace", family=family, **known)
            _lead(inside, family, out, loopback)


def _lead(inside: IPRoute, family: int, out: Mapping[str, str | int], loopback: int) -> None:
    everything = "0.0.0.0/0" if family == AF_INET else "::/0"
    inside.route("replace", family=family, dst=everything, **out)
    inside.route("replace", family=family, dst=everything, oif=loopback, type=LOCAL, table=ARRIVING, scope=HOST_SCOPE)
    with unless(EEXIST):
        inside.rule("add", family=family, iifname=DEVICE, table=ARRIVING, priority=ARRIVING)


def _set(name: str, value: str) -> None:
    """Of the namespace that the thread is in. Where /proc/sys is read-only, what the kernel begins with must do."""
    try:
        Path("/proc/sys/net", name).write_text(value)
    except OSError:
        return


def remove(namespace: str) -> None:
    """Takes the namespace away; its end of the veth goes with it."""
    if namespace_identity(namespace) is None:
        return
    if is_whole(namespace):
        with suppress(NotReady):
            in_namespace(namespace, _delete_end)
    delete_namespace(namespace)


def _delete_end(inside: IPRoute) -> None:
    """A socket that is still inside would keep it, and its other end."""
    link = link_named(inside, DEVICE)
    if link is not None:
        with unless(ENODEV, ENOENT):
            inside.link("del", index=link.index)
