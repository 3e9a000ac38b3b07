"""Which ranges and addresses a VPC may use."""

from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.errors import Invalid
from services.registry.domain.addresses import (
    SOURCE_RANGE,
    check_apart,
    check_assignable,
    contains,
    lowest_free,
    parse_address,
    parse_cidr,
    router,
)


@st.composite
def networks(draw: st.DrawFn, shortest: int = 8, longest: int = 28) -> IPv4Network:
    prefix = draw(st.integers(shortest, longest))
    return IPv4Network((draw(st.integers(0, 2**32 - 1)) & -(2 ** (32 - prefix)), prefix))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "MALFORMED_CIDR"),
        ("ten", "MALFORMED_CIDR"),
        ("10.0.0.0", "MALFORMED_CIDR"),
        ("10.0.0/24", "MALFORMED_CIDR"),
        ("10.0.0.0/255.255.0.0", "MALFORMED_CIDR"),
        ("10.0.0.0/0.0.255.255", "MALFORMED_CIDR"),
        ("010.0.0.0/16", "MALFORMED_CIDR"),
        ("10.0.0.0/016", "MALFORMED_CIDR"),
        ("10.0.0.0/33", "MALFORMED_CIDR"),
        ("10.0.0.0/-1", "MALFORMED_CIDR"),
        ("10.0.0.256/24", "MALFORMED_CIDR"),
        (" 10.0.0.0/16", "MALFORMED_CIDR"),
        ("10.0.0.0/16\n", "MALFORMED_CIDR"),
        ("\u0661\u0660.0.0.0/16", "MALFORMED_CIDR"),
        ("fd00::/64", "IPV6_NOT_SUPPORTED"),
        ("::ffff:10.0.0.0/120", "IPV6_NOT_SUPPORTED"),
        ("10.0.0.1/24", "HOST_BITS_SET"),
        ("10.0.0.0/7", "PREFIX_OUT_OF_RANGE"),
        ("10.0.0.0/29", "PREFIX_OUT_OF_RANGE"),
        ("0.0.0.0/0", "PREFIX_OUT_OF_RANGE"),
        ("198.19.128.0/17", "CIDR_RESERVED"),
        ("198.18.0.0/15", "CIDR_RESERVED"),
        ("198.19.200.0/28", "CIDR_RESERVED"),
        ("0.0.0.0/8", "CIDR_NOT_UNICAST"),
        ("127.0.0.0/8", "CIDR_NOT_UNICAST"),
        ("169.254.1.0/24", "CIDR_NOT_UNICAST"),
        ("224.0.0.0/8", "CIDR_NOT_UNICAST"),
        ("255.255.255.240/28", "CIDR_NOT_UNICAST"),
    ],
)
def test_a_range_that_cannot_be_used_is_refused_with_its_reason(text: str, reason: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse_cidr(text, "vpc.cidrs[0]")
    assert (refused.value.reason, refused.value.field) == (reason, "vpc.cidrs[0]")


@pytest.mark.parametrize(
    "text", ["10.0.0.0/8", "192.168.7.16/28", "198.19.0.0/17", "198.18.0.0/16", "223.255.255.0/24"]
)
def test_a_range_up_to_the_edges_is_taken(text: str) -> None:
    assert str(parse_cidr(text, "")) == text


@given(st.text(max_size=24))
def test_any_text_is_a_range_or_refused(text: str) -> None:
    try:
        assert str(parse_cidr(text, "subnet.cidr")) == text
    except Invalid as refused:
        assert refused.field == "subnet.cidr"


@given(networks())
def test_a_range_that_is_taken_is_unicast_and_apart_from_the_sources(network: IPv4Network) -> None:
    try:
        parsed = parse_cidr(str(network), "")
    except Invalid:
        # A multicast range may be global to Python, and still no machine can have an address of it.
        assert network.overlaps(SOURCE_RANGE) or network[0].is_multicast or not network[0].is_global
        return
    assert parsed == network
    assert not parsed.overlaps(SOURCE_RANGE)
    assert not (parsed[0].is_multicast or parsed[0].is_loopback or parsed[0].is_link_local)


@pytest.mark.parametrize("text", ["", "10.0.0", "10.0.0.256", "10.0.0.1/32", "010.0.0.1", "::1", "10.0.0.1 "])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse_address(text, "port.address")
    assert refused.value.field == "port.address"


@given(st.lists(networks(), max_size=8))
def test_ranges_are_apart_exactly_if_no_address_is_in_two(cidrs: list[IPv4Network]) -> None:
    apart = all(one[-1] < other[0] or other[-1] < one[0] for at, one in enumerate(cidrs) for other in cidrs[at + 1 :])
    try:
        check_apart(cidrs, "vpc.cidrs")
        assert apart
    except Invalid as refused:
        assert not apart
        assert refused.field.startswith("vpc.cidrs[")


def test_the_range_that_overlaps_an_earlier_one_is_named() -> None:
    with pytest.raises(Invalid) as refused:
        check_apart([IPv4Network(cidr) for cidr in ("10.0.0.0/24", "10.1.0.0/24", "10.0.0.128/25")], "vpc.cidrs")
    assert refused.value.field == "vpc.cidrs[2]"


def test_a_range_across_two_neighbours_is_inside_them() -> None:
    assert contains([IPv4Network("10.0.0.0/25"), IPv4Network("10.0.0.128/25")], IPv4Network("10.0.0.0/24"))
    assert not contains([IPv4Network("10.0.0.0/25")], IPv4Network("10.0.0.0/24"))


@given(networks(), networks())
def test_a_range_is_inside_another_exactly_if_all_its_addresses_are(whole: IPv4Network, part: IPv4Network) -> None:
    assert contains([whole], part) == (whole[0] <= part[0] and part[-1] <= whole[-1])


@pytest.mark.parametrize("address", ["10.0.0.0", "10.0.0.1", "10.0.0.15", "10.0.0.16", "9.255.255.255"])
def test_network_router_broadcast_and_foreign_addresses_are_not_given_out(address: str) -> None:
    with pytest.raises(Invalid) as refused:
        check_assignable(IPv4Address(address), IPv4Network("10.0.0.0/28"), "port.address")
    assert refused.value.field == "port.address"


@given(networks(shortest=24), st.sets(st.integers(0, 255)))
def test_the_lowest_free_address_can_be_assigned_and_none_below_it(subnet: IPv4Network, offsets: set[int]) -> None:
    taken = {subnet[offset] for offset in offsets if offset < subnet.num_addresses}
    found = lowest_free(subnet, taken)
    below = [address for address in list(subnet)[2:-1] if found is None or address < found]
    assert all(address in taken for address in below)
    if found is not None:
        check_assignable(found, subnet, "")
        assert found not in taken


def test_the_first_free_address_of_the_largest_subnet_is_found_at_once() -> None:
    assert lowest_free(IPv4Network("10.0.0.0/8"), ()) == IPv4Address("10.0.0.2")
    assert router(IPv4Network("10.0.0.0/8")) == IPv4Address("10.0.0.1")
