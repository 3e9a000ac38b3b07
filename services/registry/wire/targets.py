"""Targets of attachments, stored and shown."""

from collections.abc import Sequence
from ipaddress import IPv4Address
from typing import assert_never

from services.registry.domain.addresses import parse_ipv4
from services.registry.domain.targets import (
    FIRST_DEVICE,
    FIRST_VXLAN_PORT,
    Interface,
    Netns,
    Selector,
    Target,
    Vxlan,
    check_hosts,
)
from sidegate.api.registry.v1 import vpc_pb2


def parse_target(wanted: vpc_pb2.Attachment) -> Target:
    """What the caller asks for, with what was left out filled in. Raises Invalid."""
    match target_of(wanted):
        case Netns(namespace, device):
            return Netns(namespace, device or FIRST_DEVICE)
        case Vxlan(vni, port, remotes, local, mtu):
            check_hosts(remotes, "attachment.vxlan.remotes")
            check_hosts([local] if local else [], "attachment.vxlan.local")
            return Vxlan(vni, port or FIRST_VXLAN_PORT, remotes, local, mtu)
        case Interface() as interface:
            return interface
        case other:
            assert_never(other)


def target_of(message: vpc_pb2.Attachment) -> Target:
    match message.WhichOneof("target"):
        case "netns":
            return Netns(message.netns.namespace, message.netns.device)
        case "vxlan":
            return _vxlan(message.vxlan)
        case "interface":
            return _interface(message.interface)
        case other:
            raise LookupError(f"attachment {message.id} has no target that is known: {other}")


def show_target(target: Target, shown: vpc_pb2.Attachment) -> None:
    """Sets the target of a message."""
    match target:
        case Netns(namespace, device):
            shown.netns.CopyFrom(vpc_pb2.NetnsTarget(namespace=namespace, device=device))
        case Vxlan():
            shown.vxlan.CopyFrom(_vxlan_message(target))
        case Interface(selector, value):
            setattr(shown.interface, selector.value, value)
        case _:
            assert_never(target)


def _vxlan(message: vpc_pb2.VxlanTarget) -> Vxlan:
    local = parse_ipv4(message.local, "attachment.vxlan.local") if message.local else None
    return Vxlan(message.vni, message.port, _addresses(message.remotes), local, message.mtu)


def _addresses(texts: Sequence[str]) -> tuple[IPv4Address, ...]:
    return tuple(parse_ipv4(text, "attachment.vxlan.remotes") for text in texts)


def _vxlan_message(target: Vxlan) -> vpc_pb2.VxlanTarget:
    return vpc_pb2.VxlanTarget(
        vni=target.vni,
        remotes=map(str, target.remotes),
        port=target.port,
        local=str(target.local) if target.local else "",
        mtu=target.mtu,
    )


def _interface(message: vpc_pb2.InterfaceTarget) -> Interface:
    match message.WhichOneof("selector"):
        case "name":
            return Interface(Selector.NAME, message.name)
        case "mac":
            return Interface(Selector.MAC, message.mac.lower())
        case "address":
            return Interface(Selector.ADDRESS, str(parse_ipv4(message.address, "attachment.interface.address")))
        case other:
            raise LookupError(f"an interface without a selector that is known: {other}")
