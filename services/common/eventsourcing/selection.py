"""What a list shows of the resources that there are, in which order, and which part of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Generic, NamedTuple, TypeVar

R = TypeVar("R")


class Order(Enum):
    """What a list goes by: a column of the read table. The other side sees changes that the owner does not."""

    CREATED = "created_position"
    UPDATED = "updated"
    COUNTERPART_UPDATED = "counterpart_updated"


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose resources, and what they are a part of; None is any."""

    project: str | None = None
    parent: str | None = None
    counterpart: str | None = None
    partition: str | None = None


EVERYWHERE = Scope()


@dataclass(frozen=True, slots=True)
class TagMatch:
    """A tag with this key and one of these values; any, where there is none. '*' before one: it has the rest in it."""

    key: str
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TagFilter:
    """All of these, one of these, not all of these, none of these; or no tag at all."""

    all: tuple[TagMatch, ...] = ()
    any: tuple[TagMatch, ...] = ()
    not_all: tuple[TagMatch, ...] = ()
    not_any: tuple[TagMatch, ...] = ()
    untagged: bool = False


EVERY_TAG = TagFilter()


@dataclass(frozen=True, slots=True)
class Selection:
    """Those in one of these states, of these ids, with this in their name; what is empty, 0 or None asks for nothing.

    What a text is to have in it is looked for whatever the case.
    """

    states: tuple[str, ...] = ()
    name_contains: str = ""
    newest_first: bool = False
    ids: tuple[str, ...] = ()
    name: str | None = None
    full_name_contains: str = ""
    vpc: str = ""
    type: str = ""
    number: int = 0
    tags: TagFilter = EVERY_TAG
    order: Order = Order.CREATED

    def texts(self) -> Iterator[str]:
        """All that a database is asked for by this."""
        yield from (*self.states, *self.ids, self.name_contains, self.name or "", self.full_name_contains, self.vpc)
        yield self.type
        for match in (*self.tags.all, *self.tags.any, *self.tags.not_all, *self.tags.not_any):
            yield from (match.key, *match.values)


ALL = Selection()


class Cursor(NamedTuple):
    """A place in a list: behind what has this value in the list's order, and was created at this position."""

    value: int
    created: int


@dataclass(frozen=True, slots=True)
class Window:
    """Up to `limit` of a list behind a place of it (None: from its beginning), less the first `skip`.

    `counted`: how many there are in all is asked for too.
    """

    limit: int
    after: Cursor | None = None
    skip: int = 0
    counted: bool = False


@dataclass(frozen=True, slots=True)
class Found(Generic[R]):
    """A part of a list, each with its place, and how many the whole list has (0 where that was not asked for)."""

    rows: Sequence[tuple[Cursor, R]]
    total: int = 0

    @property
    def items(self) -> list[R]:
        return [item for _, item in self.rows]
