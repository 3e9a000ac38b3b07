"""Name servers as settings and callers name them: an address, and a port where it is not 53. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.common.addressing import Address, Network, address_of, network_of

PORT = 53
HIGHEST_PORT = 65_535


@dataclass(frozen=True, slots=True)
class NameServer:
    """One, such as 9.9.9.9, 192.0.2.1:5353 or [2620:fe::fe]:53."""

    address: Address
    port: int = PORT

    @classmethod
    def of(cls, text: str) -> "NameServer":
        """Raises ValueError."""
        host, port = _parts(text)
        return cls(address_of(host), port)

    def __str__(self) -> str:
        """With its port, in the one form."""
        return f"[{self.address}]:{self.port}" if self.address.version == 6 else f"{self.address}:{self.port}"

    @property
    def short(self) -> str:
        """For people: without the port where it is the usual one."""
        return str(self.address) if self.port == PORT else str(self)


@dataclass(frozen=True, slots=True)
class AllowedServers:
    """Which name servers may be asked: those of these ranges, each with its port. Without any, none."""

    ranges: tuple[tuple[Network, int], ...] = ()

    @classmethod
    def of(cls, text: str) -> "AllowedServers":
        """From "9.9.9.9, 192.0.2.0/24:5353, [fd00:53::/64]:53". Raises ValueError."""
        named = (_parts(each) for each in _listed(text))
        return cls(tuple((network_of(host), port) for host, port in named))

    def admits(self, server: NameServer) -> bool:
        return any(server.port == port and server.address in network for network, port in self.ranges)


NOBODY = AllowedServers()


def name_servers_of(text: str) -> tuple[NameServer, ...]:
    """Some, with commas between them. Raises ValueError."""
    return tuple(map(NameServer.of, _listed(text)))


def _listed(text: str) -> Sequence[str]:
    return [each.strip() for each in text.split(",") if each.strip()]


def _parts(text: str) -> tuple[str, int]:
    """Host, or range, and port."""
    host, separator, port = text, "", ""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        separator, port = rest[:1], rest[1:]
        if not bracket or separator not in ("", ":"):
            raise ValueError(f"{text!r} is no name server")
    elif text.count(":") == 1:
        host, separator, port = text.partition(":")
    if not separator:
        return host, PORT
    if not (port.isascii() and port.isdecimal() and 1 <= int(port) <= HIGHEST_PORT):
        raise ValueError(f"{text!r} has no port from 1 to {HIGHEST_PORT}")
    return host, int(port)
