"""The devices of one gateway, of whatever kind: put into use, given up, shut, removed.

Synchronous: netlink calls take milliseconds, so they belong on a thread of their own.
"""

from collections.abc import Iterable
from errno import EINVAL, ENODEV, ENOENT
from typing import NamedTuple, assert_never

from pyroute2 import IPRoute

from services.gateway_agent.dataplane import annex, haproxy, interface, veth, vxlan
from services.gateway_agent.dataplane.hooks import Hooks
from services.gateway_agent.dataplane.links import is_up
from services.gateway_agent.dataplane.maps import VpcDevice
from services.gateway_agent.dataplane.naming import Naming
from services.gateway_agent.dataplane.netlink import NO_ARP, Link, delete, links, netlink, our_link, unless
from services.gateway_agent.dataplane.port import NotReady
from services.gateway_agent.table import Attachment
from services.gateway_agent.targets import Annex, Interface, Netns, Target, Vxlan


class InUse(NamedTuple):
    """A device as it was put into use: where it is no longer so, it is of no use."""

    name: str
    device: VpcDevice


class Devices:
    """Recognised as ours by their alias, or, if they are somebody else's, by the mark on the program's filter."""

    def __init__(self, gateway_id: str, hooks: Hooks) -> None:
        self._naming = Naming(gateway_id)
        self._hooks = hooks
        self._borrowed: dict[str, int] = {}  # by VPC
        self._remote_hosts: vxlan.RemoteHosts = {}

    def attach(self, attachment: Attachment, program_fd: int) -> InUse:
        """Makes the device or takes it as it was left; no packet passes it without the program. Raises NotReady."""
        in_use = self._put_into_use(attachment, program_fd)
        self._hooks.put(in_use.device.ifindex, program_fd)
        return in_use

    def _put_into_use(self, attachment: Attachment, program_fd: int) -> InUse:
        vpc, target, naming = attachment.vpc, attachment.target, self._naming
        with netlink() as host:
            if isinstance(target, Interface):
                self._delete_made(host, vpc)
            else:
                self._give_back(host, vpc)
            match target:
                case Netns():
                    return InUse(naming.device(vpc), veth.attach(host, naming, vpc, target, program_fd))
                case Vxlan():
                    device = vxlan.attach(host, naming, vpc, target, program_fd, known=self._remote_hosts)
                    return InUse(naming.device(vpc), device)
                case Interface():
                    return self._borrow(host, vpc, target, program_fd)
                case Annex():
                    return InUse(naming.device(vpc), annex.attach(host, naming, vpc, target, program_fd))
                case _:
                    assert_never(target)

    def detach(self, attachment: Attachment) -> None:
        """Deletes what was made for the VPC, a veth's far end with it; gives back what was borrowed."""
        with netlink() as host:
            self._give_back(host, attachment.vpc)
            self._delete_made(host, attachment.vpc)
        if isinstance(attachment.target, Annex):
            self._remove_annex(self.namespace(attachment.target))

    def _remove_annex(self, namespace: str) -> None:
        haproxy.end_all(namespace)
        annex.remove(namespace)

    def namespace(self, target: Target) -> str:
        """The network namespace that is behind the device; empty where there is none that we know of."""
        match target:
            case Netns(namespace):
                return namespace
            case Annex(vpc):
                return self._naming.annex(vpc)
            case _:
                return ""

    def complaint(self, target: Target, in_use: InUse) -> str | None:
        """Why a device is of no use any more."""
        if not isinstance(target, Interface):
            up = is_up(in_use.name, in_use.device.ifindex)
            return None if up else f"{target} went away, or our end of it is down"
        with netlink() as host:
            try:
                link = interface.choose(host, interface.candidates(host, target), target)
            except NotReady as error:
                return str(error)
        silent = link.flags & NO_ARP
        same = silent and in_use == InUse(link.name, VpcDevice(link.index, False, link.mac, link.mtu))
        return None if same else f"{target} is another one now, or was altered"

    def adopt(self) -> None:
        """Learns what an earlier agent has borrowed, and where its VXLANs send to."""
        with netlink() as host:
            self._remote_hosts = vxlan.remote_hosts(host)
            self._borrowed = interface.marked(host, self._naming)

    def sweep(self, attachments: Iterable[Attachment]) -> None:
        """Gives up what an agent that was interrupted has left for other VPCs than of these.

        A veth into a VPC stays, shut by nothing but the program: its far end may carry a tenant's addresses.
        """
        known = {attachment.vpc: attachment for attachment in attachments}
        vpcs, annexes = known.keys(), {self.namespace(each.target) for each in known.values()}
        for namespace in [name for name in annex.ours(self._naming) if name not in annexes]:
            self._remove_annex(namespace)
        with netlink() as host:
            for vpc in [vpc for vpc in self._borrowed if vpc not in vpcs]:
                self._give_back(host, vpc)
            for link in self._made(host):
                if link.kind == vxlan.KIND and link.alias.rpartition("/")[2] not in vpcs:
                    delete(host, link.index)
                    self._hooks.remove(link.index)

    def shut_all(self) -> None:
        """No packet passes any more: veths are down, without the program, and VXLANs gone; the borrowed go back."""
        self.adopt()
        self.sweep(())
        with netlink() as host:
            for link in self._made(host):
                with unless(ENODEV, EINVAL, ENOENT):  # it went away, or has no program
                    host.link("set", index=link.index, state="down")
                    self._hooks.remove(link.index)
                    host.tc("del", "clsact", link.index)

    def remove_all(self) -> None:
        """Deletes every device that was made."""
        with netlink() as host:
            for link in self._made(host):
                delete(host, link.index)

    def _borrow(self, host: IPRoute, vpc: str, target: Interface, program_fd: int) -> InUse:
        """A device that the selector no longer means goes back; one that is only unfit stays shut to all but us."""
        found = interface.candidates(host, target)
        if self._borrowed.get(vpc) not in {link.index for link in found}:
            self._give_back(host, vpc)
        link = interface.choose(host, found, target)
        device = interface.attach(host, self._naming, vpc, link, program_fd)
        self._borrowed[vpc] = device.ifindex
        return InUse(link.name, device)

    def _give_back(self, host: IPRoute, vpc: str) -> None:
        index = self._borrowed.pop(vpc, None)
        if index is not None:
            self._hooks.remove(index)
            interface.release(host, self._naming, vpc, index)

    def _delete_made(self, host: IPRoute, vpc: str) -> None:
        link = our_link(host, self._naming, vpc)
        if link:
            delete(host, link.index)
            self._hooks.remove(link.index)
            self._remote_hosts.pop(link.index, None)

    def _made(self, host: IPRoute) -> list[Link]:
        return [link for link in links(host) if self._naming.owns(link.alias)]
