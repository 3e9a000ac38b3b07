"""Which resources a search by tags finds. Pure."""

from collections.abc import Mapping, Sequence
from fnmatch import translate
from re import IGNORECASE
from re import compile as compiled
from typing import Annotated

from pydantic import Field

from services.http_api.vpcep.models import Body

MOST_KEYS, MOST_VALUES = 10, 10


class TagFilter(Body):
    """Resources that have the key with one of the values; with any, where there is none."""

    key: Annotated[str, Field(max_length=128)]
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


def finds(search: Search, name: str, tags: Mapping[str, str]) -> bool:
    """Whether a resource of this name, with these tags, is one that is looked for."""
    if not all(_is_named(match, name) for match in search.matches or ()):
        return False
    if search.without_any_tag:
        return not tags
    wanted, any_of = search.tags or (), search.tags_any or ()
    unwanted, none_of = search.not_tags or (), search.not_tags_any or ()
    return (
        not search.sys_tags  # nothing here has tags of the platform's
        and all(_has(tags, each) for each in wanted)
        and (not any_of or any(_has(tags, each) for each in any_of))
        and not (unwanted and all(_has(tags, each) for each in unwanted))
        and not any(_has(tags, each) for each in none_of)
    )


def _is_named(match: Match, name: str) -> bool:
    """A name has the text in it, whatever the case; an empty text is an empty name."""
    if match.key != "resource_name":
        return False
    return match.value.lower() in name.lower() if match.value else not name


def _has(tags: Mapping[str, str], wanted: TagFilter) -> bool:
    if wanted.key not in tags:
        return False
    return not wanted.values or any(_is(tags[wanted.key], value) for value in wanted.values)


def _is(value: str, wanted: str) -> bool:
    """The same; one that begins with `*` is looked for anywhere."""
    if not wanted.startswith("*"):
        return value == wanted
    return compiled(translate(f"*{_plain(wanted[1:])}*"), IGNORECASE).fullmatch(value) is not None


def _plain(text: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in text)


def by_key(tags: Sequence[Mapping[str, str]]) -> Mapping[str, Sequence[str]]:
    """The values that each key has, of many resources' tags, in order of the alphabet."""
    found: dict[str, set[str]] = {}
    for each in tags:
        for key, value in each.items():
            found.setdefault(key, set()).add(value)
    return {key: sorted(values) for key, values in sorted(found.items())}
