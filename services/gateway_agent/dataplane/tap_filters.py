"""Which frames are of some ranges of addresses, as a filter of classic BPF: Ethernet, then ARP, IPv4 or IPv6. Pure."""

from collections.abc import Sequence

from services.gateway_agent.dataplane.listening import AND, JUMP_EQUAL, LD_HALF, LD_WORD, RETURN, Instruction
from services.gateway_agent.table import Network

ETHERTYPE_AT = 12
ARP, IPV4, IPV6 = 0x0806, 0x0800, 0x86DD
ARP_SENDER, ARP_TARGET = 28, 38
SOURCE, DESTINATION = 26, 30
SOURCE_V6, DESTINATION_V6 = 22, 38
WORD_BYTES = 4
WHOLE_WORD = 0xFFFFFFFF
MOST_RANGES = 128
"""A program has 4,096 instructions at most, a range takes up to 24 of them; an endpoint has 64 sources at most."""

Loading = tuple[int, int, int]  # where a word is, which bits of it count, and what they must be


def frames_of(ranges: Sequence[Network], snap: int) -> Sequence[Instruction]:
    """Lets `snap` bytes of each frame through that is from or to an address of one of the ranges, or ARP about one."""
    matches: list[tuple[int, Sequence[Loading]]] = []
    for each in ranges[:MOST_RANGES]:
        if each.version == 4:
            places = [(ARP, ARP_SENDER), (ARP, ARP_TARGET), (IPV4, SOURCE), (IPV4, DESTINATION)]
        else:
            places = [(IPV6, SOURCE_V6), (IPV6, DESTINATION_V6)]
        matches += [(ethertype, _words(at, each)) for ethertype, at in places]
    program: list[Instruction] = []
    for ethertype, words in matches:
        program += _either(ethertype, words, snap)
    return [*program, (RETURN, 0, 0, 0)]


def words_of(ranges: Sequence[Network]) -> str:
    """The same in the words of tcpdump."""
    return " or ".join(
        f"host {each.network_address}" if each.prefixlen == each.max_prefixlen else f"net {each}" for each in ranges
    )


def _words(at: int, network: Network) -> Sequence[Loading]:
    """Words of which no bit counts are left out."""
    address, mask = network.network_address.packed, network.netmask.packed
    words = ((at + place, _word(mask, place), _word(address, place)) for place in range(0, len(mask), WORD_BYTES))
    return [word for word in words if word[1]]


def _word(packed: bytes, place: int) -> int:
    return int.from_bytes(packed[place : place + WORD_BYTES], "big")


def _either(ethertype: int, words: Sequence[Loading], snap: int) -> list[Instruction]:
    """Ends with `snap` if all are so; else goes on behind."""
    tests: list[tuple[list[Instruction], int]] = [([(LD_HALF, 0, 0, ETHERTYPE_AT)], ethertype)]
    for at, mask, value in words:
        masking: list[Instruction] = [] if mask == WHOLE_WORD else [(AND, 0, 0, mask)]
        tests.append(([(LD_WORD, 0, 0, at), *masking], value))
    program: list[Instruction] = [(RETURN, 0, 0, snap)]
    for loading, value in reversed(tests):  # what is skipped where it is not so, is all that follows
        program = [*loading, (JUMP_EQUAL, 0, len(program), value), *program]
    return program
