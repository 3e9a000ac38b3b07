"""The names of an endpoint in its VPC's DNS, and that one endpoint of a VPC answers to a private name."""

from services.common.eventsourcing.store import Claim

DNS_NAME = "dns-name"
"""The kind of claim to a private name in a VPC."""


def zone_of(region: str) -> str:
    """In which only endpoints of the region have names."""
    return f"{region}.sidegate.internal"


def names_of(endpoint: str, zone: str, private_name: str) -> tuple[str, ...]:
    """Its own name first, then its service's, where that has one."""
    return tuple(filter(None, (f"{endpoint}.{zone}", private_name)))


def claims(vpc: str, names: tuple[str, ...]) -> tuple[Claim, ...]:
    """To all names but its own, which is nobody else's."""
    return tuple(Claim(DNS_NAME, f"{vpc}/{name}") for name in names[1:])


def name_of(claim: Claim) -> str:
    return claim.key.partition("/")[2]
