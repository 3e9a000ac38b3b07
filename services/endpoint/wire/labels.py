"""Tags and whitelist modes: asked for, stored and shown."""

from collections.abc import Iterable, Mapping

from services.common.errors import Invalid
from services.common.labels import Tag, tags_of
from services.endpoint.domain.facts import Whitelist
from sidegate.api.endpoint.v1.endpoint_pb2 import Endpoint
from sidegate.api.registry.v1.tag_pb2 import Tag as TagMessage

WHITELISTS: Mapping[Whitelist, Endpoint.Whitelist.ValueType] = {
    Whitelist.AS_LISTED: Endpoint.WHITELIST_UNSPECIFIED,
    Whitelist.ENABLED: Endpoint.WHITELIST_ENABLED,
    Whitelist.DISABLED: Endpoint.WHITELIST_DISABLED,
}
_WHITELISTS = {number: whitelist for whitelist, number in WHITELISTS.items()}


def whitelist_of(number: Endpoint.Whitelist.ValueType) -> Whitelist:
    if number not in _WHITELISTS:
        raise Invalid("WHITELIST_UNKNOWN", "a whitelist is enabled or disabled", field="endpoint.whitelist")
    return _WHITELISTS[number]


def parse_tags(messages: Iterable[TagMessage]) -> tuple[Tag, ...]:
    """The tags that a caller gives."""
    return tags_of(((each.key, each.value) for each in messages), "endpoint.tags")


def read_tags(messages: Iterable[TagMessage]) -> tuple[Tag, ...]:
    """Tags as they were stored."""
    return tuple(Tag(each.key, each.value) for each in messages)


def tag_message(tag: Tag) -> TagMessage:
    return TagMessage(key=tag.key, value=tag.value)
