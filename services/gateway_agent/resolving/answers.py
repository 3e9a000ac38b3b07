"""What a VPC's resolver says of a name: its own names, and which questions go to others. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import dns.flags
import dns.name
import dns.rcode
import dns.rdata
import dns.rdatatype
import dns.rrset

from services.gateway_agent.resolving.book import Names
from services.gateway_agent.resolving.questions import Question, Reply, Result
from services.gateway_agent.table import Address

TTL = 5
"""Seconds that an answer may be kept, and that a name is not there: so long it may be asked for in vain once it is, or
be kept when the endpoint has gone."""

KINDS = {4: dns.rdatatype.A, 6: dns.rdatatype.AAAA}


@dataclass(frozen=True, slots=True)
class Known:
    """What the resolver of one VPC knows. Not `settled`: names may be missing of which it has only not heard yet."""

    zone: dns.name.Name
    names: Names
    settled: bool
    recursive: bool

    @property
    def platform(self) -> dns.name.Name:
        """The domain that has the zones of all regions, and no names but theirs: nobody else is asked for any."""
        return self.zone.parent()


@dataclass(frozen=True, slots=True)
class Ask:
    """Somebody else knows."""

    question: Question


def answer(question: Question, known: Known) -> Reply | Ask:
    name = question.name
    if name.is_subdomain(known.platform):
        return _of_platform(question, known)
    text = name.to_text(omit_final_dot=True).lower()
    if known.names.has(text):
        addresses = known.names.addresses(text)
        return _found(question, known, addresses, name) if addresses else question.failure(recursive=known.recursive)
    if known.recursive:
        return Ask(question)
    return question.reply(question.response(dns.rcode.REFUSED), Result.REFUSED)


def _of_platform(question: Question, known: Known) -> Reply:
    name, zone = question.name, known.zone
    if not name.is_subdomain(zone):
        there = zone.is_subdomain(name)
        return _none(question, known, known.platform, Result.NODATA if there else Result.NXDOMAIN)
    if name == zone:
        return _of_apex(question, known)
    if not known.settled:
        return question.failure(recursive=known.recursive)
    addresses = known.names.addresses(name.to_text(omit_final_dot=True).lower())
    return _found(question, known, addresses, zone) if addresses else _none(question, known, zone, Result.NXDOMAIN)


def _of_apex(question: Question, known: Known) -> Reply:
    if question.type not in (dns.rdatatype.SOA, dns.rdatatype.ANY):
        return _none(question, known, known.zone, Result.NODATA)
    response = question.response(recursive=known.recursive)
    response.flags |= dns.flags.AA
    response.answer.append(_soa(question.name, known))
    return question.reply(response, Result.ANSWERED)


def _found(question: Question, known: Known, addresses: Sequence[Address], zone: dns.name.Name) -> Reply:
    response = question.response(recursive=known.recursive)
    response.flags |= dns.flags.AA
    for version, kind in KINDS.items():
        texts = [str(address) for address in addresses if address.version == version]
        if texts and question.type in (kind, dns.rdatatype.ANY):
            response.answer.append(dns.rrset.from_text_list(question.name, TTL, "IN", kind, texts))
    if not response.answer:
        return _none(question, known, zone, Result.NODATA)
    return question.reply(response, Result.ANSWERED)


def _none(question: Question, known: Known, zone: dns.name.Name, result: Result) -> Reply:
    rcode = dns.rcode.NXDOMAIN if result is Result.NXDOMAIN else dns.rcode.NOERROR
    response = question.response(rcode, recursive=known.recursive)
    response.flags |= dns.flags.AA
    response.authority.append(_soa(zone, known))
    return question.reply(response, result)


def _soa(zone: dns.name.Name, known: Known) -> dns.rrset.RRset:
    serial = (known.names.changes + 1) % (1 << 32)
    text = f"{known.zone} hostmaster.{known.zone} {serial} {TTL} {TTL} {TTL} {TTL}"
    return dns.rrset.from_rdata(zone, TTL, _soa_of(text))


@lru_cache(maxsize=256)
def _soa_of(text: str) -> dns.rdata.Rdata:
    """Reading it takes a third of an answer's time, and it is the same until a name comes or goes."""
    return dns.rdata.from_text("IN", "SOA", text)
