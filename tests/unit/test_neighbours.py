"""Whom to ask by ARP and when to give a host up, with a clock that the test turns."""

from ipaddress import IPv4Address, IPv6Address
from struct import pack

from services.gateway_agent.dataplane.arp import ArpFrame, announcement, probe
from services.gateway_agent.dataplane.links import changed_links
from services.gateway_agent.dataplane.neighbours import Host, Neighbours

FIRST, SECOND = IPv4Address("10.0.0.1"), IPv4Address("10.0.0.2")
A, B = Host(1, FIRST), Host(1, SECOND)
LIKE_A = Host(2, A.address)
MAC, OTHER_MAC = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")


def probes_between(neighbours: Neighbours, start: float, end: float) -> list[tuple[float, Host]]:
    asked = []
    while (now := neighbours.next_look) is not None and now < end:
        asked += [(round(now - start, 3), host) for host in neighbours.due(now).probes]
    return asked


def test_a_new_host_is_asked_at_once_then_soon_then_every_second() -> None:
    neighbours = Neighbours()
    neighbours.watch("web", [A], now=0)
    assert [when for when, _ in probes_between(neighbours, 0, 3.5)] == [0, 0.05, 0.3, 1.3, 2.3, 3.3]


def test_hosts_of_both_families_may_be_asked_at_one_moment() -> None:
    neighbours, six = Neighbours(), Host(1, IPv6Address("fd00::1"))
    neighbours.watch("web", [A, B], now=0)
    neighbours.watch("web6", [six], now=0)
    assert neighbours.due(0).probes == [A, B, six]
    neighbours.look_at(1, now=1)
    assert set(neighbours.due(1).probes) == {A, B, six}


def test_a_host_that_answers_is_asked_again_after_ten_seconds() -> None:
    neighbours = Neighbours()
    neighbours.watch("web", [A], now=0)
    neighbours.due(0)
    assert neighbours.heard(A, MAC, now=0.001) == {"web"}
    assert neighbours.mac(A) == MAC
    assert neighbours.heard(A, MAC, now=0.002) == frozenset()
    assert probes_between(neighbours, 0, 10) == []
    assert [round(when) for when, _ in probes_between(neighbours, 0, 10.5)] == [10]


def test_a_host_is_given_up_after_three_probes_without_an_answer() -> None:
    neighbours = Neighbours()
    neighbours.watch("web", [A], now=0)
    neighbours.heard(A, MAC, now=0)
    lost = {now: neighbours.due(now).lost for now in (0.0, 10.0, 11.0, 12.0, 13.0)}
    assert lost == {0.0: set(), 10.0: set(), 11.0: set(), 12.0: set(), 13.0: {"web"}}
    assert neighbours.mac(A) is None
    assert neighbours.heard(A, MAC, now=20) == {"web"}


def test_an_answer_in_between_starts_the_count_anew() -> None:
    neighbours = Neighbours()
    neighbours.watch("web", [A], now=0)
    neighbours.heard(A, MAC, now=0)
    for now in (0.0, 10.0, 11.0):
        neighbours.due(now)
    neighbours.heard(A, MAC, now=11.5)
    probes_between(neighbours, 0, 24)
    assert neighbours.mac(A) == MAC


def test_another_mac_address_is_news() -> None:
    neighbours = Neighbours()
    neighbours.watch("web", [A], now=0)
    neighbours.heard(A, MAC, now=0)
    assert neighbours.heard(A, OTHER_MAC, now=1) == {"web"}
    assert neighbours.mac(A) == OTHER_MAC


def test_hosts_of_one_address_in_two_vpcs_are_two() -> None:
    neighbours = Neighbours()
    neighbours.watch("web", [A], now=0)
    neighbours.watch("shop", [LIKE_A], now=0)
    assert neighbours.heard(A, MAC, now=0) == {"web"}
    assert neighbours.mac(LIKE_A) is None


def test_a_host_nobody_needs_any_more_is_not_asked() -> None:
    neighbours = Neighbours()
    neighbours.watch("web", [A, B], now=0)
    neighbours.watch("api", [A], now=0)
    neighbours.watch("web", [B], now=0)
    neighbours.watch("web", [], now=0)
    assert {host for _, host in probes_between(neighbours, 0, 5)} == {A}
    assert neighbours.heard(B, MAC, now=5) == frozenset()
    neighbours.watch("api", [], now=5)
    assert probes_between(neighbours, 0, 100) == []


def test_with_the_device_go_its_hosts_until_they_are_looked_for_again() -> None:
    neighbours = Neighbours()
    neighbours.watch("web", [A, B], now=0)
    neighbours.watch("shop", [LIKE_A], now=0)
    for host in (A, B, LIKE_A):
        neighbours.heard(host, MAC, now=0)
    neighbours.due(0)
    assert neighbours.lose(1) == {"web"}
    assert neighbours.mac(A) is None
    assert neighbours.mac(LIKE_A) == MAC
    neighbours.look_at(1, now=2)
    assert sorted(neighbours.due(2).probes) == [A, B]


def test_a_probe_has_no_sender_and_asks_everybody() -> None:
    frame = probe(MAC, FIRST)
    assert frame[:12] == b"\xff" * 6 + MAC
    assert ArpFrame.unpack(frame) == ArpFrame(1, MAC, IPv4Address(0), bytes(6), FIRST)


def test_replies_and_announcements_tell_where_a_host_is_and_requests_do_not() -> None:
    for frame, tells in [
        (ArpFrame(2, MAC, FIRST, OTHER_MAC, SECOND), True),
        (ArpFrame(1, MAC, FIRST, bytes(6), SECOND), False),
        (ArpFrame(1, MAC, IPv4Address(0), bytes(6), FIRST), False),
    ]:
        assert frame.tells is tells
    announced = ArpFrame.unpack(announcement(MAC, FIRST))
    assert announced is not None
    assert announced.tells


def test_what_is_no_arp_for_ipv4_is_ignored() -> None:
    frame = probe(MAC, FIRST)
    assert ArpFrame.unpack(frame[:-1]) is None
    assert ArpFrame.unpack(frame[:12] + b"\x08\x00" + frame[14:]) is None
    assert ArpFrame.unpack(frame[:14] + b"\0\7" + frame[16:]) is None


def test_the_devices_that_netlink_tells_of_are_read_from_any_bytes() -> None:
    def message(kind: int, index: int) -> bytes:
        body = pack("=BxHiII", 0, 1, index, 1, 0) + b"\1\2\3"
        return pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body.ljust(20, b"\0")

    assert changed_links(message(16, 7) + message(24, 8) + message(17, 9) + message(20, 5)) == [7, 9, 5]
    assert changed_links(message(16, 7)[:20]) == []
    assert changed_links(bytes(64)) == []
