"""How a VPC is reached, as bytes in the `attachments` map: with it the table can be read from the kernel alone."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv4Address
from struct import Struct
from typing import ClassVar, Self, assert_never
from uuid import UUID

from services.gateway_agent.targets import Annex, Interface, Netns, Selector, Target, Vxlan

MOST_REMOTES = 64
_NETNS = Struct("<128s16s")
_VXLAN = Struct(f"<IHH4sI{4 * MOST_REMOTES}s")  # VNI, port, MTU, own address, number of remotes, remotes
_INTERFACE = Struct("<I20s")
_ANNEX = Struct("<16s")
_ADDRESS_SIZE = 4
_NOBODY = IPv4Address(0)


class Kind(IntEnum):
    """What a target is: numbers that outlive the agent."""

    NETNS = 1
    VXLAN = 2
    INTERFACE = 3
    ANNEX = 4


_SELECTORS = (Selector.NAME, Selector.MAC, Selector.ADDRESS)  # in this order for ever


@dataclass(frozen=True, slots=True)
class AttachmentRecord:
    """A VPC's local number, and how it is reached."""

    vpc: int
    target: Target

    LAYOUT: ClassVar = Struct(f"<II{_VXLAN.size}s")  # the largest of them

    def pack(self) -> bytes:
        kind, data = _pack(self.target)
        return self.LAYOUT.pack(self.vpc, kind, data)

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        vpc, kind, target = cls.LAYOUT.unpack(data)
        return cls(vpc, _UNPACK[Kind(kind)](target))


def _pack(target: Target) -> tuple[Kind, bytes]:
    match target:
        case Netns(namespace, device):
            return Kind.NETNS, _NETNS.pack(namespace.encode(), device.encode())
        case Vxlan(vni, remotes, port, local, mtu):
            packed = b"".join(remote.packed for remote in remotes)
            return Kind.VXLAN, _VXLAN.pack(vni, port, mtu, (local or _NOBODY).packed, len(remotes), packed)
        case Interface(selector, value):
            return Kind.INTERFACE, _INTERFACE.pack(_SELECTORS.index(selector), value.encode())
        case Annex(vpc):
            return Kind.ANNEX, _ANNEX.pack(UUID(vpc).bytes)
        case _:
            assert_never(target)


def _netns(data: bytes) -> Netns:
    namespace, device = _NETNS.unpack_from(data)
    return Netns(_text(namespace), _text(device))


def _vxlan(data: bytes) -> Vxlan:
    vni, port, mtu, local, count, packed = _VXLAN.unpack_from(data)
    remotes = tuple(
        IPv4Address(packed[at : at + _ADDRESS_SIZE]) for at in range(0, count * _ADDRESS_SIZE, _ADDRESS_SIZE)
    )
    own = IPv4Address(local)
    return Vxlan(vni, remotes, port, None if own == _NOBODY else own, mtu)


def _interface(data: bytes) -> Interface:
    selector, value = _INTERFACE.unpack_from(data)
    return Interface(_SELECTORS[selector], _text(value))


def _annex(data: bytes) -> Annex:
    return Annex(str(UUID(bytes=_ANNEX.unpack_from(data)[0])))


_UNPACK: Mapping[Kind, Callable[[bytes], Target]] = {
    Kind.NETNS: _netns,
    Kind.VXLAN: _vxlan,
    Kind.INTERFACE: _interface,
    Kind.ANNEX: _annex,
}


def _text(padded: bytes) -> str:
    return padded.rstrip(b"\0").decode()
