"""Addresses and ranges have one form each, whatever they were written in."""

from ipaddress import IPv4Network, IPv6Address, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.addressing import (
    Address,
    Network,
    address_of,
    collapsed,
    family,
    is_one_family,
    network_of,
    networks_of,
)

plain = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6).filter(lambda address: int(address) >> 32 != 0xFFFF))


@given(plain)
def test_every_form_of_an_address_is_read_as_one_and_written_in_one(address: Address) -> None:
    forms = {str(address), address.exploded, address.compressed, str(address).upper(), address.exploded.upper()}
    assert {address_of(form) for form in forms} == {address}
    assert {str(address_of(form)) for form in forms} == {str(address)}
    assert network_of(str(address)).prefixlen == address.max_prefixlen


@given(st.integers(0, 2**32 - 1), st.integers(96, 128))
def test_ipv4_in_ipv6s_clothes_is_neither(number: int, prefix: int) -> None:
    """Python's versions differ in how they write one: it is written as what it is."""
    mapped = IPv6Address((0xFFFF << 32) | number)
    for text in (mapped.exploded, f"::ffff:{number >> 24}.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"):
        with pytest.raises(ValueError, match="is an IPv4 address"):
            address_of(text)
        with pytest.raises(ValueError, match="is an IPv4 address"):
            network_of(f"{text}/{prefix}", strict=False)


@pytest.mark.parametrize("text", ["fe80::1%eth0", "fe80::1%1", "::1%lo"])
def test_a_zone_means_nothing_elsewhere(text: str) -> None:
    with pytest.raises(ValueError, match="has a zone"):
        address_of(text)
    with pytest.raises(ValueError, match="has a zone"):
        network_of(f"{text}/128")


def test_ranges_are_taken_together_within_their_version() -> None:
    texts = ("fd00:0:0:1::/64", "10.0.1.0/24", "fd00::/64", "10.0.0.0/24", "fd00::7/128", "::/0")
    known = networks_of(texts[:-1])
    expected: tuple[Network, ...] = (IPv4Network("10.0.0.0/23"), IPv6Network("fd00::/63"))
    assert collapsed(known) == expected
    assert collapsed(networks_of(texts)) == (expected[0], IPv6Network("::/0"))
    assert collapsed(()) == ()


def test_a_family_is_one_version() -> None:
    four, six = networks_of(("10.0.0.0/24", "10.0.1.0/24")), networks_of(("fd00::/64",))
    assert is_one_family(four)
    assert is_one_family(six, [address_of("fd00::1")])
    assert is_one_family((), ())
    assert not is_one_family(four, six)
    assert [family(each.version) for each in (*four[:1], *six)] == ["IPv4", "IPv6"]
