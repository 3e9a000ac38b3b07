"""What the program chooses by hash: Bob Jenkins' lookup3 over three words, and what is made of it."""

from services.gateway_agent.dataplane.shares import SLOTS
from services.gateway_agent.table import Address
from tests.support.models.forwarding_packets import Tuple

GOLDEN_RATIO = 0x9E3779B9
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


def slot_of(client: Tuple) -> int:
    """The slot of a table of shares: every session for itself."""
    ports = _swap(client.source_port) << 16 | _swap(client.destination_port)
    about = hash3(ports, client.vpc, client.protocol)
    return scale(hash3(_hash_address(client.source), _hash_address(client.destination), about), SLOTS)


def slot_of_source(client: Tuple, endpoint: Address) -> int:
    """The same for all sessions of a client with an endpoint, whatever address of its routes they go to."""
    return scale(hash3(_hash_address(client.source), _hash_address(endpoint), client.vpc), SLOTS)


def scale(number: int, end: int) -> int:
    return number * end >> 32


def _hash_address(address: Address) -> int:
    """Addresses and ports count as they lie in memory: in network order, read by a little-endian machine."""
    words = [int.from_bytes(address.packed[at : at + 4], "little") for at in range(0, len(address.packed), 4)]
    return words[0] if address.version == 4 else hash3(hash3(*words[:3]), words[3], 0)


def _rotate(word: int, by: int) -> int:
    return (word << by | word >> (32 - by)) & _WORD


def _swap(port: int) -> int:
    return int.from_bytes(port.to_bytes(2, "big"), "little")
