"""A page of a list: as many things as were asked for, and how many there are on all pages."""

from collections.abc import Sequence
from typing import Generic, NamedTuple, TypeVar

SIZE = 50
"""How many a page has where nothing is said."""

T = TypeVar("T")


class Page(NamedTuple, Generic[T]):
    """`total` counts all that match, which costs as much as there are."""

    items: Sequence[T]
    total: int
