"""Questions of DNS clients, read or refused at once. Whatever comes, nothing is raised, and answers are bounded."""

import struct
from dataclasses import dataclass
from enum import StrEnum

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype

HEADER = struct.Struct("!6H")
LONGEST_QUESTION = 4096
"""Bytes; a question with EDNS has a few hundred, and what is longer is not worth reading."""

MOST_BESIDE = 2
"""Records beside the question: EDNS has one, a signature one. Each costs milliseconds where its names are long."""

UDP_PAYLOAD = 1232
"""Bytes of an answer by UDP at most: those that no path cuts into fragments (DNS Flag Day 2020)."""

TCP_PAYLOAD = 65_535
LEAST_PAYLOAD = 512
HIGHEST_RCODE = 15  # without EDNS
_QR, _RD = 0x8000, 0x0100
_META = frozenset({dns.rdatatype.OPT, dns.rdatatype.TSIG, dns.rdatatype.TKEY})
_TRANSFERS = frozenset({dns.rdatatype.AXFR, dns.rdatatype.IXFR, dns.rdatatype.MAILA, dns.rdatatype.MAILB})


class Result(StrEnum):
    """What became of a question."""

    ANSWERED = "answered"  # a name of ours, with what was asked for
    NODATA = "nodata"  # a name of ours, which has nothing of that type
    NXDOMAIN = "nxdomain"  # no name of ours, where nobody else has any
    FORWARDED = "forwarded"  # somebody else answered
    REFUSED = "refused"  # not ours, and nobody is asked
    FAILED = "failed"  # it cannot be said now, or nobody answered
    MALFORMED = "malformed"
    IGNORED = "ignored"  # not even a question
    LIMITED = "limited"  # too many at once


@dataclass(frozen=True, slots=True)
class Reply:
    """What is sent back, as it stands on the wire; nothing where it is empty."""

    wire: bytes
    result: Result


NOTHING = Reply(b"", Result.IGNORED)


@dataclass(frozen=True, slots=True)
class Question:
    """One question about one name, and how long the answer may be."""

    message: dns.message.Message
    limit: int

    @property
    def name(self) -> dns.name.Name:
        return self.message.question[0].name

    @property
    def type(self) -> dns.rdatatype.RdataType:
        return self.message.question[0].rdtype

    def response(self, rcode: dns.rcode.Rcode = dns.rcode.NOERROR, *, recursive: bool = False) -> dns.message.Message:
        """An answer that says nothing yet: the question is in it as it came, each letter in its own case."""
        made = dns.message.make_response(self.message, recursion_available=recursive, our_payload=UDP_PAYLOAD, pad=0)
        made.flags |= self.message.flags & dns.flags.CD
        if self.message.edns >= 0:
            made.ednsflags |= self.message.ednsflags & dns.flags.DO
        elif rcode > HIGHEST_RCODE:
            rcode = dns.rcode.SERVFAIL
        made.set_rcode(rcode)
        return made

    def reply(self, response: dns.message.Message, result: Result) -> Reply:
        """Cut short, and marked so, where it is too long."""
        return Reply(response.to_wire(max_size=self.limit, prefer_truncation=True), result)

    def failure(self, result: Result = Result.FAILED, *, recursive: bool = False) -> Reply:
        return self.reply(self.response(dns.rcode.SERVFAIL, recursive=recursive), result)


def read(wire: bytes, payload: int) -> Question | Reply:
    """The question, or what to say to what is none; `payload` is the longest answer that its transport carries."""
    if len(wire) < HEADER.size:
        return NOTHING
    _, flags, questions, answers, authorities, beside = HEADER.unpack_from(wire)
    if flags & _QR:
        return NOTHING  # an answer is never answered: two servers would go on for ever
    if dns.opcode.from_flags(flags) != dns.opcode.QUERY:
        return _bare(wire, dns.rcode.NOTIMP, Result.REFUSED)
    if questions != 1 or answers or authorities or beside > MOST_BESIDE or len(wire) > LONGEST_QUESTION:
        return _bare(wire, dns.rcode.FORMERR, Result.MALFORMED)
    try:
        message = dns.message.from_wire(wire, keyring=False)
        return _checked(Question(message, _limit(message, payload)))
    except Exception:  # a stranger's bytes
        return _bare(wire, dns.rcode.FORMERR, Result.MALFORMED)


def _checked(question: Question) -> Question | Reply:
    message, asked = question.message, question.message.question[0]
    if message.edns > 0:
        return question.reply(question.response(dns.rcode.BADVERS), Result.REFUSED)
    if message.had_tsig or asked.rdclass != dns.rdataclass.IN or asked.rdtype in _TRANSFERS:
        return question.reply(question.response(dns.rcode.REFUSED), Result.REFUSED)
    if asked.rdtype in _META or asked.rdtype == dns.rdatatype.NONE:
        return question.reply(question.response(dns.rcode.FORMERR), Result.MALFORMED)
    return question


def _limit(message: dns.message.Message, payload: int) -> int:
    if payload == TCP_PAYLOAD:
        return payload
    return max(LEAST_PAYLOAD, min(payload, message.payload if message.edns >= 0 else LEAST_PAYLOAD))


def _bare(wire: bytes, rcode: dns.rcode.Rcode, result: Result) -> Reply:
    """A header and nothing else: the rest could not be read, or means something else."""
    id_, flags, *_ = HEADER.unpack_from(wire)
    return Reply(HEADER.pack(id_, _QR | (flags & (0x7800 | _RD)) | rcode, 0, 0, 0, 0), result)
