"""TXT records, looked up in the DNS: by dnspython, with the operator's name servers or the system's."""

import asyncio
from collections.abc import Sequence

import dns.asyncresolver
import dns.exception
import dns.nameserver
import dns.rcode
import dns.resolver

from services.common.name_servers import NameServer
from services.registry.domain.proof import Found, NoSuchName, Texts, Unanswered

PATIENCE_SECONDS = 5.0
AT_ONCE = 64


class TxtRecords:
    """`servers` are asked in order; without any, those of /etc/resolv.conf, as it is at the time."""

    def __init__(self, servers: Sequence[NameServer] = (), patience: float = PATIENCE_SECONDS) -> None:
        self._servers, self._patience = servers, patience
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def look_up(self, name: str) -> Found:
        """What the DNS says of a full name."""
        async with self._turns:
            try:
                answer = await self._resolver().resolve(
                    f"{name}.", "TXT", raise_on_no_answer=False, search=False, lifetime=self._patience
                )
            except dns.resolver.NXDOMAIN:
                return NoSuchName()
            except dns.resolver.LifetimeTimeout:
                return Unanswered(f"no name server answered within {self._patience:g} s")
            except dns.resolver.NoNameservers as error:
                return Unanswered(_answers(error))
            except (dns.exception.DNSException, OSError) as error:
                return Unanswered(f"it could not be asked for ({type(error).__name__})")
        records = answer.rrset or ()
        return Texts(tuple(b"".join(record.strings).decode(errors="replace") for record in records))

    def _resolver(self) -> dns.asyncresolver.Resolver:
        if not self._servers:
            return dns.asyncresolver.Resolver()
        resolver = dns.asyncresolver.Resolver(configure=False)
        resolver.nameservers = [dns.nameserver.Do53Nameserver(str(each.address), each.port) for each in self._servers]
        return resolver


def _answers(error: dns.resolver.NoNameservers) -> str:
    """What each name server answered that none could be relied on."""
    rcodes = [dns.rcode.to_text(said.rcode()) for *_, said in error.kwargs.get("errors", ()) if said is not None]
    if not rcodes:
        return "no name server could be reached"
    return f"name servers answered {', '.join(dict.fromkeys(rcodes))}"
