"""What a list is asked to show: messages to selections."""

from collections.abc import Iterable

from services.common.eventsourcing.selection import Order, TagFilter, TagMatch
from sidegate.api.registry.v1 import listing_pb2
from sidegate.api.registry.v1.tag_pb2 import Tag


def order_of(order: listing_pb2.ListOrder.ValueType, updated: Order = Order.UPDATED) -> Order:
    """`updated` is when things last changed as the caller sees them."""
    return updated if order == listing_pb2.LIST_ORDER_UPDATE_TIME else Order.CREATED


def ids_of(ids: Iterable[str]) -> tuple[str, ...]:
    """UUIDs as we write them: lower case."""
    return tuple(id_.lower() for id_ in ids)


def tags_of(wanted: listing_pb2.TagFilter) -> TagFilter:
    return TagFilter(
        all=_matches(wanted.all),
        any=_matches(wanted.any),
        not_all=_matches(wanted.not_all),
        not_any=_matches(wanted.not_any),
        untagged=wanted.untagged,
    )


def _matches(wanted: Iterable[listing_pb2.TagMatch]) -> tuple[TagMatch, ...]:
    return tuple(TagMatch(match.key, tuple(match.values)) for match in wanted)


def tags_shown(tags: Iterable[tuple[str, str]]) -> list[Tag]:
    return [Tag(key=key, value=value) for key, value in tags]
