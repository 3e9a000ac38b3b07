"""A data centre, and the lines by which it reaches a VPC's router: a cable, a direct line (VXLAN), a VPN (OpenVPN)."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path

from services.common.identity.pki import CA_FILE, CERTIFICATE_FILE, KEY_FILE, Authority, Subject
from tests.support.daemons import daemon
from tests.support.namespaces import Namespace
from tests.support.switched import NIC, Switch
from tests.support.wire_tap import Tap
from tests.system.scenarios.stage import Host, Network, Stage

LAN = "lan0"
VXLAN_PORT, VXLAN_ID = 4789, 4711
OPENVPN_PORT = 1194
NEAR_NAME, FAR_NAME = "vpc1-router", "edge"
"""Names in the certificates of both ends of the VPN."""


@dataclass(frozen=True)
class Router:
    """It forwards between a network and what it is cabled to."""

    title: str
    space: Namespace
    cidr: str
    stage: Stage

    @classmethod
    def of(cls, title: str, address: str, cidr: str, switch: Switch, stage: Stage) -> "Router":
        """With an address on the network's switch."""
        space = stage.elsewhere(title)
        switch.cable(space, LAN, f"{address}/{ip_network(cidr).prefixlen}")
        space.set_sysctl("net.ipv4.ip_forward", "1")
        return cls(title, space, cidr, stage)


async def router_of(network: Network) -> Router:
    """Its address is taken for it in the registry, as any machine's."""
    await network.client.ports.create(network.subnet_id, "machine/router-to-the-data-centre", network.router)
    return Router.of(f"router of {network.title}", network.router, network.cidr, network.switch, network.stage)


@dataclass(frozen=True)
class DataCentre:
    """A network that no gateway is attached to: what it reaches, it reaches by its edge router."""

    switch: Switch
    edge: Router
    edge_address: str
    stage: Stage

    @classmethod
    def make(cls, cidr: str, stage: Stage) -> "DataCentre":
        switch, address = Switch.make("dc", stage.things), str(ip_network(cidr)[1])
        return cls(switch, Router.of("edge of the data centre", address, cidr, switch, stage), address, stage)

    def host(self, title: str, address: str) -> Host:
        length = ip_network(self.edge.cidr).prefixlen
        space = self.switch.host("dc-machine", f"{address}/{length}", self.stage.things)
        space.ip("route", "add", "default", "via", self.edge_address)
        self.stage.tap(title, space, NIC)
        return Host(title, space, address)


def cable(near: Namespace, far: Namespace, device: str, near_address: str, far_address: str) -> None:
    """Between two hosts; the device is called the same at both ends."""
    near.ip("link", "add", device, "type", "veth", "peer", "name", device, "netns", far.name)
    for end, address in ((near, near_address), (far, far_address)):
        end.ip("link", "set", device, "up")
        end.add_address(address, device)


def route_each_other(near: Router, far: Router, near_next: str, far_next: str) -> None:
    """Each learns the other's network, by the address of the other's end of the line."""
    near.space.ip("route", "add", far.cidr, "via", far_next)
    far.space.ip("route", "add", near.cidr, "via", near_next)


def plain_line(near: Router, far: Router) -> Tap:
    """A cable between the routers."""
    cable(near.space, far.space, "line0", "172.31.255.1/30", "172.31.255.2/30")
    route_each_other(near, far, "172.31.255.1", "172.31.255.2")
    return near.stage.tap("the line", near.space, "line0")


@contextlib.asynccontextmanager
async def direct_line(near: Router, far: Router) -> AsyncIterator[Tap]:
    """A segment of a carrier's (VXLAN) between the routers; the tap is on the carrier's wire below."""
    cable(near.space, far.space, "carrier0", "100.64.255.1/30", "100.64.255.2/30")
    for end, other in ((near, "100.64.255.2"), (far, "100.64.255.1")):
        vxlan = ("type", "vxlan", "id", str(VXLAN_ID), "remote", other, "dstport", str(VXLAN_PORT), "dev", "carrier0")
        end.space.ip("link", "add", "line0", *vxlan)
        end.space.ip("link", "set", "line0", "up")
    near.space.add_address("172.31.255.1/30", "line0")
    far.space.add_address("172.31.255.2/30", "line0")
    route_each_other(near, far, "172.31.255.1", "172.31.255.2")
    yield near.stage.tap("carrier", near.space, "carrier0")


@contextlib.asynccontextmanager
async def vpn(near: Router, far: Router) -> AsyncIterator[Tap]:
    """OpenVPN across an internet, with certificates made here; the tap is on the internet's wire.

    When it ends, its tunnel and the routes through it are gone: another line can take over.
    """
    stage = near.stage
    internet = stage.elsewhere("internet")
    internet.set_sysctl("net.ipv4.ip_forward", "1")
    cable(near.space, internet, "wan0", "203.0.113.1/30", "203.0.113.2/30")
    cable(far.space, internet, "wan1", "198.51.100.1/30", "198.51.100.2/30")
    near.space.ip("route", "add", "198.51.100.0/30", "via", "203.0.113.2")
    far.space.ip("route", "add", "203.0.113.0/30", "via", "198.51.100.2")
    tap = stage.tap("internet", internet, "wan0")
    certificates(stage.directory)
    listening = ("--tls-server", "--dh", "none", "--local", "203.0.113.1", *peer(FAR_NAME, "Client"))
    calling = ("--tls-client", "--remote", "203.0.113.1", "--local", "198.51.100.1", *peer(NEAR_NAME, "Server"))
    with contextlib.ExitStack() as ends:
        daemons = []
        for router, name, own, other, its, how in (
            (near, NEAR_NAME, "172.31.0.1", "172.31.0.2", far.cidr, listening),
            (far, FAR_NAME, "172.31.0.2", "172.31.0.1", near.cidr, calling),
        ):
            command = openvpn(stage.directory / name, own, other, its)
            log = stage.directory / f"openvpn-{name}.log"
            one = ends.enter_context(daemon(f"OpenVPN of {router.title}", router.space, [*command, *how], log))
            await one.says("link local")  # it listens: nobody calls before
            daemons.append(one)
        for each in daemons:
            await each.says("Initialization Sequence Completed")
        yield tap


def openvpn(identity: Path, own: str, other: str, cidr: str) -> list[str]:
    """In the foreground, in user space (no module but tun), with a route to what is behind the other end."""
    network = ip_network(cidr)
    files = (("--ca", CA_FILE), ("--cert", CERTIFICATE_FILE), ("--key", KEY_FILE))
    identified = [word for option, file in files for word in (option, str(identity / file))]
    route = ["--route", str(network.network_address), str(network.netmask)]
    tunnel = ["--dev", "tun0", "--dev-type", "tun", "--disable-dco", "--ifconfig", own, other]
    return ["openvpn", *tunnel, "--proto", "udp4", "--port", str(OPENVPN_PORT), *identified, *route, "--verb", "3"]


def peer(name: str, role: str) -> tuple[str, ...]:
    """Who the other end must prove to be."""
    return "--verify-x509-name", name, "name", "--remote-cert-eku", f"TLS Web {role} Authentication"


def certificates(directory: Path) -> None:
    """An authority made on the spot, and what both ends prove with who they are."""
    authority = Authority(directory / "vpn-authority", "vpn")
    for name in (NEAR_NAME, FAR_NAME):
        authority.provide(directory / name, Subject(name, f"vpn:{name}", (name,)))
