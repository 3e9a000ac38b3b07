"""A health check as segments that come and go, without a wire."""

import socket
import struct
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway_agent.backend_health import Answer, Failure
from services.gateway_agent.dataplane.health_dialogue import WINDOW, Dialogue, HttpExchange
from services.gateway_agent.dataplane.listening import answers_to_checks, attach
from services.gateway_agent.dataplane.segments import checksum
from services.gateway_agent.dataplane.tcp_frames import (
    ACK,
    FIN,
    MODULUS,
    RST,
    SYN,
    Arrived,
    Between,
    Peer,
    Segment,
    Unreachable,
    frame,
    read,
)
from services.gateway_agent.table import HealthCheck, HealthProtocol

US = Peer(bytes.fromhex("02000000000a"), IPv4Address("198.19.128.7"))
THEM = Peer(bytes.fromhex("02000000000b"), IPv4Address("10.0.0.9"))
US_V6 = Peer(US.mac, IPv6Address("fd73:6964:6567:6174::c613:8007"))
THEM_V6 = Peer(THEM.mac, IPv6Address("fd00::9"))
HTTP = HealthCheck(HealthProtocol.HTTP, 8080, "/healthz", timeout=3)
TCP = replace(HTTP, protocol=HealthProtocol.TCP)
OUR_PORT, THEIR_NUMBER = 300, MODULUS - 5  # so that the numbers of what they say pass the end of the range
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
ENDS = [Between(US, THEM), Between(US_V6, THEM_V6)]


class Backend:
    """The other side: reads what is said, and answers by hand."""

    def __init__(self, check: HealthCheck = HTTP, between: Between = ENDS[0]) -> None:
        self.between = between
        self.dialogue = Dialogue(check, between, OUR_PORT, 0, 3)
        self.said: list[Segment] = []
        self.take(self.dialogue.open())

    def take(self, frames: list[bytes]) -> list[Segment]:
        heard = []
        for each in frames:
            found = read(each)
            assert isinstance(found, Arrived)
            assert (found.source, found.destination) == (self.between.ours.address, self.between.theirs.address)
            heard.append(found.segment)
        self.said += heard
        return heard

    def say(
        self, flags: int, number: int = THEIR_NUMBER, data: bytes = b"", confirmed: int | None = None
    ) -> list[Segment]:
        last = self.said[-1]
        after = last.sequence + len(last.data) + (1 if last.flags & SYN else 0)
        number_confirmed = (after if confirmed is None else confirmed) % MODULUS
        segment = Segment(8080, OUR_PORT, number % MODULUS, number_confirmed, flags, 64240, data)
        sent = frame(Between(self.between.theirs, self.between.ours), segment)
        found = read(sent)
        assert isinstance(found, Arrived)
        return self.take(self.dialogue.hear(found, 0.5))

    def accept(self) -> list[Segment]:
        return self.say(SYN | ACK)

    def answer(self, data: bytes, offset: int = 0, flags: int = ACK) -> list[Segment]:
        return self.say(flags, THEIR_NUMBER + 1 + offset, data)

    @property
    def came_to(self) -> Failure | str | None:
        answer = self.dialogue.answer
        return None if answer is None else answer.failure or "well"


@pytest.mark.parametrize("between", ENDS, ids=["IPv4", "IPv6"])
def test_a_connection_that_is_accepted_is_given_up_at_once(between: Between) -> None:
    backend = Backend(TCP, between)
    (opening,) = backend.said
    assert (opening.flags, opening.destination) == (SYN, 8080)
    (farewell,) = backend.accept()
    assert farewell.flags == RST | ACK
    assert (farewell.sequence, farewell.confirmed) == ((opening.sequence + 1) % MODULUS, (THEIR_NUMBER + 1) % MODULUS)
    assert backend.came_to == "well"
    assert backend.dialogue.answer == Answer(seconds=0.5)


@pytest.mark.parametrize("between", ENDS, ids=["IPv4", "IPv6"])
def test_a_page_is_asked_for_by_address_and_the_connection_given_up_when_its_status_is_known(between: Between) -> None:
    backend = Backend(HTTP, between)
    (request,) = backend.accept()
    named = "10.0.0.9:8080" if between is ENDS[0] else "[fd00::9]:8080"
    expected = f"GET /healthz HTTP/1.1\r\nHost: {named}\r\nUser-Agent: sidegate\r\nConnection: close\r\n\r\n"
    assert request.data.decode().lower() == expected.lower()
    assert request.window == WINDOW
    (farewell,) = backend.answer(OK)
    assert farewell.flags == RST | ACK
    assert farewell.sequence == (request.sequence + len(request.data)) % MODULUS
    assert backend.came_to == "well"


