"""What a VPC's resolver says: its own names, what is not there, what goes to others, and what is no question."""

import struct
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway_agent.resolving.answers import TTL, Ask, Known, answer
from services.gateway_agent.resolving.book import Book, Listing
from services.gateway_agent.resolving.limits import Rate
from services.gateway_agent.resolving.questions import (
    LEAST_PAYLOAD,
    LONGEST_QUESTION,
    TCP_PAYLOAD,
    UDP_PAYLOAD,
    Question,
    Reply,
    Result,
    read,
)

ZONE = "region-1.sidegate.internal"
OWN, PRIVATE = f"e1.{ZONE}", "api.example.com"
FOUR, SIX = ip_address("10.0.0.100"), ip_address("fd00:10::100")


def book() -> Book:
    made = Book()
    made.put("e1", Listing("vpc-1", (OWN, PRIVATE), FOUR))
    made.put("e2", Listing("vpc-1", (f"e2.{ZONE}",), SIX))
    made.put("e3", Listing("vpc-1", (f"e3.{ZONE}", "waits.example.com"), None))
    made.put("e4", Listing("vpc-2", (f"e4.{ZONE}", "other.example.com"), FOUR))
    return made


def known(*, settled: bool = True, recursive: bool = False) -> Known:
    return Known(dns.name.from_text(ZONE), book().names("vpc-1"), settled, recursive)


def query(name: str, kind: str = "A", **how: Any) -> dns.message.Message:
    return dns.message.make_query(name, kind, **how)


def said(asked: bytes | dns.message.Message, about: Known | None = None, payload: int = UDP_PAYLOAD) -> Reply | Ask:
    question = read(asked if isinstance(asked, bytes) else asked.to_wire(), payload)
    return answer(question, about or known()) if isinstance(question, Question) else question


def told(asked: bytes | dns.message.Message, about: Known | None = None) -> dns.message.Message:
    found = said(asked, about)
    assert isinstance(found, Reply)
    return dns.message.from_wire(found.wire)


def addresses(found: dns.message.Message) -> list[str]:
    return [record.to_text() for rrset in found.answer for record in rrset]


@pytest.mark.parametrize(
    ("name", "kind", "address"),
    [(OWN, "A", FOUR), (PRIVATE, "A", FOUR), (f"e2.{ZONE}", "AAAA", SIX), (OWN, "ANY", FOUR), (OWN.upper(), "A", FOUR)],
)
def test_a_name_is_answered_with_its_endpoints_address_for_five_seconds(name: str, kind: str, address: object) -> None:
    found = told(query(name, kind))
    assert (found.rcode(), addresses(found), found.answer[0].ttl) == (dns.rcode.NOERROR, [str(address)], TTL)
    assert found.flags & dns.flags.AA


@pytest.mark.parametrize(
    ("name", "kind"), [(OWN, "AAAA"), (OWN, "TXT"), (PRIVATE, "MX"), (PRIVATE, "SOA"), (f"e2.{ZONE}", "A"), (ZONE, "A")]
)
def test_what_a_name_does_not_have_is_not_there_and_may_be_kept_for_five_seconds(name: str, kind: str) -> None:
    asked = query(name, kind)
    result = said(asked)
    assert isinstance(result, Reply)
    assert result.result is Result.NODATA
    found = told(asked)
    assert (found.rcode(), found.answer) == (dns.rcode.NOERROR, [])
    (soa,) = found.authority
    assert (soa.rdtype, soa.ttl, soa[0].minimum) == (dns.rdatatype.SOA, TTL, TTL)
    assert dns.name.from_text(name).is_subdomain(soa.name)


@pytest.mark.parametrize(
    "name",
    [f"e9.{ZONE}", f"e3.{ZONE}", f"e4.{ZONE}", f"www.{OWN}", "e1.region-2.sidegate.internal", "x.sidegate.internal"],
)
@pytest.mark.parametrize("recursive", [True, False])
def test_below_the_platforms_domain_nobody_else_is_asked(name: str, recursive: bool) -> None:
    """Not for what does not pass packets yet, is in another VPC, or in another region."""
    found = told(query(name), known(recursive=recursive))
    assert (found.rcode(), found.answer) == (dns.rcode.NXDOMAIN, [])
    assert found.authority[0].rdtype == dns.rdatatype.SOA
    assert told(query("sidegate.internal"), known(recursive=recursive)).rcode() == dns.rcode.NOERROR


def test_the_zone_says_who_it_is() -> None:
    (soa,) = told(query(ZONE, "SOA")).answer
    assert (soa.name, soa[0].mname) == (dns.name.from_text(ZONE), dns.name.from_text(ZONE))


