"""How what a gateway puts into the kernel is recognised: names, aliases, and the mark on another's device."""

from dataclasses import dataclass
from hashlib import sha256
from typing import Self
from uuid import UUID

OURS = "sidegate/"
ANNEX = "sidegate-annex-"
_ARP, _CLSACT = "+arp", "+clsact"


@dataclass(frozen=True, slots=True)
class Naming:
    """The names that one gateway gives."""

    gateway_id: str

    def device(self, vpc: str) -> str:
        return f"sg{self._digest(vpc).hex()[:12]}"

    def alias(self, vpc: str) -> str:
        return f"{OURS}{self.gateway_id}/{vpc}"

    def mac(self, vpc: str) -> str:
        """The same after the device is made anew, so that neighbours need not learn it again."""
        return "02:" + self._digest(vpc)[-5:].hex(":")

    def owns(self, alias: str) -> bool:
        return alias.startswith(self.alias(""))

    def annex(self, vpc: str) -> str:
        """The network namespace of a VPC's annex."""
        return f"{ANNEX}{self.gateway_id}-{vpc}"

    def owns_annex(self, namespace: str) -> bool:
        """Whether it is one of ours: what follows is a VPC's id, and no more of another gateway's."""
        vpc = namespace.removeprefix(self.annex(""))
        try:
            return namespace.startswith(self.annex("")) and str(UUID(vpc)) == vpc
        except ValueError:
            return False

    def _digest(self, vpc: str) -> bytes:
        return sha256(self.alias(vpc).encode()).digest()


@dataclass(frozen=True, slots=True)
class Mark:
    """The name of our filter on a device that is somebody else's: whose it is, and what is put back when it goes.

    The device's own alias is its owner's; a filter's name comes and goes with the filter, in one step.
    """

    gateway_id: str
    vpc: str
    arp: bool  # ARP was on
    clsact: bool  # there was no clsact before

    def __str__(self) -> str:
        return f"{OURS}{self.gateway_id}/{self.vpc}{_ARP * self.arp}{_CLSACT * self.clsact}"

    @classmethod
    def read(cls, name: str) -> Self | None:
        if not name.startswith(OURS):
            return None
        whose, *restored = name.removeprefix(OURS).split("+")
        gateway_id, _, vpc = whose.partition("/")
        return cls(gateway_id, vpc, _ARP[1:] in restored, _CLSACT[1:] in restored)
