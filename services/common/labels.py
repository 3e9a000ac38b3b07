"""What owners say of their resources: tags and descriptions, and the limits of both. Pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from services.common.errors import Invalid

MOST_TAGS = 20
LONGEST_DESCRIPTION = 128
OURS = "_sys_"
KEY = re.compile(r"(?! )[\w .:=+@-]{1,128}(?<! )")
VALUE = re.compile(r"((?! )[\w .:=+@/-]{1,255}(?<! ))?")
ALLOWED = "letters, digits, blanks inside, and _ . : = + - @"


@dataclass(frozen=True, slots=True)
class Tag:
    key: str
    value: str


def tags_of(pairs: Iterable[tuple[str, str]], field: str) -> tuple[Tag, ...]:
    """The tags that a caller gives, in his order. Raises Invalid for too many, a key twice, or characters beyond those
    that are allowed.
    """
    tags = tuple(Tag(key, value) for key, value in pairs)
    if len(tags) > MOST_TAGS:
        raise Invalid("TOO_MANY_TAGS", f"a resource has {MOST_TAGS} tags at most, not {len(tags)}", field=field)
    seen = set[str]()
    for index, tag in enumerate(tags):
        _check(tag, f"{field}[{index}]")
        if tag.key in seen:
            raise Invalid("TAG_REPEATED", f"the key '{tag.key}' is there already", field=f"{field}[{index}].key")
        seen.add(tag.key)
    return tags


def description_of(text: str, field: str) -> str:
    """The words that a caller gives. Raises Invalid for too many, and for characters that are not printed."""
    if len(text) > LONGEST_DESCRIPTION or not text.isprintable() or not {"<", ">"}.isdisjoint(text):
        what = f"up to {LONGEST_DESCRIPTION} printable characters without '<' and '>'"
        raise Invalid("DESCRIPTION_INVALID", f"a text has {what}", field=field)
    return text


def _check(tag: Tag, field: str) -> None:
    if not KEY.fullmatch(tag.key) or tag.key.startswith(OURS):
        text = f"a tag's key has 1 to 128 {ALLOWED}, and does not begin with {OURS}"
        raise Invalid("TAG_INVALID", text, field=f"{field}.key")
    if not VALUE.fullmatch(tag.value):
        text = f"a tag's value has up to 255 {ALLOWED} /"
        raise Invalid("TAG_INVALID", text, field=f"{field}.value")
