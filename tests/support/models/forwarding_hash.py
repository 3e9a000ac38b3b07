"""What the program chooses by hash: Bob Jenkins' lookup3 over three words, and what is made of it."""

from collections.abc import Iterator

from services.gateway_agent.dataplane.shares import SLOTS
from tests.support.models.forwarding_packets import Tuple

GOLDEN_RATIO = 0x9E3779B9
FIRST_SOURCE_PORT, SOURCE_PORTS, CANDIDATES = 1024, 64512, 8
_WORD = 0xFFFFFFFF


def hash3(a: int, b: int, c: int) -> int:
    """The finish of lookup3 (burtleburtle.net/bob/c/lookup3.c, `final`), as Linux's jhash_3words seeds it."""
    a, b, c = ((each + GOLDEN_RATIO) & _WORD for each in (a, b, c))
    c = ((c ^ b) - _rotate(b, 14)) & _WORD
    a = ((a ^ c) - _rotate(c, 11)) & _WORD
    b = ((b ^ a) - _rotate(a, 25)) & _WORD
    c = ((c ^ b) - _rotate(b, 16)) & _WORD
    a = ((a ^ c) - _rotate(c, 4)) & _WORD
    b = ((b ^ a) - _rotate(a, 14)) & _WORD
    return ((c ^ b) - _rotate(b, 24)) & _WORD


def hash_of(client: Tuple) -> int:
    """Addresses and ports count as they lie in memory: in network order, read by a little-endian machine."""
    ports = _swap(client.source_port) << 16 | _swap(client.destination_port)
    source, destination = (int.from_bytes(each.packed, "little") for each in (client.source, client.destination))
    return hash3(source, destination, hash3(ports, client.vpc, client.protocol))


def slot_of(client: Tuple) -> int:
    """The slot of a table of shares."""
    return scale(hash_of(client), SLOTS)


def source_ports(client: Tuple) -> Iterator[int]:
    """The ports that are tried for a session, the first free one wins."""
    start = hash_of(client)
    return (FIRST_SOURCE_PORT + scale(hash3(start, candidate, 0), SOURCE_PORTS) for candidate in range(CANDIDATES))


def scale(number: int, end: int) -> int:
    return number * end >> 32


def _rotate(word: int, by: int) -> int:
    return (word << by | word >> (32 - by)) & _WORD


def _swap(port: int) -> int:
    return int.from_bytes(port.to_bytes(2, "big"), "little")