def test_a_head_in_pieces_out_of_order_and_twice_is_put_together() -> None:
    backend = Backend()
    (request,) = backend.accept()
    head = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK
    (waiting,) = backend.answer(head[10:20], 10)
    assert waiting.confirmed == (THEIR_NUMBER + 1) % MODULUS, "the first part is missing"
    (ten,) = backend.answer(head[:10])
    assert ten.confirmed == (THEIR_NUMBER + 11) % MODULUS
    assert ten.sequence == (request.sequence + len(request.data)) % MODULUS
    backend.answer(head[:10])
    backend.answer(head[5:30], 5)
    assert backend.came_to is None
    backend.answer(head[30:], 30)
    assert backend.came_to == "well"


@pytest.mark.parametrize(
    ("heard", "expected"),
    [
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", Failure.STATUS),
        (b"HTTP/1.0 200\r\n\r\n", "well"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", Failure.NOT_HTTP),
        (b"HTTP/1.1 two hundred\r\n\r\n", Failure.NOT_HTTP),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 20_000, Failure.NOT_HTTP),
        (b"HTTP/1.1 200 OK\r\n", None),
    ],
)
def test_what_is_heard_is_judged_by_its_status(heard: bytes, expected: Failure | str | None) -> None:
    backend = Backend()
    backend.accept()
    for at in range(0, len(heard), 1000):
        if backend.came_to is None:
            backend.answer(heard[at : at + 1000], at)
    assert backend.came_to == expected


def test_statuses_that_are_wanted_are_well() -> None:
    exchange = HttpExchange(THEM.address, replace(HTTP, statuses=(404, 404)))
    assert exchange.hear(b"HTTP/1.1 404 Not Found\r\n\r\n") == Answer()
    assert HttpExchange(THEM.address, HTTP).hear(b"HTTP/1.1 404 Not Found\r\n\r\n") == Answer(Failure.STATUS, 404)


def test_a_connection_that_is_refused_or_closed_is_told_apart() -> None:
    refusing, resetting, closing, babbling = Backend(), Backend(), Backend(), Backend()
    assert refusing.say(RST | ACK) == []
    for each in (resetting, closing, babbling):
        each.accept()
    assert resetting.say(RST, THEIR_NUMBER + 1) == []
    closing.say(FIN | ACK, THEIR_NUMBER + 1)
    babbling.answer(b"HTTP/1", flags=ACK | FIN)
    assert [each.came_to for each in (refusing, resetting, closing, babbling)] == [
        Failure.REFUSED, Failure.CLOSED, Failure.CLOSED, Failure.NOT_HTTP,
    ]  # fmt: skip


def test_what_nobody_confirms_or_what_another_says_changes_nothing() -> None:
    backend = Backend()
    assert backend.say(SYN | ACK, confirmed=1) == []
    assert backend.say(RST | ACK, confirmed=1) == []
    stranger = Arrived(IPv4Address("10.0.0.8"), US.address, Segment(8080, OUR_PORT, 0, 1, RST | ACK))
    assert backend.dialogue.hear(stranger, 0.1) == []
    backend.accept()
    assert backend.say(RST, THEIR_NUMBER + 100) == [], "a blind reset"
    assert backend.came_to is None


def test_an_opening_that_is_not_heard_is_said_once_more_and_then_given_up() -> None:
    backend = Backend()
    dialogue = backend.dialogue
    assert dialogue.next_look == 1
    assert dialogue.look(0.9) == []
    (again,) = backend.take(dialogue.look(1))
    assert again == backend.said[0]
    assert dialogue.next_look == 3
    assert dialogue.look(2.9) == []
    (farewell,) = backend.take(dialogue.look(3))
    assert (farewell.flags, farewell.sequence) == (RST, (again.sequence + 1) % MODULUS)
    assert backend.came_to is Failure.SILENT
    assert dialogue.look(4) == []


def test_a_request_that_is_not_heard_is_said_once_more_and_one_that_is_heard_is_not() -> None:
    lost, heard = Backend(), Backend()
    (request,) = lost.accept()
    heard.accept()
    heard.say(ACK, THEIR_NUMBER + 1)
    assert lost.take(lost.dialogue.look(1.5)) == [request]
    assert heard.dialogue.look(1.5) == []
    assert lost.take(lost.dialogue.look(2.5)) == []
    for each, numbers in ((lost, {request.sequence, (request.sequence + len(request.data)) % MODULUS}), (heard, None)):
        farewells = each.take(each.dialogue.look(3))
        assert each.came_to is Failure.SILENT
        assert {farewell.flags for farewell in farewells} == {RST | ACK}
        assert len(farewells) == 1 if numbers is None else {each.sequence for each in farewells} == numbers


def icmp(kind: int, code: int, quoted: bytes) -> bytes:
    """An ICMP message about an IPv4 packet, from a router, as a frame."""
    body = struct.pack(">BBHI", kind, code, 0, 0) + quoted
    router = IPv4Address("10.0.0.1").packed
    header = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(body), 0, 0, 64, 1, 0, router, US.address.packed)
    return US.mac + THEM.mac + b"\x08\x00" + header + body


