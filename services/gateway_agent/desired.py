"""What this gateway should forward: a fold of versioned news, whatever order they come in. Pure."""

import heapq
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from services.gateway_agent.table import Endpoint, Entry, ForwardingTable, Key, Kind, Resolver


@dataclass(frozen=True, slots=True)
class Withheld:
    """It should be forwarded, and this gateway has not been told all that it takes."""

    reason: str


@dataclass(frozen=True, slots=True)
class Removed:
    """Nothing may pass. Remembered, so that late news cannot bring it back."""


REMOVED = Removed()

REMEMBERED = 100_000
"""How many tombstones are kept beside those of the last snapshot; endpoints come and go for ever."""

Content = Withheld | Entry | Resolver | Removed


@dataclass(frozen=True, slots=True)
class Versioned:
    """What a key is as of a version of it; `lease` is this gateway's source address, which may come within one.

    `names` are those of an endpoint in its VPC's DNS: the kernel knows of none, so they are no part of the entry.
    """

    key: Key
    version: int
    content: Content
    lease: str = ""
    names: tuple[str, ...] = ()

    def supersedes(self, known: "Versioned | None") -> bool:
        """Newer news win. A version is told twice with other words only when a lease has come in between."""
        return known is None or (self.version, _finality(self.content)) > (known.version, _finality(known.content))


def _finality(content: Content) -> int:
    match content:
        case Withheld():
            return 0
        case Removed():
            return 2
        case _:
            return 1


class Desired:
    """Keeps the newest version of every key, tombstones included; a key whose needs are not there is held back.

    `position` is the log's that everything up to has been heard of. `synced` is whether that is the whole table:
    before, what is not here may only be unheard of.
    """

    def __init__(self) -> None:
        self._known: dict[Key, Versioned] = {}
        self._users: dict[Key, set[Key]] = {}
        self._changed: dict[Key, None] = {}
        self._buried: OrderedDict[Key, None] = OrderedDict()
        self._drains: list[tuple[int, Key, int]] = []
        self._drained: dict[Key, int] = {}
        self.position = 0
        self.synced = False

    def hear(self, news: Versioned) -> bool:
        """Takes news in; says whether they were new."""
        heard = self._learn(news)
        if heard:
            self._bury(news)
        return heard

    def replace(self, news: Iterable[Versioned], position: int) -> None:
        """Starts again from the whole table at a position: what it does not name is not."""
        before, self._known, self._users = self._known, {}, {}
        self._buried.clear()
        for each in news:
            self._learn(each)
        self._drained = {key: version for key, version in self._drained.items() if key in self._known}
        self._changed.update(dict.fromkeys(chain(before, self._known)))
        self.position, self.synced = position, True

    def known(self, key: Key) -> Versioned | None:
        return self._known.get(key)

    def wanted(self, key: Key) -> Entry | None:
        """The entry, if it and all that it needs should be forwarded."""
        news = self._known.get(key)
        if news is None or isinstance(news.content, Withheld | Removed | Resolver) or self._is_drained(news):
            return None
        entry = news.content
        return entry if all(self.wanted(need) is not None for need in entry.needs) else None

    def resolver(self, vpc: str) -> Resolver | None:
        """The resolver of a VPC that is reached."""
        news = self._known.get(Key(Kind.RESOLVER, vpc))
        if news is None or not isinstance(news.content, Resolver):
            return None
        return news.content if all(self.wanted(need) is not None for need in news.content.needs) else None

    def resolvers(self) -> Iterator[Resolver]:
        keys = (key for key in self._known if key.kind is Kind.RESOLVER)
        return (found for key in keys if (found := self.resolver(key.id)) is not None)

    def names(self, key: Key) -> tuple[str, ...]:
        """What an endpoint is to be called in its VPC's DNS."""
        return news.names if (news := self._known.get(key)) is not None else ()

    def is_removed(self, key: Key) -> bool:
        """Whether it was heard of, and nothing may pass."""
        news = self._known.get(key)
        return news is not None and (news.content == REMOVED or self._is_drained(news))

    def end_drains(self, now: int) -> None:
        """Endpoints that were draining until `now` (nanoseconds since the epoch) are wanted no more, whatever the clock
        says later; that the control plane says so too is another version."""
        while self._drains and self._drains[0][0] <= now:
            _, key, version = heapq.heappop(self._drains)
            if (news := self._known.get(key)) is not None and news.version == version:
                self._drained[key] = version
                self._changed[key] = None

    def users(self, key: Key) -> Iterator[Key]:
        """The keys whose entries need this one, directly or by what they need."""
        for user in self._users.get(key, ()):
            yield user
            yield from self.users(user)

    def endpoints(self) -> Iterator[Key]:
        """The endpoints that were heard of, tombstones included."""
        return (key for key in self._known if key.kind is Kind.ENDPOINT)

    def table(self) -> ForwardingTable:
        return ForwardingTable.of(entry for key in self._known if (entry := self.wanted(key)) is not None)

    def take_changed(self) -> tuple[Key, ...]:
        """The keys of which a version or the need to be forwarded has changed since the last call."""
        changed, self._changed = tuple(self._changed), {}
        return changed

    def versions(self) -> Iterator[tuple[Kind, str, int, str]]:
        """Kind, id, version and lease of each key that is not removed: equal tables have equal ones."""
        return ((*key, news.version, news.lease) for key, news in self._known.items() if news.content != REMOVED)

    def _learn(self, news: Versioned) -> bool:
        key, before = news.key, self._known.get(news.key)
        if not news.supersedes(before):
            return False
        was_wanted = self.wanted(key) is not None
        if before is not None:
            self._unlink(before)
        self._known[key] = news
        if self._drained.get(key, news.version) != news.version:
            del self._drained[key]
        if isinstance(news.content, Endpoint) and news.content.draining_until:
            heapq.heappush(self._drains, (news.content.draining_until, key, news.version))
        self._link(news)
        self._changed[key] = None
        if was_wanted != (self.wanted(key) is not None):
            self._changed.update(dict.fromkeys(self.users(key)))
        return True

    def _is_drained(self, news: Versioned) -> bool:
        return self._drained.get(news.key) == news.version

    def _bury(self, news: Versioned) -> None:
        self._buried.pop(news.key, None)
        if news.content == REMOVED:
            self._buried[news.key] = None
        if len(self._buried) > REMEMBERED:
            oldest, _ = self._buried.popitem(last=False)
            del self._known[oldest]
            self._drained.pop(oldest, None)

    def _link(self, news: Versioned) -> None:
        for need in _needs(news):
            self._users.setdefault(need, set()).add(news.key)

    def _unlink(self, news: Versioned) -> None:
        for need in _needs(news):
            self._users[need].discard(news.key)
            if not self._users[need]:
                del self._users[need]


def _needs(news: Versioned) -> frozenset[Key]:
    return frozenset() if isinstance(news.content, Withheld | Removed) else news.content.needs
