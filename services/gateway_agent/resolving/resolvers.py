"""Keeps a DNS server running for each resolver that is wanted."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

import structlog

from services.gateway_agent.dataplane.port import NotReady
from services.gateway_agent.resolving.book import Book
from services.gateway_agent.resolving.forwarding import Outcome
from services.gateway_agent.resolving.questions import Result
from services.gateway_agent.resolving.server import Counts, OfAll, Server, Sockets
from services.gateway_agent.table import Resolver

REST_SECONDS = 1.0
"""Between looks whether all is as it should be; what failed is tried again then, and at every change."""

OpenSockets = Callable[[Resolver], Sockets]
"""Opens sockets where the resolver's clients arrive. Blocks; raises NotReady."""

log = structlog.get_logger(__name__)


def nowhere(_resolver: Resolver) -> Sockets:
    """Of a data plane that has no place for resolvers."""
    raise NotReady("this gateway has no annexes")


@dataclass(frozen=True, slots=True)
class ResolverFigures:
    """How many resolvers are answered for, how many not, how many names are answered, and what became of questions."""

    serving: int = 0
    waiting: int = 0
    names: int = 0
    results: Mapping[Result, int] = field(default_factory=dict)
    outcomes: Mapping[Outcome, int] = field(default_factory=dict)


class Resolvers:
    """Of the VPCs that are to have one."""

    def __init__(self, book: Book, open_sockets: OpenSockets = nowhere) -> None:
        self.counts = Counts()
        self._book, self._open_sockets = book, open_sockets
        self._wanted: dict[str, Resolver] = {}
        self._servers: dict[str, Server] = {}
        self._difficulties: dict[str, str] = {}
        self._of_all = OfAll()
        self._wake = asyncio.Event()

    def want(self, vpc: str, resolver: Resolver | None) -> None:
        """The resolver of a VPC should be so; None is none."""
        if resolver is not None:
            self._wanted[vpc] = resolver
        elif self._wanted.pop(vpc, None) is not None:
            self._book.forget(vpc)
        self.nudge()

    def nudge(self) -> None:
        """Resolvers, or what they need, may be others now."""
        self._wake.set()

    def serving(self) -> list[Resolver]:
        """Those that are answered for."""
        return [server.resolver for server in self._servers.values()]

    def difficulties(self) -> Mapping[str, str]:
        """By VPC, why its resolver is not answered for."""
        return self._difficulties

    def waiting(self) -> list[tuple[Resolver, str]]:
        """Those that should be answered for, and why they are not."""
        missing = ((vpc, each) for vpc, each in self._wanted.items() if vpc not in self._servers)
        return [(each, self._difficulties.get(vpc, "it has not begun yet")) for vpc, each in missing]

    def answers(self, endpoint: str) -> tuple[str, ...]:
        """The names that are answered with an endpoint's address now."""
        return self._book.answered_of(endpoint)

    def figures(self) -> ResolverFigures:
        counts = self.counts
        return ResolverFigures(
            len(self._servers), len(self.waiting()), self._book.answered(), counts.results, counts.outcomes
        )

    async def run(self) -> None:
        """Until cancelled."""
        try:
            while True:
                self._wake.clear()
                await self._turn()
                with suppress(TimeoutError):
                    async with asyncio.timeout(REST_SECONDS):
                        await self._wake.wait()
        finally:
            for vpc in tuple(self._servers):
                await self._close(vpc)
            self._of_all.effort.close()

    async def _turn(self) -> None:
        for vpc, server in tuple(self._servers.items()):
            wanted = self._wanted.get(vpc)
            if wanted is None or wanted.address.version != server.resolver.address.version or server.sockets.stale():
                await self._close(vpc)
            else:
                server.resolver = wanted
        for vpc in self._difficulties.keys() - self._wanted.keys():
            del self._difficulties[vpc]
        for vpc, wanted in tuple(self._wanted.items()):
            if vpc not in self._servers:
                await self._start(wanted)

    async def _start(self, resolver: Resolver) -> None:
        try:
            server = await self._open(resolver)
        except (NotReady, OSError) as error:
            if self._difficulties.get(resolver.vpc) is None:  # said once, not at every attempt
                log.warning("cannot answer for a resolver yet, trying again", vpc=resolver.vpc, why=str(error))
            self._difficulties[resolver.vpc] = str(error)
            return
        self._servers[resolver.vpc] = server
        self._difficulties.pop(resolver.vpc, None)
        log.info("answering for a resolver", vpc=resolver.vpc, address=str(resolver.address))

    async def _open(self, resolver: Resolver) -> Server:
        sockets = await asyncio.to_thread(self._open_sockets, resolver)
        server = Server(resolver, sockets, self._book, self.counts, self._of_all)
        try:
            await server.open()
        except BaseException:
            await server.close()
            raise
        return server

    async def _close(self, vpc: str) -> None:
        await self._servers.pop(vpc).close()
        log.info("not answering for a resolver any more", vpc=vpc)
