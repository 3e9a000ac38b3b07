"""What a target of an attachment must be like, whatever is on the machine."""

import re
from ipaddress import IPv4Address
from typing import assert_never
from uuid import UUID

from services.gateway_agent.dataplane.port import DataplaneError
from services.gateway_agent.dataplane.records import MOST_REMOTES
from services.gateway_agent.targets import Annex, Interface, Netns, Selector, Target, Vxlan

MOST_VNIS = 1 << 24
SHORTEST_MTU, LONGEST_MTU = 576, 65485
_DEVICE = re.compile(r"[A-Za-z0-9_.-]{1,15}")
_NAMESPACE = re.compile(r"[A-Za-z0-9_.-]{1,127}")
_MAC = re.compile(r"([0-9a-f]{2}:){5}[0-9a-f]{2}")


def check_target(target: Target) -> None:
    """Raises DataplaneError."""
    match target:
        case Netns(namespace, device):
            _check_name(_NAMESPACE, "network namespace", namespace)
            _check_name(_DEVICE, "device", device)
        case Vxlan():
            _check_vxlan(target)
        case Interface(Selector.NAME, name):
            _check_name(_DEVICE, "device", name)
        case Interface(Selector.MAC, mac):
            if not _MAC.fullmatch(mac):
                raise DataplaneError(f"{mac!r} is not a MAC address in lower case with colons")
        case Interface(_, address):
            _check_address(address)
        case Annex(vpc):
            _check_uuid(vpc)
        case _:
            assert_never(target)


def _check_vxlan(target: Vxlan) -> None:
    if not 0 < target.vni < MOST_VNIS:
        raise DataplaneError(f"VNI {target.vni} is outside 1 to {MOST_VNIS - 1}")
    if not 0 < target.port < 1 << 16:
        raise DataplaneError(f"VXLAN port {target.port} is outside 1 to 65535")
    if not 0 < len(target.remotes) <= MOST_REMOTES or len(set(target.remotes)) != len(target.remotes):
        raise DataplaneError(f"VXLAN {target.vni} needs 1 to {MOST_REMOTES} remote hosts, each once")
    if target.mtu and not SHORTEST_MTU <= target.mtu <= LONGEST_MTU:
        raise DataplaneError(f"MTU {target.mtu} is outside {SHORTEST_MTU} to {LONGEST_MTU}")


def _check_address(text: str) -> None:
    try:
        if str(IPv4Address(text)) == text:
            return
    except ValueError:
        pass
    raise DataplaneError(f"{text!r} is not an IPv4 address")


def _check_uuid(text: str) -> None:
    try:
        if str(UUID(text)) == text:
            return
    except ValueError:
        pass
    raise DataplaneError(f"{text!r} is not a UUID in lower case with hyphens")


def _check_name(pattern: re.Pattern[str], what: str, name: str) -> None:
    if not pattern.fullmatch(name) or name in {".", ".."}:
        raise DataplaneError(f"{name!r} is not a name for a {what} ({pattern.pattern})")
