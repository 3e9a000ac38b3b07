"""Name servers as they are written: read in any form, written in one, and allowed by range and port."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.name_servers import AllowedServers, NameServer, name_servers_of


@pytest.mark.parametrize(
    ("text", "whole", "short"),
    [
        ("9.9.9.9", "9.9.9.9:53", "9.9.9.9"),
        ("9.9.9.9:53", "9.9.9.9:53", "9.9.9.9"),
        ("192.0.2.1:5353", "192.0.2.1:5353", "192.0.2.1:5353"),
        ("2620:FE::FE", "[2620:fe::fe]:53", "2620:fe::fe"),
        ("[2620:fe::fe]", "[2620:fe::fe]:53", "2620:fe::fe"),
        ("[2620:fe::fe]:5353", "[2620:fe::fe]:5353", "[2620:fe::fe]:5353"),
    ],
)
def test_a_name_server_has_one_form(text: str, whole: str, short: str) -> None:
    assert (str(NameServer.of(text)), NameServer.of(text).short) == (whole, short)


@given(st.ip_addresses(), st.integers(1, 65_535))
def test_what_is_written_is_read(address: IPv4Address | IPv6Address, port: int) -> None:
    if address.version == 6 and IPv6Address(int(address)).ipv4_mapped:
        return
    server = NameServer(address, port)
    assert NameServer.of(str(server)) == NameServer.of(server.short) == server


@given(st.text(max_size=40))
def test_what_is_no_name_server_is_a_value_error(text: str) -> None:
    try:
        NameServer.of(text)
    except ValueError:
        return
    assert NameServer.of(str(NameServer.of(text))) == NameServer.of(text)


def test_what_is_not_named_is_not_allowed() -> None:
    allowed = AllowedServers.of(" 9.9.9.9, 192.0.2.0/24:5353,[fd00:53::/64]:53 ,")
    asked = ("9.9.9.9", "9.9.9.9:5353", "192.0.2.7:5353", "192.0.2.7", "fd00:53::1", "fd00:54::1", "10.0.0.1")
    assert [allowed.admits(NameServer.of(each)) for each in asked] == [True, False, True, False, True, False, False]
    assert not AllowedServers.of("").admits(NameServer.of("9.9.9.9"))
    assert list(map(str, name_servers_of("9.9.9.9,::1"))) == ["9.9.9.9:53", "[::1]:53"]


@pytest.mark.parametrize("text", ["any", "9.9.9.9/33", "10.0.0.1/24", "9.9.9.9:0", "9.9.9.9;8.8.8.8", "[::1"])
def test_an_operator_who_mistypes_is_told(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        AllowedServers.of(text)
