"""Lists: how clients ask for a part of one and in which order, and how the services are asked for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from services.http_api.upstream import Acting
from services.http_api.vpcep.models import Body, Limit, Offset, Optionally
from sidegate.api.registry.v1.listing_pb2 import LIST_ORDER_UPDATE_TIME

PAGE = 500

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


NOTHING = Part((), 0)


async def part(caller: Acting, method: Any, request: Any, field: str, query: ListQuery) -> Part:  # noqa: ANN401 # any list
    """The part of the request's list, newest first unless it is said otherwise."""
    request.page_size, request.skip, request.want_total = query.limit or 1, query.offset, True
    request.newest_first = query.sort_dir != "asc"
    if query.sort_key == "update_at":
        request.order = LIST_ORDER_UPDATE_TIME
    page = await caller.ask(method, request)
    return Part(getattr(page, field)[: query.limit], page.total_size)


async def everything(caller: Acting, method: Any, request: Any, field: str) -> list[Any]:  # noqa: ANN401 # any list
    """All that the caller has of it, page after page."""
    request.page_size = PAGE
    return [each async for page in caller.pages(method, request) for each in getattr(page, field)]


def contains(text: str, wanted: str) -> bool:
    return wanted.lower() in text.lower()
