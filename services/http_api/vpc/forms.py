"""Addresses and ranges as clients write them, in the one form that the registry has. Pure."""

from services.common.addressing import address_of, network_of


def is_ipv6(text: str) -> bool:
    """Of an address or range."""
    return ":" in text


def one_form(text: str) -> str:
    """IPv6 can be written in many; what is no address or range stays, since the registry says better what is wrong."""
    if not is_ipv6(text):
        return text
    try:
        return str(network_of(text) if "/" in text else address_of(text))
    except ValueError:
        return text


def first_host(cidr: str) -> str:
    """The gateway's address in the range; empty for what is no range."""
    try:
        return str(network_of(cidr).network_address + 1)
    except ValueError:
        return ""
