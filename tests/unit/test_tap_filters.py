"""Which frames a capture's filter lets through: run here instruction by instruction, as the kernel does."""

from collections.abc import Sequence
from ipaddress import ip_address, ip_network

import pytest

from services.gateway_agent.dataplane.arp import ArpFrame
from services.gateway_agent.dataplane.crafted import first_frame
from services.gateway_agent.dataplane.listening import AND, JUMP_EQUAL, LD_HALF, LD_WORD, RETURN, Instruction
from services.gateway_agent.dataplane.tap_filters import MOST_RANGES, frames_of, words_of
from services.gateway_agent.packet_trace import Opening

SNAP = 96
OURS, OTHER, CLIENT = "10.0.0.100", "10.0.0.101", "10.0.0.5"
OURS6, OTHER6, CLIENT6 = "fd00::100", "fd00:0:0:1::100", "fd00::5"
NOBODY = bytes(6)
MOST_INSTRUCTIONS = 4096  # BPF_MAXINSNS


def run(program: Sequence[Instruction], frame: bytes) -> int:
    """What it returns: how many bytes are let through."""
    value, place = 0, 0
    while True:
        code, yes, no, operand = program[place]
        place += 1
        match code:
            case _ if code == RETURN:
                return operand
            case _ if code == AND:
                value &= operand
            case _ if code == JUMP_EQUAL:
                place += yes if value == operand else no
            case _:
                size = {LD_HALF: 2, LD_WORD: 4}[code]
                if operand + size > len(frame):
                    return 0  # as the kernel does with a frame that ends before
                value = int.from_bytes(frame[operand : operand + size], "big")


def frame(source: str, target: str) -> bytes:
    opening = Opening(ip_address(source), 40000, 80)
    return first_frame(opening, ip_address(target), sender=NOBODY, receiver=NOBODY)


def arp(sender: str, target: str) -> bytes:
    addresses = [ip_address(each) for each in (sender, target)]
    return ArpFrame(1, NOBODY, addresses[0], NOBODY, addresses[1]).pack(NOBODY)  # type: ignore[arg-type]


FRAMES = {
    "to it": (frame(CLIENT, OURS), True),
    "from it": (frame(OURS, CLIENT), True),
    "of another": (frame(CLIENT, OTHER), False),
    "who has it": (arp(CLIENT, OURS), True),
    "it says where it is": (arp(OURS, CLIENT), True),
    "who has another": (arp(CLIENT, OTHER), False),
    "IPv6 to it": (frame(CLIENT6, OURS6), True),
    "IPv6 from it": (frame(OURS6, CLIENT6), True),
    "IPv6 that differs in the middle": (frame(CLIENT6, OTHER6), False),
    "an IPv4 address in other bytes": (frame(CLIENT6, "fd00::a00:64"), False),
    "cut short": (frame(CLIENT, OURS)[:28], False),
    "nothing": (b"", False),
}


@pytest.mark.parametrize(("data", "passes"), FRAMES.values(), ids=FRAMES)
def test_frames_of_the_addresses_pass_and_no_others(data: bytes, passes: bool) -> None:
    program = frames_of([ip_network(OURS), ip_network(OURS6)], SNAP)
    assert run(program, data) == (SNAP if passes else 0)


def test_without_addresses_nothing_passes() -> None:
    assert run(frames_of([], SNAP), frame(CLIENT, OURS)) == 0


@pytest.mark.parametrize("first", ["198.19.128.1", "fd73:6964:6567:6174::c613:8001"])
def test_as_many_sources_as_an_endpoint_may_have_fit_and_the_last_passes(first: str) -> None:
    sources = [ip_address(first) + number for number in range(64)]
    program = frames_of([*map(ip_network, sources)], SNAP)
    assert len(program) <= MOST_INSTRUCTIONS
    client = CLIENT if sources[0].version == 4 else CLIENT6
    assert run(program, frame(client, str(sources[-1]))) == SNAP
    assert (
        len(frames_of([ip_network(sources[0] + number) for number in range(2 * MOST_RANGES)], SNAP))
        <= MOST_INSTRUCTIONS
    )


def test_the_same_in_words() -> None:
    assert words_of([ip_network(OURS), ip_network(OURS6)]) == f"host {OURS} or host {OURS6}"
    assert words_of([ip_network("100.125.0.0/16"), ip_network(OURS6)]) == f"net 100.125.0.0/16 or host {OURS6}"


@pytest.mark.parametrize("prefix", ["100.125.8.0/21", "100.125.8.0/32", "2001:db8:8::/45", "2001:db8::/32", "fd00::/8"])
def test_all_addresses_of_a_range_pass_and_none_beside_it(prefix: str) -> None:
    network = ip_network(prefix)
    program = frames_of([network], SNAP)
    client = CLIENT if network.version == 4 else "2002::5"
    for address in (network[0], network[-1], network[network.num_addresses // 2]):
        assert run(program, frame(client, str(address))) == SNAP
        assert run(program, frame(str(address), client)) == SNAP
    for address in (network[0] - 1, network[-1] + 1):
        assert run(program, frame(client, str(address))) == 0
    if network.version == 4:
        assert run(program, arp(client, str(network[-1]))) == SNAP
    longest = [ip_network((int(network[0]) + number, network.max_prefixlen - 1), strict=False) for number in range(500)]
    assert len(frames_of(longest, SNAP)) <= MOST_INSTRUCTIONS
