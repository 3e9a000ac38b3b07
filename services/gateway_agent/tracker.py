"""Desired against actual, key by key: the next changes, in an order of which every prefix is safe. Pure.

What goes leaves first, users before what they use; what comes is put after all that it needs. Meanwhile an endpoint
never shows a mix of old and new: one that would is taken out, or narrowed to the clients that both let in.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace

from services.gateway_agent.routes import both_allow
from services.gateway_agent.table import (
    Attachment,
    Change,
    Endpoint,
    Entry,
    ForwardingTable,
    Key,
    Kind,
    Put,
    Remove,
    Service,
)
from services.gateway_agent.targets import Vxlan

_ALTERABLE = ("admission", "allowed", "draining_until", "more_sources", "routes", "proxy")
"""Of an endpoint, what another value of cuts nothing, or only what it no longer lets in."""

_ORDER = {kind: place for place, kind in enumerate(Kind)}


class Tracker:
    """Every key that differs is in one of three places: open, failed (until `retry`), or blocked by another key."""

    def __init__(self) -> None:
        self._wanted: dict[Key, Entry] = {}
        self._actual: dict[Key, Entry] = {}
        self._users: dict[Key, dict[Key, None]] = {}
        self._open: dict[Key, None] = {}
        self._blocked: dict[Key, dict[Key, None]] = {}
        self._failed: dict[Key, str] = {}
        self.changes = 0  # of the actual table, that are known
        self.found: frozenset[Key] = frozenset()  # what was there before all of them

    def want(self, key: Key, entry: Entry | None) -> None:
        """Says what a key should be; None is nothing."""
        if entry is None:
            self._wanted.pop(key, None)
        else:
            self._wanted[key] = entry
        self._sort(key)

    def aim(self, table: ForwardingTable) -> None:
        """Says what everything should be."""
        for key in self._wanted.keys() - table.entries.keys():
            self.want(key, None)
        for key, entry in table.entries.items():
            self.want(key, entry)

    def resync(self, actual: ForwardingTable) -> frozenset[Key]:
        """Takes in the actual table, whole; gives the keys that are not as they were thought to be."""
        entries = dict(actual.entries)
        self.found = self.found if self.changes else frozenset(actual.entries)
        self.changes += 1
        surprising = {key for key in entries.keys() | self._actual.keys() if entries.get(key) != self._actual.get(key)}
        self._actual, self._users = entries, {}
        for entry in entries.values():
            self._link(entry)
        self._open, self._blocked, self._failed = {}, {}, {}
        for key in self._wanted.keys() | entries.keys():
            self._sort(key)
        return frozenset(surprising)

    def pending(self) -> Iterator[Change]:
        """The changes that can be made now, each to be answered by `applied` or `failed` before the next is asked for.

        Goes through the open keys once; call again while `ready`.
        """
        yield from self._removals()
        yield from self._restrictions()
        yield from self._puts()

    def applied(self, change: Change) -> None:
        key = change.key
        self.changes += 1
        if (before := self._actual.pop(key, None)) is not None:
            self._unlink(before)
        if isinstance(change, Put):
            self._actual[key] = change.entry
            self._link(change.entry)
        self._failed.pop(key, None)
        self._sort(key)
        self._wake(key)

    def failed(self, change: Change, reason: str) -> None:
        """The change could not be made; its key rests until `retry`, a change of mind or a resync."""
        self._open.pop(change.key, None)
        self._failed[change.key] = reason

    def retry(self, keys: Iterable[Key]) -> None:
        """Opens keys again: those that failed, and those that are as wanted and yet do not work."""
        for key in keys:
            self._failed.pop(key, None)
            if key in self._wanted or key in self._actual:
                self._open[key] = None

    @property
    def ready(self) -> bool:
        """Whether there are open keys."""
        return bool(self._open)

    @property
    def settled(self) -> bool:
        """Whether the actual table is the wanted one."""
        waiting = (key for keys in self._blocked.values() for key in keys)
        return not (self._open or self._failed) and all(map(self.is_settled, waiting))

    def is_settled(self, key: Key) -> bool:
        return self._actual.get(key) == self._wanted.get(key)

    def count(self) -> Mapping[Kind, int]:
        """How many entries of each kind the actual table has."""
        return Counter(key.kind for key in self._actual)

    def table(self) -> ForwardingTable:
        """The actual table as it is now."""
        return ForwardingTable(dict(self._actual))

    def failures(self) -> Collection[Key]:
        """The keys that could not be changed."""
        return self._failed.keys()

    def holds(self, key: Key) -> bool:
        """Whether anything of the key is in the actual table."""
        return key in self._actual

    def entry(self, key: Key) -> Entry | None:
        """What the actual table has of the key."""
        return self._actual.get(key)

    def wanted(self, key: Key) -> Entry | None:
        """What the key should be."""
        return self._wanted.get(key)

    def has(self, entry: Entry) -> bool:
        """Whether the actual table has the entry as it stands here."""
        return self._actual.get(entry.key) == entry

    def reason(self, key: Key) -> str | None:
        """Why the last change of the key could not be made."""
        return self._failed.get(key)

    def _removals(self) -> Iterator[Change]:
        for key in self._leaving():
            if user := next(iter(self._users.get(key, ())), None):
                self._block(key, user)
            else:
                yield Remove(key)

    def _leaving(self) -> list[Key]:
        leaving: dict[Key, None] = {}
        for key in tuple(self._open):
            if key not in self._actual or self._must_leave(key):
                self._gather(key, leaving)
        return sorted(leaving, key=lambda key: _ORDER[key.kind], reverse=True)

    def _must_leave(self, key: Key) -> bool:
        old, new = self._actual[key], self._wanted.get(key)
        if new is None or not _in_place(old, new):
            return True
        return self._unmet(new) is not None and _both_allow(old, new) is None

    def _gather(self, key: Key, leaving: dict[Key, None]) -> None:
        if key in leaving:
            return
        if key in self._actual:
            leaving[key] = None
        for user in self._users.get(key, ()):
            if not self._turns_away(user, key):
                self._gather(user, leaving)

    def _turns_away(self, user: Key, key: Key) -> bool:
        """Whether what uses the key will do without it, and stay: an endpoint that no longer needs a proxy."""
        new = self._wanted.get(user)
        return new is not None and key not in new.needs and _in_place(self._actual[user], new)

    def _restrictions(self) -> Iterator[Change]:
        for key in tuple(self._open):
            old, new = self._actual.get(key), self._wanted.get(key)
            if old is None or new is None or self._unmet(new) is None:
                continue
            if (narrowed := _both_allow(old, new)) not in (None, old):
                yield Put(narrowed)

    def _puts(self) -> Iterator[Change]:
        for key in sorted(self._open, key=lambda key: _ORDER[key.kind]):
            old, new = self._actual.get(key), self._wanted.get(key)
            if new is None or (old is not None and not _in_place(old, new)):
                continue
            if (blocker := self._unmet(new) or self._stuck_user(key)) is not None:
                self._block(key, blocker)
            else:
                yield Put(new)

    def _unmet(self, entry: Entry) -> Key | None:
        """What the entry needs and is not there as it should be."""
        return next((need for need in entry.needs if need not in self._actual or not self.is_settled(need)), None)

    def _stuck_user(self, key: Key) -> Key | None:
        """What uses the entry that is there, and should have been made ready for a new one but could not."""
        return next(iter(self._users.get(key, {}).keys() & self._failed.keys()), None)

    def _sort(self, key: Key) -> None:
        if not self.is_settled(key):
            self._open[key] = None
            return
        self._open.pop(key, None)
        self._failed.pop(key, None)
        self._wake(key)

    def _block(self, key: Key, by: Key) -> None:
        self._open.pop(key, None)
        self._blocked.setdefault(by, {})[key] = None

    def _wake(self, key: Key) -> None:
        for waiting in self._blocked.pop(key, ()):
            self._sort(waiting)

    def _link(self, entry: Entry) -> None:
        for need in entry.needs:
            self._users.setdefault(need, {})[entry.key] = None

    def _unlink(self, entry: Entry) -> None:
        for need in entry.needs:
            self._users[need].pop(entry.key)
            if not self._users[need]:
                del self._users[need]


def _in_place(old: Entry, new: Entry) -> bool:
    """Whether one change turns the old entry into the new one, with nothing of other entries going wrong meanwhile."""
    match old, new:
        case Endpoint(more_sources=had), Endpoint(more_sources=has):
            # An address that it has no more may be another's by now: sessions that have it are cut.
            return has[: len(had)] == had and replace(old, **{name: getattr(new, name) for name in _ALTERABLE}) == new
        case Service(), Service():
            return old.vpc == new.vpc
        case Attachment(target=Vxlan() as before), Attachment(target=Vxlan() as after):
            return replace(before, remotes=after.remotes) == after
        case _:
            return old == new


def _both_allow(old: Entry, new: Entry) -> Entry | None:
    """The endpoint for the clients and the routes that both the old and the new entry allow; None if that is not to be:
    its first route must begin with its address."""
    if not (isinstance(old, Endpoint) and isinstance(new, Endpoint) and old.admission == new.admission):
        return None
    pairs = ((one, other) for one in old.allowed for other in new.allowed if one.overlaps(other))
    allowed = tuple(sorted({max(pair, key=lambda network: network.prefixlen) for pair in pairs}))
    drains = [until for until in (old.draining_until, new.draining_until) if until]
    routes = both_allow(old.routes, new.routes)
    if not allowed or (bool(old.routes), bool(new.routes)) != (bool(routes),) * 2:
        return None
    if routes and routes[0].prefix.network_address != new.address:
        return None
    return replace(new, allowed=allowed, routes=routes, draining_until=min(drains, default=0), proxy=old.proxy)
