"""Who may connect to an endpoint: ranges of its address's IP version, and nobody as gateways are told of him."""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network

from services.common.addressing import Address, Network, family
from services.common.errors import Invalid

NOBODY: tuple[Network, ...] = (IPv4Network("255.255.255.255/32"),)
NOBODY_V6: tuple[Network, ...] = (IPv6Network("ff02::1/128"),)
"""Whitelists for gateways that let nobody in: an address that is nobody's source."""

FIELD = "endpoint.allowed_cidrs"


def nobody(address: Address) -> tuple[Network, ...]:
    """The whitelist of an endpoint with this address that lets nobody in."""
    return NOBODY if address.version == NOBODY[0].version else NOBODY_V6


def check_family(allowed: Sequence[Network], address: Address) -> None:
    """Refuses ranges that no client of the endpoint can be in."""
    for number, network in enumerate(allowed):
        if network.version != address.version:
            text = f"{network} is {family(network.version)} and the endpoint's address {address} is not"
            way_out = f"give ranges of {family(address.version)} alone"
            raise Invalid("CIDR_IP_VERSION", f"{text}: {way_out}", field=f"{FIELD}[{number}]")