@pytest.mark.parametrize(
    "name", ["www.example.com", "example.com", f"www.{PRIVATE}", "other.example.com", "internal", "."]
)
def test_other_names_are_refused_or_asked_for_as_the_vpc_wants(name: str) -> None:
    """Of a private name only that name is ours; another VPC's private name is a name like any other."""
    assert told(query(name)).rcode() == dns.rcode.REFUSED
    assert isinstance(said(query(name), known(recursive=True)), Ask)
    reverse = query("100.0.0.10.in-addr.arpa", "PTR")
    assert told(reverse).rcode() == dns.rcode.REFUSED
    assert isinstance(said(reverse, known(recursive=True)), Ask)


def test_a_private_name_whose_endpoint_passes_nothing_yet_is_asked_of_nobody() -> None:
    for recursive in (True, False):
        found = told(query("waits.example.com"), known(recursive=recursive))
        assert (found.rcode(), found.answer) == (dns.rcode.SERVFAIL, [])


def test_before_all_was_tried_nobody_is_told_that_a_name_is_not_there() -> None:
    assert told(query(f"e9.{ZONE}"), known(settled=False)).rcode() == dns.rcode.SERVFAIL
    assert told(query(OWN), known(settled=False)).rcode() == dns.rcode.SERVFAIL
    assert isinstance(said(query("www.example.com"), known(settled=False, recursive=True)), Ask)


def test_the_question_comes_back_letter_by_letter() -> None:
    name = "E1.ReGiOn-1.sIdEgAtE.iNtErNaL."
    found = told(query(name))
    assert found.question[0].name.to_text() == name == found.answer[0].name.to_text()


def test_flags_and_edns_are_answered_in_kind() -> None:
    plain = told(query(OWN))
    assert (plain.edns, bool(plain.flags & dns.flags.RD), bool(plain.flags & dns.flags.RA)) == (-1, True, False)
    more = told(query(OWN, use_edns=0, payload=4096, want_dnssec=True), known(recursive=True))
    assert (more.edns, more.payload, bool(more.ednsflags & dns.flags.DO)) == (0, UDP_PAYLOAD, True)
    assert more.flags & dns.flags.RA
    assert told(query(OWN, use_edns=1)).rcode() == dns.rcode.BADVERS


def test_an_answer_that_does_not_fit_is_cut_and_says_so_unless_it_is_by_tcp() -> None:
    many = Book()
    for number in range(60):
        many.put(str(number), Listing("v", (PRIVATE,), FOUR + number))
    about = Known(dns.name.from_text(ZONE), many.names("v"), settled=True, recursive=False)
    for asked, payload, limit in (
        (query(PRIVATE), UDP_PAYLOAD, LEAST_PAYLOAD),
        (query(PRIVATE, use_edns=0, payload=65_000), UDP_PAYLOAD, UDP_PAYLOAD),
        (query(PRIVATE, use_edns=0, payload=100), UDP_PAYLOAD, LEAST_PAYLOAD),
        (query(PRIVATE), TCP_PAYLOAD, TCP_PAYLOAD),
    ):
        found = said(asked, about, payload)
        assert isinstance(found, Reply)
        assert len(found.wire) <= limit
        cut = dns.message.from_wire(found.wire).flags & dns.flags.TC
        assert bool(cut) == (len(found.wire) > 12 and limit < 60 * 16)


def _altered(**fields: int) -> Callable[[], bytes]:
    def make() -> bytes:
        names = ("id", "flags", "questions", "answers", "authorities", "additionals")
        wire = query(OWN).to_wire()
        header = dict(zip(names, struct.unpack_from("!6H", wire), strict=True)) | fields
        return struct.pack("!6H", *(header[name] for name in names)) + wire[12:]

    return make


@pytest.mark.parametrize(
    ("make", "rcode"),
    [
        (_altered(questions=0), dns.rcode.FORMERR),
        (_altered(questions=2), dns.rcode.FORMERR),
        (_altered(answers=3), dns.rcode.FORMERR),
        (lambda: query(OWN).to_wire() + b"?", dns.rcode.FORMERR),
        (lambda: query(OWN).to_wire()[:-1], dns.rcode.FORMERR),
        (lambda: query(OWN).to_wire() + bytes(LONGEST_QUESTION), dns.rcode.FORMERR),
        (lambda: query(OWN, "OPT").to_wire(), dns.rcode.FORMERR),
        (lambda: query(OWN, "AXFR").to_wire(), dns.rcode.REFUSED),
        (lambda: dns.message.make_query("version.bind", "TXT", "CH").to_wire(), dns.rcode.REFUSED),
        (_altered(flags=dns.opcode.to_flags(dns.opcode.NOTIFY)), dns.rcode.NOTIMP),
        (_altered(flags=dns.opcode.to_flags(dns.opcode.UPDATE)), dns.rcode.NOTIMP),
    ],
)
def test_what_is_no_question_is_told_so(make: Callable[[], bytes], rcode: dns.rcode.Rcode) -> None:
    wire = make()
    found = said(wire, known(recursive=True))
    assert isinstance(found, Reply)
    id_, flags = struct.unpack_from("!2H", found.wire)
    assert (id_, flags & 0x800F) == (int.from_bytes(wire[:2]), 0x8000 | rcode)


