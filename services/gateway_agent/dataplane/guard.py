"""The program on a device: our filter at clsact ingress, before all others."""

from collections.abc import Iterator
from dataclasses import dataclass
from errno import EEXIST, EINVAL, ENOENT

from pyroute2 import IPRoute, NetlinkError

from services.gateway_agent.dataplane.netlink import unless

ALL_PROTOCOLS = 3  # ETH_P_ALL
INGRESS, EGRESS = 0xFFFFFFF2, 0xFFFFFFF3  # of a clsact qdisc
FIRST, OURS = 1, 1  # priority and handle
KIND = "bpf"


@dataclass(frozen=True, slots=True)
class Filter:
    """One that is on a device; handle 0 is the list that filters of one priority are in."""

    priority: int
    handle: int
    kind: str
    name: str

    @property
    def in_our_place(self) -> bool:
        return self.priority == FIRST

    @property
    def is_list(self) -> bool:
        return self.kind == KIND and self.handle == 0


def guard(host: IPRoute, index: int, program_fd: int, name: str) -> None:
    """Puts the program on the device; one that is there is replaced between two packets."""
    add_clsact(host, index)
    host.tc(
        "replace-filter",
        KIND,
        index,
        handle=OURS,
        prio=FIRST,
        parent=INGRESS,
        protocol=ALL_PROTOCOLS,
        fd=program_fd,
        name=name,
        direct_action=True,
    )


def add_clsact(host: IPRoute, index: int) -> bool:
    """Whether there was none; an ingress qdisc takes the same place, and serves as well."""
    try:
        host.tc("add", "clsact", index)
    except NetlinkError as error:
        if error.code == EEXIST:
            return False
        raise
    return True


def unguard(host: IPRoute, index: int) -> None:
    with unless(EINVAL, ENOENT):
        host.tc("del-filter", KIND, index, handle=OURS, prio=FIRST, parent=INGRESS, protocol=ALL_PROTOCOLS)


def filters(host: IPRoute, index: int, parent: int = INGRESS) -> Iterator[Filter]:
    for message in host.get_filters(index=index, parent=parent):
        options = message.get_attr("TCA_OPTIONS")
        name = options.get_attr("TCA_BPF_NAME") if hasattr(options, "get_attr") else None
        yield Filter(message["info"] >> 16, message["handle"], message.get_attr("TCA_KIND") or "", name or "")


def is_unused(host: IPRoute, index: int) -> bool:
    """Whether clsact has no filters in either direction."""
    return not any(filters(host, index)) and not any(filters(host, index, EGRESS))
