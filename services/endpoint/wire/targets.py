"""Targets of attachments, as the registry shows them and as a cell is told of them."""

from ipaddress import IPv4Address
from typing import assert_never

from services.endpoint.domain.targets import Interface, Netns, Selector, Target, Vxlan
from services.endpoint.wire.stored import UnknownFact
from sidegate.api.events.v1 import forwarding_pb2 as forwarding_pb
from sidegate.api.registry.v1 import vpc_pb2 as vpc_pb


def target_of(told: vpc_pb.Attachment | forwarding_pb.AttachmentForwarding) -> Target:
    """Raises UnknownFact for a kind of targets that is newer than this program."""
    if told.HasField("netns"):
        return Netns(told.netns.namespace, told.netns.device)
    if told.HasField("vxlan"):
        vxlan = told.vxlan
        local = IPv4Address(vxlan.local) if vxlan.local else None
        return Vxlan(vxlan.vni, vxlan.port, tuple(map(IPv4Address, vxlan.remotes)), local, vxlan.mtu)
    if selector := told.interface.WhichOneof("selector"):
        return Interface(Selector(selector), getattr(told.interface, selector))
    raise UnknownFact(f"the attachment of VPC {told.vpc_id} has no target that is known")


def store_target(target: Target, stored: forwarding_pb.AttachmentForwarding) -> None:
    """Sets the target of an entry."""
    match target:
        case Netns(namespace, device):
            stored.netns.CopyFrom(vpc_pb.NetnsTarget(namespace=namespace, device=device))
        case Vxlan(vni, port, remotes, local, mtu):
            hosts, own = map(str, remotes), str(local) if local else ""
            stored.vxlan.CopyFrom(vpc_pb.VxlanTarget(vni=vni, port=port, remotes=hosts, local=own, mtu=mtu))
        case Interface(selector, value):
            setattr(stored.interface, selector.value, value)
        case _:
            assert_never(target)
