"""What an attachment reaches <-> its form in the forwarding log."""

from ipaddress import IPv4Address
from typing import assert_never

from services.gateway_agent.targets import VXLAN_PORT, Annex, Interface, Netns, Selector, Target, Vxlan
from sidegate.api.events.v1 import forwarding_pb2
from sidegate.api.registry.v1 import vpc_pb2

DEFAULT_DEVICE = "sidegate0"


def target_of(told: forwarding_pb2.AttachmentForwarding) -> Target:
    """Raises ValueError where there is none, or one of a kind that is newer than this program."""
    if told.netns.namespace:
        return Netns(told.netns.namespace, told.netns.device or DEFAULT_DEVICE)
    if told.HasField("vxlan"):
        return _vxlan(told.vxlan)
    if selector := told.interface.WhichOneof("selector"):
        return Interface(Selector(selector), getattr(told.interface, selector))
    raise ValueError("it has no target")


def _vxlan(told: vpc_pb2.VxlanTarget) -> Vxlan:
    """Remotes in one order, so that tables can be compared."""
    return Vxlan(
        vni=told.vni,
        remotes=tuple(sorted(map(IPv4Address, told.remotes))),
        port=told.port or VXLAN_PORT,
        local=IPv4Address(told.local) if told.local else None,
        mtu=told.mtu,
    )


def attachment_to_proto(vpc: str, target: Target) -> forwarding_pb2.AttachmentForwarding:
    """Without a version."""
    match target:
        case Netns(namespace, device):
            netns = vpc_pb2.NetnsTarget(namespace=namespace, device=device)
            return forwarding_pb2.AttachmentForwarding(vpc_id=vpc, netns=netns)
        case Vxlan(vni, remotes, port, local, mtu):
            hosts, own = map(str, remotes), str(local) if local else ""
            vxlan = vpc_pb2.VxlanTarget(vni=vni, remotes=hosts, port=port, local=own, mtu=mtu)
            return forwarding_pb2.AttachmentForwarding(vpc_id=vpc, vxlan=vxlan)
        case Interface(selector, value):
            interface = vpc_pb2.InterfaceTarget()
            setattr(interface, selector.value, value)
            return forwarding_pb2.AttachmentForwarding(vpc_id=vpc, interface=interface)
        case Annex(of):
            return forwarding_pb2.AttachmentForwarding(vpc_id=vpc, annex=forwarding_pb2.AnnexTarget(vpc_id=of))
        case _:
            assert_never(target)
