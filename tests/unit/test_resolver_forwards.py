"""What other name servers answer: taken from whom it is for, and passed on, whatever it is."""

from collections.abc import Sequence

import dns.message
import dns.rcode
import dns.rrset
from hypothesis import given
from hypothesis import strategies as st

from services.gateway_agent.resolving.forwarding import _answer_to, _passed_on, _query
from services.gateway_agent.resolving.questions import LEAST_PAYLOAD, UDP_PAYLOAD, Question, read

KINDS = {
    "A": ["192.0.2.1", "192.0.2.2"],
    "AAAA": ["2001:db8::1"],
    "TXT": ['"hello" "there"', f'"{"x" * 200}"'],
    "MX": ["10 mail.example.com."],
    "CNAME": ["www.example.com."],
    "SVCB": ['1 . alpn="h2" port="8443"'],
    "SRV": ["0 5 5060 sip.example.com."],
}


def asked(kind: str) -> Question:
    question = read(dns.message.make_query("a.example.com", kind).to_wire(), UDP_PAYLOAD)
    assert isinstance(question, Question)
    return question


def response(query: dns.message.Message, texts: Sequence[str]) -> bytes:
    made = dns.message.make_response(query)
    for section in (made.answer, made.additional):
        section.append(dns.rrset.from_text(query.question[0].name, 60, "IN", query.question[0].rdtype, *texts))
    return made.to_wire(max_size=65_535)


@given(
    st.sampled_from(sorted(KINDS)),
    st.lists(st.tuples(st.integers(2, 400), st.integers(0, 255)), max_size=6),
    st.integers(0, 40),
    st.binary(max_size=40),
)
def test_an_answer_is_passed_on_within_what_the_client_takes_or_is_none(
    kind: str, changes: list[tuple[int, int]], cut: int, more: bytes
) -> None:
    question = asked(kind)
    query = _query(question)
    wire = bytearray(response(query, KINDS[kind]))
    for place, byte in changes:
        wire[place % (len(wire) - 2) + 2] = byte
    found = _answer_to(query, bytes(wire[: len(wire) - cut]) + more)
    if found is None:
        return
    assert found.id == query.id
    if (reply := _passed_on(question, found)) is not None:
        assert len(reply.wire) <= LEAST_PAYLOAD
        told = dns.message.from_wire(reply.wire)
        assert (told.id, told.question) == (question.message.id, question.message.question)


@given(st.binary(max_size=300))
def test_bytes_that_are_no_answer_are_nobodys(data: bytes) -> None:
    query = _query(asked("A"))
    found = _answer_to(query, data)
    assert found is None or found.id == query.id


def test_what_is_asked_of_others_has_nothing_of_the_client_but_the_question() -> None:
    wire = dns.message.make_query("a.example.com", "A", use_edns=0, options=[], want_dnssec=True).to_wire()
    question = read(wire, UDP_PAYLOAD)
    assert isinstance(question, Question)
    ids = {_query(question).id for _ in range(50)}
    assert len(ids) > 40
    made = _query(question)
    assert (made.question, made.payload, list(made.options)) == (question.message.question, UDP_PAYLOAD, [])
    assert made.rcode() == dns.rcode.NOERROR
