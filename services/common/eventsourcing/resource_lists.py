"""What is read of the read table: one resource, a part of a list, how long the list is, the tags of a project."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, func, or_, select, tuple_

from services.common.eventsourcing.limits import can_be_kept
from services.common.eventsourcing.resource_table import RESOURCES, TAGS, ResourceRow
from services.common.eventsourcing.selection import (
    ALL,
    EVERYWHERE,
    Cursor,
    Found,
    Order,
    Scope,
    Selection,
    TagFilter,
    TagMatch,
    Window,
)

ESCAPE = "/"
CONTAINS = "*"

Conditions = Sequence[ColumnElement[bool]]


def get(connection: Connection, kind: str, id_: str) -> ResourceRow | None:
    """One resource, None if it is not there (any more)."""
    if not can_be_kept(id_):
        return None
    wanted = select(RESOURCES).where(RESOURCES.c.kind == kind, RESOURCES.c.id == id_)
    found = connection.execute(wanted).first()
    return None if found is None else _row(found)


def listed(
    connection: Connection, kind: str, window: Window, scope: Scope = EVERYWHERE, selection: Selection = ALL
) -> Found[ResourceRow]:
    """A part of the list of resources of a kind."""
    if not all(map(can_be_kept, selection.texts())):
        return Found(())
    conditions = [*_in(kind, scope), *_selected(kind, scope, selection)]
    order = RESOURCES.c[selection.order.value]
    rows = connection.execute(_page(conditions, selection, window))
    total = 0
    if window.counted:
        total = connection.execute(select(func.count()).select_from(RESOURCES).where(*conditions)).scalar_one()
    return Found([(Cursor(found._mapping[order], found.created_position), _row(found)) for found in rows], total)


def counts(
    connection: Connection, kind: str, parents: Sequence[str], counterpart: str, states: Sequence[str]
) -> Mapping[str, int]:
    """How many resources of a kind each parent has, of those whose other side is this one; none is left out."""
    columns = RESOURCES.c
    query = select(columns.parent, func.count().label("number")).where(
        columns.kind == kind, columns.counterpart == counterpart
    )
    query = query.where(columns.parent.in_(parents)).group_by(columns.parent)
    if states:
        query = query.where(columns.state.in_(states))
    return {found.parent: found.number for found in connection.execute(query)}


def tags(
    connection: Connection, kind: str, project: str, after: tuple[str, str], limit: int
) -> Sequence[tuple[str, str]]:
    """Up to `limit` tags (key and value) of a project's resources behind one of them, in order, each once."""
    if not all(map(can_be_kept, after)):
        return ()
    key, value = TAGS.c.key, TAGS.c.value
    query = select(key, value).distinct().where(TAGS.c.kind == kind, TAGS.c.project == project)
    query = query.where(tuple_(key, value) > after).order_by(key, value).limit(limit)
    return [(found.key, found.value) for found in connection.execute(query)]


def _page(conditions: Conditions, selection: Selection, window: Window) -> Select[Any]:
    """Found by an index first, whose rows are read then: those that are passed over are not."""
    columns = RESOURCES.c
    created: ColumnElement[int] = columns.created_position
    order: ColumnElement[int] = columns[selection.order.value]
    wanted = select(columns.kind, columns.id, created, *((order,) if order is not created else ())).where(*conditions)
    if window.after is not None:
        wanted = wanted.where(_behind(window.after, selection))
    wanted = wanted.order_by(*_ordered(order, created, selection.newest_first))
    found = wanted.limit(window.limit).offset(window.skip or None).subquery("found")
    both = and_(columns.kind == found.c.kind, columns.id == found.c.id)
    order = found.c[selection.order.value]
    return (
        select(RESOURCES).join(found, both).order_by(*_ordered(order, found.c.created_position, selection.newest_first))
    )


def _ordered(
    order: ColumnElement[int], created: ColumnElement[int], newest_first: bool
) -> Iterator[ColumnElement[int]]:
    """Of two keys that are the same one is enough."""
    for key in (created,) if order is created else (order, created):
        yield key.desc() if newest_first else key


def _behind(place: Cursor, selection: Selection) -> ColumnElement[bool]:
    created = RESOURCES.c.created_position
    if selection.order is Order.CREATED:
        return created < place.created if selection.newest_first else created > place.created
    both = tuple_(RESOURCES.c[selection.order.value], created)
    return both < tuple(place) if selection.newest_first else both > tuple(place)


def _in(kind: str, scope: Scope) -> Iterator[ColumnElement[bool]]:
    columns = RESOURCES.c
    yield columns.kind == kind
    wanted = {
        columns.project: scope.project,
        columns.parent: scope.parent,
        columns.counterpart: scope.counterpart,
        columns.partition: scope.partition,
    }
    yield from (column == value for column, value in wanted.items() if value is not None)


def _selected(kind: str, scope: Scope, selection: Selection) -> Iterator[ColumnElement[bool]]:
    columns = RESOURCES.c
    if selection.states:
        yield columns.state.in_(selection.states)
    if selection.ids:
        yield columns.id.in_(selection.ids)
    if selection.name is not None:
        yield columns.name == selection.name
    exact = {columns.vpc: selection.vpc, columns.type: selection.type, columns.number: selection.number}
    yield from (column == value for column, value in exact.items() if value)
    contained = {columns.name: selection.name_contains, columns.full_name: selection.full_name_contains}
    yield from (_contains(column, part) for column, part in contained.items() if part)
    yield from _tagged(kind, scope.project, selection.tags)


def _tagged(kind: str, project: str | None, wanted: TagFilter) -> Iterator[ColumnElement[bool]]:
    if wanted.untagged:
        yield ~_with_tag(kind, project)
        return
    yield from (_matches(kind, project, match) for match in wanted.all)
    if wanted.any:
        yield or_(*(_matches(kind, project, match) for match in wanted.any))
    if wanted.not_all:
        yield ~and_(*(_matches(kind, project, match) for match in wanted.not_all))
    yield from (~_matches(kind, project, match) for match in wanted.not_any)


def _matches(kind: str, project: str | None, match: TagMatch) -> ColumnElement[bool]:
    value = TAGS.c.value
    ways = [_contains(value, each[1:]) for each in match.values if each.startswith(CONTAINS)]
    if exact := [each for each in match.values if not each.startswith(CONTAINS)]:
        ways.append(value.in_(exact))
    return _with_tag(kind, project, TAGS.c.key == match.key, *((or_(*ways),) if ways else ()))


def _with_tag(kind: str, project: str | None, *conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    theirs = () if project is None else (TAGS.c.project == project,)
    return RESOURCES.c.id.in_(select(TAGS.c.id).where(TAGS.c.kind == kind, *theirs, *conditions))


def _contains(column: ColumnElement[str], part: str) -> ColumnElement[bool]:
    """Of the letters of ASCII both cases are one; databases do not agree about others."""
    for special in (ESCAPE, "%", "_"):
        part = part.replace(special, ESCAPE + special)
    return func.lower(column).like(func.lower(f"%{part}%"), escape=ESCAPE)


def _row(found: Row[Any]) -> ResourceRow:
    return ResourceRow(
        kind=found.kind,
        id=found.id,
        project=found.project,
        data=bytes(found.data),
        parent=found.parent,
        counterpart=found.counterpart,
        partition=found.partition,
        name=found.name,
        state=found.state,
    )
