"""What an attachment reaches, from the options of the command line."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address

from sidegate.api.registry.v1.vpc_pb2 import InterfaceTarget, NetnsPattern, NetnsTarget, VxlanRange, VxlanTarget
from sidegate.cli.outcome import Complaint, Exit
from sidegate.resources.attachments import Target

ADDRESS = "addr:"
MAC = re.compile(r"([0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}")
DEFAULT_WAYS = "give one of --netns PATTERN and --vxlan FIRST-LAST with --remote IP"
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


def template(given: Options, range_: str) -> NetnsPattern | VxlanRange:
    """What each VPC gets by the options; `range_` is FIRST-LAST of VXLAN numbers. Raises Complaint."""
    if bool(given.netns) == bool(range_):
        raise Complaint("a default attachment is of one kind", Exit.USAGE, DEFAULT_WAYS)
    if given.netns:
        _check_belongs(given)
        return NetnsPattern(namespace=given.netns, device=given.device)
    first, last = _numbers(range_)
    _check_belongs(replace(given, vxlan=first))
    segment = _vxlan(given)
    return VxlanRange(
        first_vni=first,
        last_vni=last,
        remotes=segment.remotes,
        port=segment.port,
        local=segment.local,
        mtu=segment.mtu,
    )


def interface(text: str) -> InterfaceTarget:
    """NAME, MAC or addr:IP."""
    if text.startswith(ADDRESS):
        return InterfaceTarget(address=_address(text.removeprefix(ADDRESS)))
    return InterfaceTarget(mac=text) if MAC.fullmatch(text) else InterfaceTarget(name=text)


def _numbers(text: str) -> tuple[int, int]:
    first, _, last = text.partition("-")
    if not (first.isdecimal() and last.isdecimal()):
        raise Complaint(f"{text!r} is no range of VXLAN numbers", Exit.USAGE, "a range is FIRST-LAST, such as 100-199")
    return int(first), int(last)


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
