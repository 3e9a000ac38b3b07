"""Removing sessions that are over: idle, closed, or cut with their endpoint."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import astuple

from services.gateway_agent.dataplane.libbpf import Map, Words
from services.gateway_agent.dataplane.maps import PROTOCOLS, SESSION, Direction, SessionValue
from services.gateway_agent.table import Protocol, Timeouts


def timeout_of(timeouts: Timeouts, protocol: Protocol, two_way: bool, closed: bool) -> int:
    if protocol is Protocol.UDP:
        return timeouts.udp_two_way if two_way else timeouts.udp_one_way
    if closed:
        return timeouts.tcp_closed
    return timeouts.tcp_established if two_way else timeouts.tcp_half_open


def shortest(timeouts: Timeouts) -> int:
    seconds: tuple[int, ...] = astuple(timeouts)
    return min(seconds)


def _nobody(_entries: int) -> None:
    """Is told how many entries there are, and does not care."""


def collect(sessions: Map, slots: Words, timeouts: Timeouts, now: int, seen: Callable[[int], None] = _nobody) -> int:
    """Removes what is over at `now` (seconds of CLOCK_MONOTONIC), batch by batch; answers how many sessions.

    `seen` is told how many entries there were before; a session has two.
    """
    removed, entries = 0, 0
    for batch in sessions.batches():
        entries += len(batch)
        for entry in _candidates(batch, slots, now - shortest(timeouts)):
            removed += _remove_if_over(sessions, slots, entry, timeouts, now)
    seen(entries)
    return removed


def _candidates(batch: Iterable[tuple[bytes, bytes]], slots: Words, before: int) -> Iterator[SessionValue]:
    for _, value in batch:
        entry = SessionValue._make(SESSION.unpack(value))
        if entry.last_seen <= before or _is_cut(entry, slots):
            yield entry


def _is_cut(entry: SessionValue, slots: Words) -> bool:
    return slots[entry.slot].low != entry.epoch


def _remove_if_over(sessions: Map, slots: Words, entry: SessionValue, timeouts: Timeouts, now: int) -> bool:
    """A pair is judged once, at its consumer's entry; the provider's is removed alone only if it is an orphan."""
    other = _read(sessions, entry.other)
    if other is None:
        return _delete(sessions, entry)
    if entry.direction != Direction.FROM_CONSUMER:
        return False
    if not _is_cut(entry, slots) and now - max(entry.last_seen, other.last_seen) < _timeout(entry, other, timeouts):
        return False
    return _delete(sessions, entry) and _delete(sessions, other)


def _timeout(consumer: SessionValue, provider: SessionValue, timeouts: Timeouts) -> int:
    two_way = bool(consumer.confirmed and provider.confirmed)
    closed = bool(consumer.reset or provider.reset or (consumer.finished and provider.finished))
    return timeout_of(timeouts, PROTOCOLS[consumer.protocol], two_way, closed)


def _read(sessions: Map, key: bytes) -> SessionValue | None:
    value = sessions.get(key)
    return SessionValue._make(SESSION.unpack(value)) if value else None


def _delete(sessions: Map, judged: SessionValue) -> bool:
    """Only if no packet has come since it was judged, and no new session has taken its place."""
    return _read(sessions, judged.key) == judged and sessions.delete(judged.key)
