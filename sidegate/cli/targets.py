"""What an attachment reaches, from the options of the command line."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address

from sidegate.api.registry.v1.vpc_pb2 import InterfaceTarget, NetnsTarget, VxlanTarget
from sidegate.cli.outcome import Complaint, Exit
from sidegate.resources.inventory import Target

ADDRESS = "addr:"
MAC = re.compile(r"([0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}")
WAYS = "give one of --netns NAME, --vxlan VNI with --remote IP, --interface NAME|MAC|addr:IP"


@dataclass(frozen=True, slots=True)
class Options:
    """As given: 0 and empty are not given."""

    netns: str
    device: str
    vxlan: int
    remotes: Sequence[str]
    local: str
    port: int
    mtu: int
    interface: str


def target(given: Options) -> Target:
    """The one target that the options name. Raises Complaint."""
    if sum(map(bool, (given.netns, given.vxlan, given.interface))) != 1:
        raise Complaint("an attachment reaches one thing", Exit.USAGE, WAYS)
    _check_belongs(given)
    if given.netns:
        return NetnsTarget(namespace=given.netns, device=given.device)
    if given.interface:
        return interface(given.interface)
    return _vxlan(given)


def interface(text: str) -> InterfaceTarget:
    """NAME, MAC or addr:IP."""
    if text.startswith(ADDRESS):
        return InterfaceTarget(address=_address(text.removeprefix(ADDRESS)))
    return InterfaceTarget(mac=text) if MAC.fullmatch(text) else InterfaceTarget(name=text)


def _vxlan(given: Options) -> VxlanTarget:
    if not given.remotes:
        hint = "give --remote IP once for each host of the underlay that carries the segment"
        raise Complaint("a VXLAN needs a remote host", Exit.USAGE, hint)
    return VxlanTarget(
        vni=given.vxlan,
        remotes=[_address(remote) for remote in given.remotes],
        port=given.port,
        local=_address(given.local) if given.local else "",
        mtu=given.mtu,
    )


def _check_belongs(given: Options) -> None:
    """Refuses an option of another kind of attachment, which would do nothing."""
    of_vxlan = {"--remote": given.remotes, "--local": given.local, "--port": given.port, "--mtu": given.mtu}
    strays = {} if given.vxlan else of_vxlan
    if not given.netns:
        strays = strays | {"--device": given.device}
    for option, value in strays.items():
        if value:
            whose = "--netns" if option == "--device" else "--vxlan"
            raise Complaint(f"{option} goes with {whose}", Exit.USAGE, WAYS)


def _address(text: str) -> str:
    try:
        return str(IPv4Address(text))
    except ValueError:
        hint = "an IPv4 address is four numbers, such as 192.0.2.10"
        raise Complaint(f"{text!r} is no IPv4 address", Exit.USAGE, hint) from None
