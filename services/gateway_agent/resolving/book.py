"""Which names the endpoints of each VPC have, and which of them are answered now. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from services.gateway_agent.table import Address


@dataclass(frozen=True, slots=True)
class Listing:
    """The names of an endpoint; the address is that of one that passes packets, and None until then."""

    vpc: str
    names: tuple[str, ...]
    address: Address | None


@dataclass(slots=True)
class Names:
    """Those of one VPC, in lower case without a dot at the end: by name the endpoints that have it."""

    listed: dict[str, dict[str, Address | None]] = field(default_factory=dict)
    changes: int = 0

    def addresses(self, name: str) -> Sequence[Address]:
        """What the name is answered with; none where nothing passes."""
        return [address for address in self.listed.get(name, {}).values() if address is not None]

    def has(self, name: str) -> bool:
        """Whether the name is an endpoint's here, answered or not."""
        return name in self.listed


class Book:
    """`settled` is whether all that should be forwarded was tried: before, what is not here may only be unheard of."""

    def __init__(self) -> None:
        self.settled = False
        self._listings: dict[str, Listing] = {}
        self._vpcs: dict[str, Names] = {}

    def names(self, vpc: str) -> Names:
        """Those of the VPC, now and later."""
        return self._vpcs.setdefault(vpc, Names())

    def forget(self, vpc: str) -> None:
        """The VPC has no resolver any more; what its endpoints are called is kept."""
        if (names := self._vpcs.get(vpc)) is not None and not names.listed:
            del self._vpcs[vpc]

    def of(self, endpoint: str) -> Listing | None:
        return self._listings.get(endpoint)

    def answered_of(self, endpoint: str) -> tuple[str, ...]:
        """Its names, while they are answered."""
        known = self._listings.get(endpoint)
        return () if known is None or known.address is None else known.names

    def answered(self) -> int:
        """How many names are answered now."""
        return sum(len(each.names) for each in self._listings.values() if each.address is not None)

    def put(self, endpoint: str, listing: Listing | None) -> None:
        """Says what an endpoint is called now; None is nothing."""
        before = self._listings.get(endpoint)
        if before == listing:
            return
        if before is not None:
            del self._listings[endpoint]
            self._unlist(endpoint, before)
        if listing is not None:
            self._listings[endpoint] = listing
            names = self.names(listing.vpc)
            names.changes += 1
            for name in listing.names:
                names.listed.setdefault(name, {})[endpoint] = listing.address

    def hush(self, endpoint: str) -> None:
        """Its names are not answered from now on."""
        if (known := self._listings.get(endpoint)) is not None:
            self.put(endpoint, Listing(known.vpc, known.names, None))

    def _unlist(self, endpoint: str, listing: Listing) -> None:
        names = self._vpcs[listing.vpc]
        names.changes += 1
        for name in listing.names:
            names.listed[name].pop(endpoint)
            if not names.listed[name]:
                del names.listed[name]
