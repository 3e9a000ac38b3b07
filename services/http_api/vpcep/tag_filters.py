"""Which resources a search by tags finds. Pure."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from services.http_api.vpcep.models import Body
from sidegate.api.registry.v1.listing_pb2 import TagFilter as TagFilterMessage
from sidegate.api.registry.v1.listing_pb2 import TagMatch

MOST_KEYS, MOST_VALUES = 10, 10


class TagFilter(Body):
    """Resources that have the key with one of the values; with any, where there is none."""

    key: Annotated[str, Field(min_length=1, max_length=128)]
    values: Annotated[list[Annotated[str, Field(max_length=255)]], Field(max_length=MOST_VALUES)]


class Match(Body):
    key: Annotated[str, Field(max_length=128)]
    value: Annotated[str, Field(max_length=255)]


Filters = Annotated[list[TagFilter], Field(max_length=MOST_KEYS)]


class Search(Body):
    """All of it must hold."""

    tags: Filters | None = None
    tags_any: Filters | None = None
    not_tags: Filters | None = None
    not_tags_any: Filters | None = None
    sys_tags: Filters | None = None
    without_any_tag: bool | None = None
    matches: Annotated[list[Match], Field(max_length=MOST_KEYS)] | None = None


def tag_filter(search: Search) -> TagFilterMessage:
    return TagFilterMessage(
        all=_messages(search.tags),
        any=_messages(search.tags_any),
        not_all=_messages(search.not_tags),
        not_any=_messages(search.not_tags_any),
        untagged=search.without_any_tag or False,
    )


def is_named(search: Search, name: str) -> bool:
    """Whether the name has all texts in it that are looked for, whatever the case; an empty one is an empty name."""
    return all(_matches(match, name) for match in search.matches or ())


def _matches(match: Match, name: str) -> bool:
    if match.key != "resource_name":
        return False
    return match.value.lower() in name.lower() if match.value else not name


def _messages(filters: Sequence[TagFilter] | None) -> Sequence[TagMatch]:
    return [TagMatch(key=each.key, values=each.values) for each in filters or ()]
