"""Hosts behind a router of a VPC, on a path that carries less than both of its ends believe."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support import namespaces
from tests.support.namespaces import DEVICE, Namespace

ROUTER = "10.0.0.1"  # on the VPC's own network
INSIDE = "10.6.0.1"  # the router's address on the network behind it
HOST = "10.6.0.2"
FIRST_TABLE = "100"


@contextmanager
def behind(vpc: Namespace, mtu: int) -> Iterator[Namespace]:
    """A host with the address HOST behind the VPC's namespace, which forwards packets of up to `mtu` bytes to it."""
    cable = f"r{secrets.token_hex(4)}"
    with namespaces.make("inner") as (inner,):
        inner.set_sysctl("net.ipv6.conf.all.disable_ipv6", "1")
        vpc.ip("link", "add", cable, "type", "veth", "peer", "name", DEVICE, "netns", inner.name)
        vpc.ip("link", "set", cable, "up")
        inner.ip("link", "set", DEVICE, "up")
        vpc.add_address(f"{ROUTER}/24")
        vpc.add_address(f"{INSIDE}/24", cable)
        inner.add_address(f"{HOST}/24")
        inner.ip("route", "add", "default", "via", INSIDE)
        vpc.set_sysctl("net.ipv4.ip_forward", "1")
        vpc.ip("route", "add", HOST, "dev", cable, "mtu", str(mtu))
        try:
            yield inner
        finally:
            vpc.ip("link", "delete", cable)


def move_behind(vpc: Namespace, inner: Namespace, address: str, mtu: int) -> None:
    """An address that the router answers ARP for leads to the host behind it, where it is, too."""
    (route,) = vpc.ip("route", "show", HOST).splitlines()
    device = route.split()[route.split().index("dev") + 1]
    inner.add_address(f"{address}/32")
    vpc.ip("route", "add", address, "dev", device, "mtu", str(mtu), "table", FIRST_TABLE)
    vpc.ip("rule", "add", "to", address, "lookup", FIRST_TABLE, "priority", "1")
    vpc.ip("rule", "add", "lookup", "local", "priority", "10")
    vpc.ip("rule", "delete", "priority", "0")
