"""Pages of lists: what a request asks for, and tokens that say where its list goes on, bound to that list."""

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from google.protobuf.message import Message

from services.common.errors import Invalid
from services.common.eventsourcing.selection import Cursor, Found, Window
from services.common.rpc.auth import principal

DEFAULT_PAGE = 100
LARGEST = 2**63
PAGING = ("page_size", "page_token", "skip", "want_total")
"""The fields of a request that say which part of its list is wanted, and not which list."""

R = TypeVar("R")
Step = int | str


class PageRequest(Protocol):
    @property
    def page_size(self) -> int: ...
    @property
    def page_token(self) -> str: ...


class ListRequest(Protocol):
    @property
    def page_size(self) -> int: ...
    @property
    def page_token(self) -> str: ...
    @property
    def skip(self) -> int: ...
    @property
    def want_total(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Asked:
    """A page that is asked for. One more than its size is read, to see whether another follows."""

    query: str
    size: int
    window: Window

    def cut(self, found: Found[R]) -> tuple[list[R], str]:
        """What the page shows, and the token of the next."""
        token = encode(found.rows[self.size - 1][0], self.query) if len(found.rows) > self.size else ""
        return found.items[: self.size], token


def asked(request: ListRequest) -> Asked:
    """Raises Invalid for a token of another list."""
    query, size = query_of(request), page_size(request.page_size)
    place = decode(request.page_token, query, (0, 0))
    after = Cursor(int(place[0]), int(place[1])) if place else None
    return Asked(query, size, Window(size + 1, after, request.skip, request.want_total))


@dataclass(frozen=True, slots=True)
class AskedTags:
    """A page of keys and values that is asked for."""

    query: str
    size: int
    after: tuple[str, str]

    def cut(self, found: Sequence[tuple[str, str]]) -> tuple[Sequence[tuple[str, str]], str]:
        """What the page shows, and the token of the next."""
        token = encode(found[self.size - 1], self.query) if len(found) > self.size else ""
        return found[: self.size], token


def asked_of_tags(request: PageRequest) -> AskedTags:
    """Raises Invalid for a token of another list."""
    query = query_of(request)
    place = decode(request.page_token, query, ("", ""))
    after = (str(place[0]), str(place[1])) if place else ("", "")
    return AskedTags(query, page_size(request.page_size), after)


@dataclass(frozen=True, slots=True)
class AskedById:
    """A page of what is in order of its ids."""

    query: str
    size: int
    after: str

    def cut(self, found: Sequence[R], id_of: Callable[[R], str]) -> tuple[Sequence[R], str]:
        """What the page shows, and the token of the next."""
        token = encode((id_of(found[self.size - 1]),), self.query) if len(found) > self.size else ""
        return found[: self.size], token


def asked_by_id(request: PageRequest) -> AskedById:
    """Raises Invalid for a token of another list."""
    query = query_of(request)
    place = decode(request.page_token, query, ("",))
    return AskedById(query, page_size(request.page_size), str(place[0]) if place else "")


def page_size(request_size: int) -> int:
    return request_size or DEFAULT_PAGE


def query_of(request: object) -> str:
    """What a list asks for, by whom: everything of the request but the page."""
    if not isinstance(request, Message):
        raise TypeError("a list is asked for by a message")
    copy = type(request)()
    copy.CopyFrom(request)
    for field in PAGING:
        if field in copy.DESCRIPTOR.fields_by_name:
            copy.ClearField(field)
    digest = hashlib.sha256(f"{request.DESCRIPTOR.full_name} {principal()} ".encode())
    digest.update(copy.SerializeToString(deterministic=True))
    return digest.hexdigest()[:16]


def encode(place: Sequence[Step], query: str) -> str:
    """The token for the rows behind a place."""
    return base64.urlsafe_b64encode(json.dumps([*place, query], ensure_ascii=False).encode()).decode()


def decode(token: str, query: str, like: Sequence[Step]) -> tuple[Step, ...]:
    """Where the list goes on: a place that looks `like` this one; empty for an empty token.

    Raises Invalid for a token of another list.
    """
    if not token:
        return ()
    try:
        said = json.loads(base64.urlsafe_b64decode(token))
        place, of_query = tuple(said[:-1]), said[-1]
    except (binascii.Error, ValueError, TypeError, LookupError):
        place, of_query = (), None
    if of_query != query or len(place) != len(like) or not all(map(_alike, place, like)):
        text = "this page_token is not of this list: begin without one"
        raise Invalid("PAGE_TOKEN_INVALID", text, field="page_token")
    return place


def _alike(step: object, like: Step) -> bool:
    if isinstance(like, str):
        return isinstance(step, str)
    return type(step) is int and 0 <= step < LARGEST
