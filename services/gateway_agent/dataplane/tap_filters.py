"""Which frames are of some addresses, as a filter of classic BPF: Ethernet, then ARP, IPv4 or IPv6. Pure."""

from collections.abc import Sequence

from services.gateway_agent.dataplane.listening import JUMP_EQUAL, LD_HALF, LD_WORD, RETURN, Instruction
from services.gateway_agent.table import Address

ETHERTYPE_AT = 12
ARP, IPV4, IPV6 = 0x0806, 0x0800, 0x86DD
ARP_SENDER, ARP_TARGET = 28, 38
SOURCE, DESTINATION = 26, 30
SOURCE_V6, DESTINATION_V6 = 22, 38
WORD_BYTES = 4
MOST_ADDRESSES = 128
"""A program has 4,096 instructions at most, an address takes up to 22 of them; an endpoint has 64 sources at most."""

Loading = tuple[int, int]  # where a word is, and what it must be


def frames_of(addresses: Sequence[Address], snap: int) -> Sequence[Instruction]:
    """Lets `snap` bytes of each frame through that is from or to one of the addresses, or ARP about one."""
    matches: list[tuple[int, Sequence[Loading]]] = []
    for address in addresses[:MOST_ADDRESSES]:
        if address.version == 4:
            places = [(ARP, ARP_SENDER), (ARP, ARP_TARGET), (IPV4, SOURCE), (IPV4, DESTINATION)]
        else:
            places = [(IPV6, SOURCE_V6), (IPV6, DESTINATION_V6)]
        matches += [(ethertype, _words(at, address.packed)) for ethertype, at in places]
    program: list[Instruction] = []
    for ethertype, words in matches:
        program += _either(ethertype, words, snap)
    return [*program, (RETURN, 0, 0, 0)]


def words_of(addresses: Sequence[Address]) -> str:
    """The same in the words of tcpdump."""
    return " or ".join(f"host {address}" for address in addresses)


def _words(at: int, packed: bytes) -> Sequence[Loading]:
    return [
        (at + place, int.from_bytes(packed[place : place + WORD_BYTES], "big"))
        for place in range(0, len(packed), WORD_BYTES)
    ]


def _either(ethertype: int, words: Sequence[Loading], snap: int) -> list[Instruction]:
    """Ends with `snap` if all are so; else goes on behind."""
    tests = [(LD_HALF, ETHERTYPE_AT, ethertype), *((LD_WORD, at, value) for at, value in words)]
    program: list[Instruction] = []
    for number, (load, at, value) in enumerate(tests):
        left = 2 * (len(tests) - number - 1) + 1  # what is skipped where it is not so, the return included
        program += [(load, 0, 0, at), (JUMP_EQUAL, 0, left, value)]
    return [*program, (RETURN, 0, 0, snap)]
