"""A device that is there and belongs to somebody else: found, guarded, and given back as it was."""

from collections.abc import Sequence

from pyroute2 import IPRoute

from services.gateway_agent.dataplane.guard import (
    OURS,
    add_clsact,
    filters,
    guard,
    is_unused,
    unguard,
)
from services.gateway_agent.dataplane.maps import VpcDevice
from services.gateway_agent.dataplane.naming import OURS as OUR_ALIASES
from services.gateway_agent.dataplane.naming import Mark, Naming
from services.gateway_agent.dataplane.netlink import ETHERNET, LOOPBACK, NO_ARP, Link, link_at, link_named, links
from services.gateway_agent.dataplane.port import NotReady
from services.gateway_agent.targets import Interface, Selector


def candidates(host: IPRoute, target: Interface) -> Sequence[Link]:
    """The devices that the selector may mean now."""
    match target.selector:
        case Selector.NAME:
            link = link_named(host, target.value)
            return [link] if link else []
        case Selector.MAC:
            return _not_stacked([link for link in links(host) if link.mac.hex(":") == target.value])
        case Selector.ADDRESS:
            indexes = {message["index"] for message in host.get_addr(local=target.value)}
            return [link for index in sorted(indexes) if (link := link_at(host, index))]


def choose(host: IPRoute, found: Sequence[Link], target: Interface) -> Link:
    """The one device that is meant, if it is fit to be used. Raises NotReady."""
    if not found:
        raise NotReady(f"{target} is not there: make it, or detach the VPC")
    if len(found) > 1:
        names = ", ".join(link.name for link in found)
        raise NotReady(f"{target} may be any of {names}: select it by its name")
    _check_fit(host, found[0])
    return found[0]


def attach(host: IPRoute, naming: Naming, vpc: str, link: Link, program_fd: int) -> VpcDevice:
    """Puts the program on the device, and only then silences it. Raises NotReady."""
    mark = _mark(host, naming, vpc, link)
    guard(host, link.index, program_fd, str(mark))
    if not link.flags & NO_ARP:
        host.link("set", index=link.index, arp=False)
    return VpcDevice(link.index, False, link.mac, link.mtu)


def release(host: IPRoute, naming: Naming, vpc: str, index: int) -> None:
    """Gives the device back as it was before, if we have it; the mark, which says what that was, goes last."""
    link, mark = link_at(host, index), mark_on(host, index)
    if link is None or mark is None or (mark.gateway_id, mark.vpc) != (naming.gateway_id, vpc):
        return
    if mark.arp:
        host.link("set", index=index, arp=True)
    unguard(host, index)
    if mark.clsact and is_unused(host, index):
        host.tc("del", "clsact", index)


def mark_on(host: IPRoute, index: int) -> Mark | None:
    """What our filter on a device says."""
    names = [each.name for each in filters(host, index) if each.in_our_place and each.handle == OURS]
    return Mark.read(names[0]) if names else None


def marked(host: IPRoute, naming: Naming) -> dict[str, int]:
    """The devices of others that this gateway has, by VPC."""
    candidates = [link for link in links(host) if link.flags & NO_ARP and not link.alias.startswith(OUR_ALIASES)]
    marks = ((mark_on(host, link.index), link.index) for link in candidates)
    return {mark.vpc: index for mark, index in marks if mark and mark.gateway_id == naming.gateway_id}


def _not_stacked(found: Sequence[Link]) -> Sequence[Link]:
    """A VLAN has its parent's MAC address, a bond its members': what is meant is the parent, the bond."""
    indexes = {link.index for link in found}
    return [link for link in found if link.lower not in indexes and link.master not in indexes]


def _check_fit(host: IPRoute, link: Link) -> None:
    if link.flags & LOOPBACK:
        raise NotReady(f"device {link.name} is the loopback device, and no VPC is behind it")
    if link.hardware != ETHERNET:
        raise NotReady(f"device {link.name} is no Ethernet device")
    if link.alias.startswith(OUR_ALIASES):
        raise NotReady(f"device {link.name} is one that a gateway has made, {link.alias}")
    if link.master:
        master = link_at(host, link.master)
        whole = master.name if master else f"device {link.master}"
        raise NotReady(f"device {link.name} is a part of {whole}: take it out, or select {whole}")
    if not link.up:
        raise NotReady(f"device {link.name} is down: ip link set {link.name} up")
    if not link.running:
        raise NotReady(f"device {link.name} has no carrier")


def _mark(host: IPRoute, naming: Naming, vpc: str, link: Link) -> Mark:
    """The mark that the device has from us, or the one that it gets. Raises NotReady if another has our place."""
    in_our_place = [each for each in filters(host, link.index) if each.in_our_place and not each.is_list]
    if not in_our_place:
        return Mark(naming.gateway_id, vpc, not link.flags & NO_ARP, add_clsact(host, link.index))
    mark = Mark.read(in_our_place[0].name)
    if mark is None or len(in_our_place) > 1:
        what = in_our_place[0].name or in_our_place[0].kind
        where = "at clsact ingress with priority 1, which is the gateway's place"
        raise NotReady(f"device {link.name} has a filter of another program ({what}) {where}: give it a lower one")
    if mark.gateway_id != naming.gateway_id:
        raise NotReady(f"device {link.name} already carries VPC {mark.vpc} for gateway {mark.gateway_id}")
    if mark.vpc != vpc:
        raise NotReady(f"device {link.name} already carries VPC {mark.vpc}")
    return mark
