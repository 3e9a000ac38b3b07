"""On-link routes to public prefixes in the network namespaces that consumers' VPCs are, by the gateway's veth.

Ours by their protocol number, so that one that an agent could not take away any more is found by the next. A VPC that
is reached by a VXLAN or an interface has a router, which must have such routes itself.
"""

import asyncio
from collections.abc import Set
from errno import EEXIST
from ipaddress import ip_network
from socket import AF_INET, AF_INET6

from pyroute2 import IPRoute, NetlinkError
from pyroute2.netlink import nlmsg

from services.gateway_agent.dataplane.difficulties import Difficulties
from services.gateway_agent.dataplane.kernel_table import KernelTable
from services.gateway_agent.dataplane.namespaces import in_namespace
from services.gateway_agent.dataplane.netlink import link_named, unless
from services.gateway_agent.dataplane.port import NotReady
from services.gateway_agent.routes import ranges
from services.gateway_agent.table import Endpoint, Network
from services.gateway_agent.targets import Netns

OURS = 147  # rtm_protocol: of those that nobody has (/etc/iproute2/rt_protos)
LINK_SCOPE = 253
FAMILIES = (AF_INET, AF_INET6)
_ESRCH = 3


class OnLinkRoutes:
    def __init__(self, table: KernelTable, difficulties: Difficulties) -> None:
        self._table, self._difficulties = table, difficulties

    async def lay_for(self, *changed: Endpoint | None) -> None:
        """In the namespaces of VPCs that an endpoint with routes is in, or was."""
        routed = [endpoint for endpoint in changed if endpoint and endpoint.routes]
        for endpoint in routed:
            self._difficulties.clear(endpoint.key)
        for vpc in {endpoint.vpc for endpoint in routed}:
            await self.lay(vpc)

    async def lay(self, vpc: str) -> None:
        """Makes the VPC's routes what its endpoints say; one that cannot be made is its endpoints' difficulty."""
        attachment = self._table.entries.attachment(vpc)
        if attachment is None or not isinstance(target := attachment.target, Netns):
            return
        routed = self._table.entries.routed(vpc)
        wanted = frozenset(prefix for endpoint in routed for prefix in ranges(endpoint.routes))
        try:
            refused = await asyncio.to_thread(in_namespace, target.namespace, lambda it: _lay(it, target, wanted))
        except (NotReady, NetlinkError, OSError) as error:
            refused = dict.fromkeys(wanted, f"no route in network namespace {target.namespace}: {error}")
        for endpoint in routed:
            reasons = (refused[prefix] for prefix in ranges(endpoint.routes) if prefix in refused)
            self._difficulties.judge(endpoint.key, next(reasons, None))


def _lay(inside: IPRoute, target: Netns, wanted: Set[Network]) -> dict[Network, str]:
    """Gives the prefixes that have no route, with the reason."""
    link = link_named(inside, target.device)
    if link is None:
        raise NotReady(f"device {target.device} is not there")
    there = {
        _destination(route): route
        for family in FAMILIES
        for route in inside.get_routes(family=family, proto=OURS)
        if route["proto"] == OURS and route.get_attr("RTA_OIF") == link.index
    }
    for prefix in there.keys() - wanted:
        with unless(_ESRCH):
            inside.route("del", **_route(prefix, link.index))
    refused = {}
    for prefix in sorted(wanted - there.keys(), key=str):
        if reason := _add(inside, prefix, link.index):
            refused[prefix] = f"network namespace {target.namespace} {reason}"
    return refused


def _add(inside: IPRoute, prefix: Network, index: int) -> str:
    try:
        inside.route("add", **_route(prefix, index))
    except NetlinkError as error:
        if error.code == EEXIST:
            return f"has another route to {prefix}, which an endpoint of the VPC leads to: remove it"
        return f"takes no route to {prefix}: {error}"
    return ""


def _destination(route: nlmsg) -> Network:
    """A default route has none."""
    anything = "0.0.0.0" if route["family"] == AF_INET else "::"  # noqa: S104 - an address of a route, not to listen at
    return ip_network((route.get_attr("RTA_DST") or anything, route["dst_len"]))


def _route(prefix: Network, index: int) -> dict[str, str | int]:
    """Of IPv4 one is found only with its scope."""
    route: dict[str, str | int] = {"dst": str(prefix), "oif": index, "proto": OURS}
    if prefix.version == 4:
        return route | {"family": AF_INET, "scope": LINK_SCOPE}
    return route | {"family": AF_INET6}