def test_a_router_that_says_unreachable_is_believed_if_it_quotes_what_was_said() -> None:
    backend = Backend()
    opening = frame(ENDS[0], backend.said[0])[14:]
    told = read(icmp(3, 1, opening[:28]))
    assert told == Unreachable(US.address, OUR_PORT, THEM.address, 8080, backend.said[0].sequence)
    assert isinstance(told, Unreachable)
    came_to = []
    for each in (replace(told, sequence=told.sequence ^ 1), told):
        backend.dialogue.refused(each, 0.5)
        came_to.append(backend.came_to)
    assert came_to == [None, Failure.UNREACHABLE]
    assert read(icmp(3, 4, opening[:28])) is None, "it asks for shorter packets"
    assert read(icmp(11, 0, opening[:28])) is None
    assert read(icmp(3, 1, opening[:20])) is None


ADDRESSES = {4: st.ip_addresses(v=4), 6: st.ip_addresses(v=6)}
NUMBERS = st.integers(0, MODULUS - 1)


@given(st.sampled_from([4, 6]), st.data(), st.binary(max_size=60))
def test_what_is_written_is_read_and_its_checksum_is_right(version: int, data: st.DataObject, payload: bytes) -> None:
    ours, theirs = (Peer(b"\x02" * 6, data.draw(ADDRESSES[version])) for _ in range(2))
    ports = (data.draw(st.integers(0, 65535)), data.draw(st.integers(0, 65535)))
    segment = Segment(*ports, data.draw(NUMBERS), data.draw(NUMBERS), data.draw(st.integers(0, 63)), 4096, payload)
    whole = frame(Between(ours, theirs), segment)
    assert read(whole) == Arrived(ours.address, theirs.address, segment)
    body = whole[34:] if version == 4 else whole[54:]
    pseudo = ours.address.packed + theirs.address.packed
    pseudo += struct.pack(">BBH", 0, 6, len(body)) if version == 4 else struct.pack(">II", len(body), 6)
    assert checksum(pseudo + body) == 0
    assert version == 6 or checksum(whole[14:34]) == 0
    for length in range(len(whole) - len(payload)):
        assert read(whole[:length]) is None


@given(st.binary(max_size=100))
def test_whatever_comes_is_read_without_an_error(found: bytes) -> None:
    for start in (
        b"",
        b"\0" * 12 + b"\x08\x00",
        b"\0" * 12 + b"\x86\xdd",
        b"\0" * 12 + b"\x08\x00\x45" + b"\0" * 8 + b"\x01",
    ):
        read(start + found)


def passes(sent: bytes) -> bool:
    """Whether the kernel lets a frame through the filter: it runs on datagrams of any socket."""
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with here, there:
        attach(there, answers_to_checks(range(256, 512)))
        there.setblocking(False)
        here.send(sent)
        try:
            return there.recv(9000) == sent
        except BlockingIOError:
            return False


def answer_to(address: str, port: int, theirs: str = "10.0.0.9") -> bytes:
    ends = Between(Peer(THEM.mac, ip_address(theirs)), Peer(US.mac, ip_address(address)))
    return frame(ends, Segment(80, port, 1, 2, ACK, 100, b"data"))


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (answer_to("198.19.128.7", 256), True),
        (answer_to("198.19.255.254", 511), True),
        (answer_to("198.19.128.7", 255), False),
        (answer_to("198.19.128.7", 512), False),
        (answer_to("198.19.128.7", 40000), False),
        (answer_to("198.19.127.255", 300), False),
        (answer_to("198.20.128.7", 300), False),
        (answer_to("fd73:6964:6567:6174::c613:8007", 300, "fd00::9"), True),
        (answer_to("fd73:6964:6567:6174::c613:8007", 600, "fd00::9"), False),
        (answer_to("fd73:6964:6567:6175::c613:8007", 300, "fd00::9"), False),
        (icmp(3, 1, bytes(28)), True),
        (bytes(12) + b"\x08\x06" + bytes(46), False),
    ],
    ids=[
        "first port", "last port", "below", "above", "of a session", "before the range", "behind the range",
        "IPv6", "IPv6 above", "IPv6 elsewhere", "ICMP", "ARP",
    ],
)  # fmt: skip
def test_the_filter_lets_through_what_answers_checks(sent: bytes, expected: bool) -> None:
    assert passes(sent) == expected


def test_the_filter_lets_no_fragment_through_but_the_first_and_none_with_options_by_mistake() -> None:
    whole = bytearray(answer_to("198.19.128.7", 300))
    later = bytearray(whole)
    later[20:22] = b"\x00\x10"
    assert not passes(bytes(later))
    with_options = whole[:14] + b"\x46" + whole[15:34] + b"\x01" * 4 + whole[34:]
    assert passes(bytes(with_options))
