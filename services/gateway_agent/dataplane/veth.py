"""A veth into a tenant's network namespace, with the way back to the addresses that backends see."""

from errno import EACCES, EEXIST, EINVAL, ENODEV, EOPNOTSUPP
from socket import AF_INET6

from pyroute2 import IPRoute, NetlinkError

from services.gateway_agent.dataplane.guard import guard
from services.gateway_agent.dataplane.maps import VpcDevice
from services.gateway_agent.dataplane.namespaces import NAMESPACES, in_namespace, namespace_identity
from services.gateway_agent.dataplane.naming import Naming
from services.gateway_agent.dataplane.netlink import (
    Link,
    await_operational,
    delete,
    link_named,
    make_ours,
    need,
    our_link,
    silence,
    unless,
)
from services.gateway_agent.dataplane.port import NotReady
from services.gateway_agent.table import SOURCE_PREFIX_V6, SOURCE_RANGE
from services.gateway_agent.targets import Netns

LINK_SCOPE = 253
MAIN_TABLE = 254


def attach(host: IPRoute, naming: Naming, vpc: str, target: Netns, program_fd: int) -> VpcDevice:
    """Makes the veth, or takes it as an earlier agent left it; up only with the program in place. Raises NotReady."""
    if namespace_identity(target.namespace) is None:
        raise NotReady(f"network namespace {target.namespace} is not there: ip netns add {target.namespace}")
    link = end(host, naming, vpc, target)
    guard(host, link.index, program_fd, naming.alias(vpc))
    silence(link.name)
    host.link("set", index=link.index, state="up")
    in_namespace(target.namespace, lambda inside: _open_far_end(inside, target))
    await_operational(host, link.name)
    return VpcDevice(link.index, True, link.mac, link.mtu)


def end(host: IPRoute, naming: Naming, vpc: str, target: Netns) -> Link:
    """Our end of the veth, made where there was none."""
    return _matching(host, naming, vpc, target) or _create(host, naming, vpc, target)


def _matching(host: IPRoute, naming: Naming, vpc: str, target: Netns) -> Link | None:
    """Our device, if its far end is where the attachment says; otherwise both ends are of no use and go."""
    link = our_link(host, naming, vpc)
    far = in_namespace(target.namespace, lambda inside: link_named(inside, target.device))
    if link and far and _are_ends(link, far):
        return link
    if far:
        where = f"network namespace {target.namespace}"
        raise NotReady(f"{where} has a device {target.device} that is not ours: rename or remove it")
    if link:
        delete(host, link.index)
    return None


def _create(host: IPRoute, naming: Naming, vpc: str, target: Netns) -> Link:
    name = naming.device(vpc)
    far = {"ifname": target.device, "net_ns_fd": str(NAMESPACES / target.namespace)}
    host.link("add", ifname=name, kind="veth", address=naming.mac(vpc), peer=far)
    link = need(link_named(host, name), name)
    make_ours(host, link.index, naming.alias(vpc))
    return link


def _are_ends(link: Link, far: Link) -> bool:
    return link.lower == far.index and far.lower == link.index


def _open_far_end(inside: IPRoute, target: Netns) -> None:
    """Brings the tenant's end up, with the way back to the addresses that backends see."""
    link = need(link_named(inside, target.device), target.device)
    if not link.up:
        inside.link("set", index=link.index, state="up")
        await_operational(inside, link.name)
    with unless(EEXIST, EACCES, EINVAL, ENODEV, EOPNOTSUPP):  # the namespace has no IPv6, or the route already
        inside.route("add", family=AF_INET6, dst=str(SOURCE_PREFIX_V6), oif=link.index)
    try:
        inside.route("add", dst=str(SOURCE_RANGE), oif=link.index, scope=LINK_SCOPE)
    except NetlinkError as error:
        if error.code != EEXIST:
            raise
        _check_route(inside, link.index, target)


def _check_route(inside: IPRoute, index: int, target: Netns) -> None:
    routes = inside.get_routes(dst=str(SOURCE_RANGE), table=MAIN_TABLE)
    if not any(route.get_attr("RTA_OIF") == index for route in routes):
        where = f"network namespace {target.namespace}"
        raise NotReady(f"{where} has another route to {SOURCE_RANGE}, which is for what comes through endpoints")
