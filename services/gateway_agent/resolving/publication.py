"""Which names are answered: those of endpoints that pass packets now, until just before they pass none any more.

A name comes when the data plane has the endpoint's entry as wanted, and nothing hinders it; it goes before the change
that takes the endpoint out, or lets no session open, is made. While something is under way, it stays as it is.
"""

from collections.abc import Iterable
from typing import Protocol

from services.gateway_agent.annexes import inner_id
from services.gateway_agent.desired import Desired
from services.gateway_agent.facts import Facts, Presence
from services.gateway_agent.resolving.book import Book, Listing
from services.gateway_agent.table import Address, Change, Endpoint, Key, Kind, Put, Remove, Resolver, Service
from services.gateway_agent.tracker import Tracker

NOBODY = ("255.255.255.255/32", "ff02::1/128")
"""The whitelists that let nobody in, as the control plane says it."""


class Answering(Protocol):
    """Who answers for resolvers."""

    def want(self, vpc: str, resolver: Resolver | None) -> None:
        """The resolver of a VPC should be so; None is none."""

    def nudge(self) -> None:
        """What failed before may be possible now."""


class Publication:
    """Keeps the book, and tells those who answer which resolvers there should be."""

    def __init__(self, desired: Desired, tracker: Tracker, facts: Facts, book: Book, answering: Answering) -> None:
        self._desired, self._tracker, self._facts, self._book = desired, tracker, facts, book
        self._answering = answering
        self._inner: dict[str, str] = {}  # what a proxy connects to, and whose it is

    def heard(self, key: Key) -> None:
        """Other news of a key: what will be taken out for it is not answered from now on, whatever goes first of it."""
        if key.kind is Kind.ENDPOINT and self._book.of(key.id) is not None and self._leaves(key):
            self._book.hush(key.id)

    def before(self, change: Change) -> None:
        """Takes back what the change would make untrue."""
        match change:
            case Remove(key) if key.kind is Kind.ENDPOINT:
                self._book.hush(self._inner.get(key.id, key.id))
            case Put(Endpoint(id=endpoint) as entry) if not _opens_sessions(entry):
                self._book.hush(endpoint)
            case Put(Service() as service) if all(backend.draining for backend in service.backends):
                for user in self._desired.users(service.key):
                    self._book.hush(user.id)
            case _:
                pass

    def review(self, keys: Iterable[Key]) -> None:
        """These may be others now."""
        for key in keys:
            match key.kind:
                case Kind.ENDPOINT:
                    self._list(key)
                case Kind.RESOLVER:
                    self._answering.want(key.id, self._desired.resolver(key.id))
                case Kind.ATTACHMENT:
                    self._answering.nudge()
                case Kind.SERVICE:
                    pass

    def tried(self, *, all_of_it: bool) -> None:
        """Whether what is not in the book is not there."""
        self._book.settled = all_of_it

    def _list(self, key: Key) -> None:
        listing = self._listing(key)
        if listing is not None:
            self._inner[inner_id(key.id)] = key.id
        elif self._book.of(key.id) is not None:
            self._inner.pop(inner_id(key.id), None)
        self._book.put(key.id, listing)

    def _leaves(self, key: Key) -> bool:
        wanted, there = self._desired.wanted(key), self._tracker.entry(key)
        if not isinstance(wanted, Endpoint) or not _opens_sessions(wanted):
            return True
        return isinstance(there, Endpoint) and _way(wanted) != _way(there)

    def _listing(self, key: Key) -> Listing | None:
        news = self._desired.known(key)
        if news is None or not news.names or self._desired.is_removed(key):
            return None
        if not isinstance(news.content, Endpoint):
            known = self._book.of(key.id)
            return None if known is None else Listing(known.vpc, news.names, None)
        if news.content.draining_until or news.content.routes:
            return None  # it is to go, or has no address
        return Listing(news.content.vpc, news.names, self._address(key, news.content))

    def _address(self, key: Key, wanted: Endpoint) -> Address | None:
        fact = self._facts.of(key)
        if fact is None:
            return self._as_it_is(key)
        passes = fact.presence is Presence.FORWARDING and _opens_sessions(wanted)
        return wanted.address if passes else None

    def _as_it_is(self, key: Key) -> Address | None:
        """While a change is being made."""
        known, entry = self._book.of(key.id), self._tracker.entry(key)
        if known is None or not isinstance(entry, Endpoint) or entry.address != known.address:
            return None
        return known.address


def _way(entry: Endpoint) -> tuple[object, ...]:
    """What an endpoint cannot change and stay in the table."""
    return entry.vpc, entry.address, entry.service, entry.source_address, entry.marker


def _opens_sessions(entry: Endpoint) -> bool:
    return not entry.draining_until and any(str(network) not in NOBODY for network in entry.allowed)
