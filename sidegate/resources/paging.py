"""A page of a list: as many things as were asked for, and how many there are on all pages."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

SIZE = 50
"""How many a page has where nothing is said."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """`total` counts all that match, which costs as much as there are."""

    items: Sequence[T]
    total: int
