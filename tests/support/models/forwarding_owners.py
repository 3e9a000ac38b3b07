"""Whose a source address at a provider is."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address

from services.gateway_agent.table import SOURCE_PREFIX_V6, Address

Source = tuple[int, IPv4Address]  # the provider's VPC, and the leased address


@dataclass(slots=True)
class Owners:
    """Who has taken a source last has it, and one that it has is not taken again. Of several the others have none."""

    owners: dict[Source, str] = field(default_factory=dict)
    owned: defaultdict[str, list[Source]] = field(default_factory=lambda: defaultdict(list))

    def own(self, endpoint: str, vpc: int, sources: Sequence[IPv4Address]) -> None:
        for key in [(vpc, source) for source in sources][len(self.owned[endpoint]) :]:
            self.owned[endpoint].append(key)
            self.owners[key] = endpoint

    def disown(self, endpoint: str) -> None:
        for key in self.owned.pop(endpoint, []):
            if self.owners.get(key) == endpoint:
                del self.owners[key]

    def find(self, vpc: int, address: Address) -> str | None:
        """An IPv6 source ends with the leased address."""
        if isinstance(address, IPv6Address):
            if address not in SOURCE_PREFIX_V6:
                return None
            address = IPv4Address(int(address) & 0xFFFFFFFF)
        return self.owners.get((vpc, address))
