"""Which ranges and addresses a VPC may use."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.common.addressing import Address, Network, address_of, network_of
from services.common.errors import Invalid
from services.registry.domain.addresses import (
    SOURCE_RANGE,
    SOURCE_RANGE_V6,
    check_apart,
    check_assignable,
    contains,
    free_address,
    parse_address,
    parse_cidr,
    router,
)


@st.composite
def networks(draw: st.DrawFn, shortest: int = 8, longest: int = 28) -> IPv4Network:
    prefix = draw(st.integers(shortest, longest))
    return IPv4Network((draw(st.integers(0, 2**32 - 1)) & -(2 ** (32 - prefix)), prefix))


@st.composite
def networks_v6(draw: st.DrawFn, shortest: int = 16, longest: int = 124) -> IPv6Network:
    prefix = draw(st.integers(shortest, longest))
    high = draw(st.one_of(st.integers(0, 2**16 - 1), st.just(0xFD73), st.just(0xFE80))) << 112
    return IPv6Network(((high | draw(st.integers(0, 2**112 - 1))) & -(2 ** (128 - prefix)), prefix))


either = st.one_of(networks(), networks_v6())


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
        ("fd00::", "MALFORMED_CIDR"),
        ("fd00::/", "MALFORMED_CIDR"),
        ("fd00::/064", "MALFORMED_CIDR"),
        ("fd00::/129", "MALFORMED_CIDR"),
        ("fd00::/ffff::", "MALFORMED_CIDR"),
        ("fd00:::/64", "MALFORMED_CIDR"),
        ("fd00::%eth0/64", "MALFORMED_CIDR"),
        (" fd00::/64", "MALFORMED_CIDR"),
        ("fd00::/64\n", "MALFORMED_CIDR"),
        ("fd00::g/64", "MALFORMED_CIDR"),
        ("::ffff:10.0.0.0/120", "MALFORMED_CIDR"),
        ("::ffff:10.0.0.0/80", "MALFORMED_CIDR"),
        ("fd00:10::1/64", "HOST_BITS_SET"),
        ("2000::/15", "PREFIX_OUT_OF_RANGE"),
        ("::/0", "PREFIX_OUT_OF_RANGE"),
        ("fd00::/125", "PREFIX_OUT_OF_RANGE"),
        ("fd73:6964:6567:6174::/96", "CIDR_RESERVED"),
        ("fd73:6964:6567:6174::/64", "CIDR_RESERVED"),
        ("fd73::/16", "CIDR_RESERVED"),
        ("fd73:6964:6567:6175::/112", "CIDR_RESERVED"),
        ("fd73:6964:6567:6174::c613:8000/124", "CIDR_RESERVED"),
        ("::/96", "CIDR_NOT_UNICAST"),
        ("64:ff9b::/96", "CIDR_NOT_UNICAST"),
        ("fe80::/64", "CIDR_NOT_UNICAST"),
        ("fec0::/64", "CIDR_NOT_UNICAST"),
        ("ff02::/64", "CIDR_NOT_UNICAST"),
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


@pytest.mark.parametrize(
    ("text", "range_"),
    [
        ("fd00:10::/64", "fd00:10::/64"),
        ("FD00:0010:0000::/64", "fd00:10::/64"),
        ("2001:db8::/16", None),
        ("2001::/16", "2001::/16"),
        ("fd00::fff0/124", "fd00::fff0/124"),
        ("fd73:6964:6567:6174:0:1::/96", "fd73:6964:6567:6174:0:1::/96"),
        ("fd00:0:0:0:0:0:192.0.2.0/120", "fd00::c000:200/120"),
    ],
)
def test_a_range_of_ipv6_is_taken_in_any_form_and_has_one(text: str, range_: str | None) -> None:
    if range_ is None:
        with pytest.raises(Invalid, match="host bits"):
            parse_cidr(text, "")
    else:
        assert str(parse_cidr(text, "")) == range_


pieces = ("::", ":", "fd00", "0", "ffff", "::ffff:", "1.2.3.4", "10.0.0.0", "255", ".", "%", "/", "64", "128", "a", " ")
texts = st.one_of(st.text(max_size=24), st.lists(st.sampled_from(pieces), max_size=7).map("".join))


@settings(deadline=None)
@given(texts)
def test_any_text_is_a_range_or_refused(text: str) -> None:
    try:
        parsed = parse_cidr(text, "subnet.cidr")
    except Invalid as refused:
        assert refused.field == "subnet.cidr"
        return
    assert parsed == parse_cidr(str(parsed), "") == network_of(text)
    assert parsed.version == 6 or str(parsed) == text


@settings(deadline=None)
@given(texts)
def test_any_text_is_an_address_or_refused(text: str) -> None:
    try:
        parsed = parse_address(text, "port.address")
    except Invalid as refused:
        assert refused.field == "port.address"
        return
    assert parsed == parse_address(str(parsed), "") == address_of(text)


@given(either)
def test_a_range_that_is_taken_is_unicast_and_apart_from_the_sources(network: Network) -> None:
    sources = (SOURCE_RANGE, SOURCE_RANGE_V6)
    try:
        parsed = parse_cidr(str(network), "")
    except Invalid:
        # A multicast range may be global to Python, and still no machine can have an address of it.
        no_unicast = network[0].is_multicast or not network[0].is_global
        assert (
            any(network.overlaps(source) for source in sources) or no_unicast or network.overlaps(IPv6Network("::/8"))
        )
        return
    assert parsed == network
    assert not any(parsed.overlaps(source) for source in sources)
    for address in (parsed[0], parsed[-1]):
        assert not (address.is_multicast or address.is_loopback or address.is_link_local or address.is_unspecified)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "10.0.0",
        "10.0.0.256",
        "10.0.0.1/32",
        "010.0.0.1",
        "10.0.0.1 ",
        "fd00:::1",
        "fe80::1%eth0",
        "::ffff:10.0.0.1",
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse_address(text, "port.address")
    assert refused.value.field == "port.address"


@given(st.lists(either, max_size=8))
def test_ranges_are_apart_exactly_if_no_address_is_in_two(cidrs: list[Network]) -> None:
    spans = [(each.version, int(each[0]), int(each[-1])) for each in cidrs]
    apart = all(
        one[0] != other[0] or one[2] < other[1] or other[2] < one[1]
        for at, one in enumerate(spans)
        for other in spans[at + 1 :]
    )
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
    mixed: list[Network] = [IPv6Network("fd00::/65"), IPv4Network("10.0.0.0/24"), IPv6Network("fd00:0:0:0:8000::/65")]
    assert contains(mixed, IPv6Network("fd00::/64"))
    assert contains(mixed, IPv4Network("10.0.0.128/25"))
    assert not contains(mixed[:2], IPv6Network("fd00::/64"))


@given(either, either)
def test_a_range_is_inside_another_exactly_if_all_its_addresses_are(whole: Network, part: Network) -> None:
    inside = whole.version == part.version and int(whole[0]) <= int(part[0]) and int(part[-1]) <= int(whole[-1])
    assert contains([whole], part) == inside


@pytest.mark.parametrize(
    ("address", "subnet", "reason"),
    [
        ("10.0.0.0", "10.0.0.0/28", "ADDRESS_RESERVED"),
        ("10.0.0.1", "10.0.0.0/28", "ADDRESS_RESERVED"),
        ("10.0.0.15", "10.0.0.0/28", "ADDRESS_RESERVED"),
        ("10.0.0.16", "10.0.0.0/28", "ADDRESS_OUTSIDE_SUBNET"),
        ("9.255.255.255", "10.0.0.0/28", "ADDRESS_OUTSIDE_SUBNET"),
        ("fd00::", "fd00::/64", "ADDRESS_RESERVED"),
        ("fd00::1", "fd00::/64", "ADDRESS_RESERVED"),
        ("fd00:0:0:1::2", "fd00::/64", "ADDRESS_OUTSIDE_SUBNET"),
        ("10.0.0.2", "fd00::/64", "ADDRESS_OUTSIDE_SUBNET"),
        ("fd00::2", "10.0.0.0/28", "ADDRESS_OUTSIDE_SUBNET"),
    ],
)
def test_network_router_broadcast_and_foreign_addresses_are_not_given_out(
    address: str, subnet: str, reason: str
) -> None:
    with pytest.raises(Invalid) as refused:
        check_assignable(address_of(address), network_of(subnet), "port.address")
    assert (refused.value.reason, refused.value.field) == (reason, "port.address")


@pytest.mark.parametrize("address", ["fd00::2", "fd00::f", "fd00::ffff:ffff:ffff:ffff"])
def test_an_ipv6_subnet_has_no_broadcast_address(address: str) -> None:
    check_assignable(address_of(address), IPv6Network("fd00::/64"), "")


@given(networks(shortest=24), st.sets(st.integers(0, 255)))
def test_the_lowest_free_address_can_be_assigned_and_none_below_it(subnet: IPv4Network, offsets: set[int]) -> None:
    taken: set[Address] = {subnet[offset] for offset in offsets if offset < subnet.num_addresses}
    found = free_address(subnet, taken, "seed")
    below = [address for address in list(subnet)[2:-1] if found is None or int(address) < int(found)]
    assert all(address in taken for address in below)
    if found is not None:
        check_assignable(found, subnet, "")
        assert found not in taken


@given(networks_v6(), st.text(max_size=8), st.integers(0, 40))
def test_a_free_ipv6_address_is_found_in_as_many_steps_as_there_are_taken_from_any_seed(
    subnet: IPv6Network, seed: str, count: int
) -> None:
    """However large the subnet is; and in a small one there is a free address until none is left."""
    taken: set[Address] = set()
    for _ in range(count):
        found = free_address(subnet, taken, seed)
        if found is None:
            assert len(taken) == subnet.num_addresses - 2
            break
        check_assignable(found, subnet, "")
        assert found not in taken
        taken.add(found)


@given(networks_v6(longest=64), st.sets(st.uuids(), min_size=2, max_size=20))
def test_different_ports_draw_different_addresses_of_a_large_subnet(subnet: IPv6Network, ports: set[object]) -> None:
    drawn = {free_address(subnet, (), str(port)) for port in ports}
    assert len(drawn) == len(ports)
    assert drawn == {free_address(subnet, (), str(port)) for port in ports}, "the same port draws the same again"


def test_what_is_drawn_is_spread_over_the_whole_subnet() -> None:
    subnet = IPv6Network("fd00::/64")
    drawn = [free_address(subnet, (), str(number)) for number in range(400)]
    quarters = [int(address) - int(subnet[0]) >> 62 for address in drawn if address is not None]
    assert all(70 <= quarters.count(quarter) <= 130 for quarter in range(4))


def test_every_address_of_a_small_ipv6_subnet_is_given_out_once() -> None:
    subnet = IPv6Network("fd00::/124")
    taken: set[Address] = set()
    for number in range(14):
        found = free_address(subnet, taken, str(number))
        assert found is not None
        taken.add(found)
    assert taken == set(islice(subnet, 2, None))
    assert free_address(subnet, taken, "another") is None


def test_the_first_free_address_of_the_largest_subnet_is_found_at_once() -> None:
    assert free_address(IPv4Network("10.0.0.0/8"), (), "") == IPv4Address("10.0.0.2")
    assert router(IPv4Network("10.0.0.0/8")) == IPv4Address("10.0.0.1")
    assert router(IPv6Network("fd00::/16")) == IPv6Address("fd00::1")