@pytest.mark.parametrize(
    "wire", [b"", b"\0" * 11, _altered(flags=dns.flags.QR)()], ids=["nothing", "half a header", "an answer"]
)
def test_to_an_answer_and_to_less_than_a_header_nothing_is_said(wire: bytes) -> None:
    assert said(wire) == Reply(b"", Result.IGNORED)


@pytest.mark.parametrize("section", [3, 4, 5], ids=["answers", "authorities", "beside"])
def test_records_that_no_question_has_are_not_read(section: int) -> None:
    """Seventy of them, of names as long as can be, took the agent half a second, and a datagram has room for them."""
    labels = b"\x01a" * 126 + b"\0"
    record = struct.pack("!HHHIHHH", 0xC00C, dns.rdatatype.RP, dns.rdataclass.IN, 60, 4, 0xC00C, 0xC00C)
    counts = [7, 0, 1, 0, 0, 0]
    counts[section] = 70
    wire = struct.pack("!6H", *counts) + labels + struct.pack("!HH", dns.rdatatype.A, dns.rdataclass.IN) + record * 70
    assert len(dns.message.from_wire(wire).sections[section - 2]) == 1, "it can be read"
    found = said(wire)
    assert isinstance(found, Reply)
    assert (found.result, found.wire[3] & 15) == (Result.MALFORMED, dns.rcode.FORMERR)


headers = st.tuples(*(st.integers(0, 65_535) | st.integers(0, 2) for _ in range(6)))
messages = st.one_of(
    st.binary(max_size=600),
    st.builds(lambda header, body: struct.pack("!6H", *header) + body, headers, st.binary(max_size=300)),
    st.builds(
        lambda flags, body: struct.pack("!6H", 7, flags & 0x07FF, 1, 0, 0, 1) + body,
        st.integers(0, 65_535),
        st.binary(max_size=300),
    ),
    st.builds(
        lambda wire, place, byte: wire[: place % len(wire)] + bytes([byte]) + wire[place % len(wire) + 1 :],
        st.sampled_from([query(OWN, use_edns=0).to_wire(), query("www.example.com", "TXT").to_wire()]),
        st.integers(0, 100),
        st.integers(0, 255),
    ),
)


@given(messages, st.sampled_from([UDP_PAYLOAD, TCP_PAYLOAD]))
def test_whatever_comes_nothing_is_raised_and_the_answer_is_bounded(wire: bytes, payload: int) -> None:
    found = said(wire, known(recursive=True), payload)
    if isinstance(found, Ask):
        found = found.question.failure()
    assert len(found.wire) <= UDP_PAYLOAD
    if found.wire:
        assert found.wire[:2] == wire[:2]
        assert found.wire[2] & 0x80, "only answers are sent"
        assert not wire[2] & 0x80, "and none to an answer"


names = st.sampled_from(["a", "b", "c"]).map(lambda label: f"{label}.example.com")
listings = st.none() | st.builds(
    Listing,
    st.sampled_from(["vpc-1", "vpc-2"]),
    st.lists(names, max_size=3, unique=True).map(tuple),
    st.none() | st.sampled_from([FOUR, SIX]),
)


@given(st.lists(st.tuples(st.sampled_from(["e1", "e2", "e3"]), listings), max_size=12))
def test_a_book_says_what_was_put_last_of_each_endpoint_and_nothing_of_another_vpc(
    steps: list[tuple[str, Listing | None]],
) -> None:
    made, last = Book(), dict[str, Listing | None]()
    for endpoint, listing in steps:
        made.put(endpoint, listing)
        last[endpoint] = listing
    for vpc in ("vpc-1", "vpc-2"):
        there = [each for each in last.values() if each is not None and each.vpc == vpc]
        for name in ("a.example.com", "b.example.com", "c.example.com"):
            having = [each for each in there if name in each.names]
            assert made.names(vpc).has(name) == bool(having)
            expected = sorted(str(each.address) for each in having if each.address is not None)
            assert sorted(map(str, made.names(vpc).addresses(name))) == expected


def test_a_rate_admits_a_seconds_worth_and_then_as_time_goes_by() -> None:
    rate = Rate(10)
    assert [rate.admits(100.0) for _ in range(11)] == [True] * 10 + [False]
    assert not rate.admits(100.05)
    assert rate.admits(100.2)
    assert [rate.admits(500.0) for _ in range(11)] == [True] * 10 + [False]
