"""Which backend takes a new session: a lookup table by Maglev hashing (Eisenbud and others, NSDI 2016, 3.4), weighted.

Every backend prefers the slots of the table in an order of its own, which its address alone decides, and takes the
first that is free whenever its turn comes; the k-th turn comes at (k + 1/2) / weight. When one backend goes, the turns
of the others keep their order, and so nearly all slots keep their backend. The table is the same on every gateway.
"""

from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple

from services.gateway_agent.table import Address, Backend

SLOTS = 4027
"""A prime, so that every step goes through all slots. With what the kernel adds, an element takes 4 KB and no more."""

FREE = 0xFF
"""In the place of a backend's number, of which there are at most 64, while a table is filled."""

REMEMBERED = 64


class _Preference(NamedTuple):
    """Slots in the order start, start + step, start + 2 * step, and so on, round the table."""

    start: int
    step: int


def in_order(backends: Sequence[Backend]) -> tuple[Backend, ...]:
    """The backends in the order in which a table numbers them, whatever order they are listed in."""
    return tuple(sorted(backends, key=lambda backend: backend.address))


@lru_cache(REMEMBERED)
def shares(backends: tuple[Backend, ...]) -> bytes:
    """For each slot the number of a backend of `in_order`; at least one, at most 64."""
    table = bytearray([FREE]) * SLOTS
    preferences = [_preference(backend.address) for backend in backends]
    at, steps = [each.start for each in preferences], [each.step for each in preferences]
    for number in _turns(backends):
        slot, step = at[number], steps[number]
        while table[slot] != FREE:
            slot = (slot + step) % SLOTS
        table[slot] = number
        at[number] = slot
    return bytes(table)


def fits(table: bytes, backends: Sequence[Backend]) -> bool:
    """Whether each of the backends of `in_order` has as many slots of the table as its weight says."""
    return len(table) == SLOTS and all(
        table.count(number) == slots for number, slots in enumerate(slots_of([each.weight for each in backends]))
    )


def slots_of(weights: Sequence[int]) -> list[int]:
    """How many slots each weight has: its exact share rounded down or up, by the largest remainder, and at least one.

    Only where a share is less than one slot does that one come out of the largest others, and they miss one more.
    """
    total = sum(weights)
    exact = [divmod(SLOTS * weight, total) for weight in weights]
    slots = [max(whole, 1) for whole, _ in exact]
    spare = SLOTS - sum(slots)
    remainders = [remainder if whole else -1 for whole, remainder in exact]
    claims = _largest_first(remainders) if spare >= 0 else _largest_first(slots)
    for number in claims[: abs(spare)]:
        slots[number] += 1 if spare >= 0 else -1
    return slots


def _turns(backends: Sequence[Backend]) -> list[int]:
    """The numbers of backends in the order in which they take slots; those of one moment by their own order."""
    slots = slots_of([backend.weight for backend in backends])
    turns = [
        ((turn + 0.5) / backend.weight, number)
        for number, backend in enumerate(backends)
        for turn in range(slots[number])
    ]
    return [number for _, number in sorted(turns)]


def _preference(address: Address) -> _Preference:
    words = blake2b(address.packed, digest_size=16).digest()
    start, step = int.from_bytes(words[:8], "big"), int.from_bytes(words[8:], "big")
    return _Preference(start % SLOTS, 1 + step % (SLOTS - 1))


def _largest_first(sizes: Sequence[int]) -> list[int]:
    return sorted(range(len(sizes)), key=lambda number: -sizes[number])
