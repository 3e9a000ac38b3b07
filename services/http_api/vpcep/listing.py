"""Lists: how clients ask for a part of one, in which order, and how it is cut out."""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Annotated, Any, Literal, Protocol, TypeVar

from google.protobuf.timestamp_pb2 import Timestamp
from pydantic import Field

from services.http_api.upstream import Acting
from services.http_api.vpcep.models import Body, Limit, Offset, Optionally

PAGE = 500


class Timed(Protocol):
    """A resource that says when it was made and changed."""

    @property
    def create_time(self) -> Timestamp: ...
    @property
    def update_time(self) -> Timestamp: ...


T = TypeVar("T", bound=Timed)

SortKey = Annotated[Literal["create_at", "update_at"] | None, Optionally]
SortDir = Annotated[Literal["asc", "desc"] | None, Optionally]


class ListQuery(Body):
    """What every list takes."""

    limit: Limit = 10
    offset: Offset = 0
    sort_key: SortKey = None
    sort_dir: SortDir = None
    public_border_group: Annotated[str, Field(max_length=64)] = ""


@dataclass(frozen=True, slots=True)
class Part:
    """What is asked for of a list, and how many there are in all."""

    items: Sequence[Any]
    total: int


def part(found: Sequence[T], query: ListQuery) -> Part:
    """In the order that is asked for; what is as old as another keeps its place."""
    by = attrgetter("update_time.seconds", "update_time.nanos")
    # They come in order of creation.
    ordered = sorted(found, key=by) if query.sort_key == "update_at" else list(found)
    if query.sort_dir != "asc":
        ordered.reverse()
    return Part(ordered[query.offset : query.offset + query.limit], len(ordered))


async def everything(caller: Acting, method: Any, request: Any, field: str) -> list[Any]:  # noqa: ANN401 # any list
    """All that the caller has, page after page, in order of creation."""
    request.page_size = PAGE
    return [each async for page in caller.pages(method, request) for each in getattr(page, field)]


def contains(text: str, wanted: str) -> bool:
    return wanted.lower() in text.lower()
