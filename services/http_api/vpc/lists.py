"""Lists of the VPC API: a page begins behind the object that `marker` names."""

from collections.abc import Sequence
from typing import Annotated, Protocol, TypeVar

from fastapi import Query

from services.http_api.errors import Refused
from services.http_api.vpc.refusals import WRONG

MOST = 2000

Limit = Annotated[int, Query(ge=0, le=MOST, description="How many at most")]
Marker = Annotated[str, Query(max_length=64, description="The id of the last object of the page before")]
Wanted = Annotated[str, Query(max_length=255)]


class Named(Protocol):
    @property
    def id(self) -> str: ...


T = TypeVar("T", bound=Named)


def page(found: Sequence[T], limit: int, marker: str) -> Sequence[T]:
    """Raises Refused for a marker that names nothing in the list."""
    start = 0
    if marker:
        start = next((index for index, each in enumerate(found, 1) if each.id == marker), 0)
        if not start:
            raise Refused(WRONG, f"marker {marker} names nothing in this list: give the id of its last object.")
    return found[start : start + limit]
