"""What lists show, in which order and how many in all: as a plain loop over all that there is would say."""

import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from services.common.eventsourcing import resource_lists
from services.common.eventsourcing.resource_table import ResourceRow, ResourceTable
from services.common.eventsourcing.selection import (
    ALL,
    Cursor,
    Found,
    Order,
    Scope,
    Selection,
    TagFilter,
    TagMatch,
    Window,
)
from services.common.eventsourcing.sql_store import SqlStore
from services.common.eventsourcing.store import AnyVersion, Append, NewEvent, RecordedEvent
from tests.support.stores import AT, LOGS

KIND, OWNER = "endpoint", "shop/default"
KEYS, VALUES = ("env", "team", "größe"), ("prod", "test", "Prod-2", "50%", "a_b", "")
STATES = ("CREATING", "ACCEPTED", "REJECTED")
Listed = list[tuple[Cursor, ResourceRow]]


def row_of(event: RecordedEvent) -> ResourceRow:
    told = json.loads(event.data)
    tags = tuple((key, value) for key, value in told.pop("tags"))
    return ResourceRow(**told, data=event.data, tags=tags)


def a_row(chance: random.Random, id_: str) -> dict[str, object]:
    return {
        "kind": KIND,
        "id": id_,
        "project": chance.choice((OWNER, OWNER, OWNER, "bank/default")),
        "parent": chance.choice(("web", "db")),
        "counterpart": "payments/default",
        "name": chance.choice(("", "to-web", "To_Web", "to%web", "other")),
        "full_name": f"local.{chance.choice(('web', 'WEB', 'db'))}.1",
        "vpc": chance.choice(("vpc-1", "vpc-2")),
        "number": int(id_[2:]),
        "state": chance.choice(STATES),
        "type": chance.choice(("VM", "CLOUD")),
        "updated": chance.randrange(8),
        "counterpart_updated": chance.randrange(8),
        "live": chance.random() < 0.9,
        "tags": [(key, chance.choice(VALUES)) for key in KEYS if chance.random() < 0.5],
    }


async def live_a_while(store: SqlStore, chance: random.Random, events: int) -> dict[str, tuple[int, ResourceRow]]:
    """What there is afterwards, with the positions of creation."""
    there: dict[str, tuple[int, ResourceRow]] = {}
    for _ in range(events):
        id_ = f"e-{chance.randrange(1, 50)}"
        told = json.dumps(a_row(chance, id_), ensure_ascii=False).encode()
        appended = await store.append(Append(id_, AnyVersion(), [NewEvent("changed", told)], AT, "cell"))
        (event,) = await store.read(appended.position - 1, 1)
        row = row_of(event)
        if row.live:
            there[id_] = (there.get(id_, (event.position,))[0], row)
        else:
            there.pop(id_, None)
    return there


def a_match(chance: random.Random) -> TagMatch:
    values = (*VALUES, "*rod", "*%", "*_", "*")
    return TagMatch(chance.choice((*KEYS, "nobody")), tuple(chance.sample(values, chance.randrange(3))))


def a_filter(chance: random.Random) -> TagFilter:
    def some() -> tuple[TagMatch, ...]:
        return tuple(a_match(chance) for _ in range(chance.choice((0, 0, 1, 2))))

    return TagFilter(some(), some(), some(), some(), untagged=chance.random() < 0.1)


def a_selection(chance: random.Random) -> Selection:
    made = replace(ALL, newest_first=chance.random() < 0.5, order=chance.choice(list(Order)))
    asked: dict[str, Callable[[], Any]] = {
        "states": lambda: tuple(chance.sample(STATES, 2)),
        "name_contains": lambda: chance.choice(("WEB", "_", "%", "o")),
        "name": lambda: chance.choice(("", "to-web")),
        "ids": lambda: tuple(f"e-{chance.randrange(70)}" for _ in range(9)),
        "full_name_contains": lambda: chance.choice((".web.", "l.d", "LOCAL")),
        "vpc": lambda: "vpc-1",
        "type": lambda: "CLOUD",
        "number": lambda: chance.randrange(1, 50),
        "tags": lambda: a_filter(chance),
    }
    return replace(made, **{name: asked[name]() for name in chance.sample(list(asked), chance.randrange(3))})


def has(row: ResourceRow, match: TagMatch) -> bool:
    value = dict(row.tags or ()).get(match.key)
    if value is None or not match.values:
        return value is not None
    parts = [each[1:].lower() for each in match.values if each.startswith("*")]
    return value in match.values or any(part in value.lower() for part in parts)


def fits(row: ResourceRow, wanted: Selection) -> bool:
    tags = wanted.tags
    if tags.untagged:
        tagged = not row.tags
    else:
        tagged = all(has(row, each) for each in tags.all) and (not tags.any or any(has(row, each) for each in tags.any))
        tagged = tagged and not (tags.not_all and all(has(row, each) for each in tags.not_all))
        tagged = tagged and not any(has(row, each) for each in tags.not_any)
    return (
        tagged
        and (not wanted.states or row.state in wanted.states)
        and (not wanted.ids or row.id in wanted.ids)
        and (wanted.name is None or row.name == wanted.name)
        and wanted.name_contains.lower() in row.name.lower()
        and wanted.full_name_contains.lower() in row.full_name.lower()
        and wanted.vpc in ("", row.vpc)
        and wanted.type in ("", row.type)
        and wanted.number in (0, row.number)
    )


def expected(there: dict[str, tuple[int, ResourceRow]], scope: Scope, wanted: Selection) -> Listed:
    value: dict[Order, Callable[[int, ResourceRow], int]] = {
        Order.CREATED: lambda created, _: created,
        Order.UPDATED: lambda _, row: row.updated,
        Order.COUNTERPART_UPDATED: lambda _, row: row.counterpart_updated,
    }
    found = [
        (Cursor(value[wanted.order](created, row), created), row)
        for created, row in there.values()
        if scope.project in (None, row.project) and scope.parent in (None, row.parent) and fits(row, wanted)
    ]
    return sorted(found, key=lambda each: each[0], reverse=wanted.newest_first)


def ids(found: Sequence[tuple[Cursor, ResourceRow]]) -> list[tuple[Cursor, str]]:
    return [(place, row.id) for place, row in found]


async def ask(store: SqlStore, window: Window, scope: Scope, wanted: Selection) -> Found[ResourceRow]:
    return await store.query(lambda connection: resource_lists.listed(connection, KIND, window, scope, wanted))


async def some_tags(store: SqlStore, after: tuple[str, str]) -> Sequence[tuple[str, str]]:
    return await store.query(lambda connection: resource_lists.tags(connection, KIND, OWNER, after, 4))


def pages(chance: random.Random, length: int) -> Iterator[int]:
    while length >= 0:
        yield (size := chance.randint(1, 30))
        length -= size


@pytest.mark.parametrize("database", LOGS)
async def test_a_list_is_what_a_plain_loop_would_find(database: str, tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    with LOGS[database](tmp_path) as where:
        store = await SqlStore.open(where, projections=[ResourceTable(row_of)])
        try:
            there = await live_a_while(store, chance, 120)
            for _ in range(60):
                wanted = a_selection(chance)
                scope = Scope(project=chance.choice((None, OWNER)), parent=chance.choice((None, "web")))
                whole = expected(there, scope, wanted)
                skip = chance.randrange(5)
                found = await ask(store, Window(10, skip=skip, counted=True), scope, wanted)
                assert (ids(found.rows), found.total) == (ids(whole[skip : skip + 10]), len(whole)), wanted
                read: Listed = []
                for size in pages(chance, len(whole)):
                    after = read[-1][0] if read else None
                    read += (await ask(store, Window(size, after), scope, wanted)).rows
                assert ids(read) == ids(whole), wanted
            tags = {tag for _, row in there.values() if row.project == OWNER for tag in row.tags or ()}
            told: list[tuple[str, str]] = []
            while page := await some_tags(store, told[-1] if told else ("", "")):
                told += page
            assert told == sorted(tags, key=lambda tag: (tag[0].encode(), tag[1].encode()))
        finally:
            await store.close()


@pytest.mark.parametrize("database", LOGS)
async def test_what_no_log_can_have_is_found_nowhere(database: str, tmp_path: Path) -> None:
    with LOGS[database](tmp_path) as where:
        store = await SqlStore.open(where, projections=[ResourceTable(row_of)])
        try:
            await live_a_while(store, random.Random(1), 5)
            for wanted in (
                Selection(name_contains="\x00"),
                Selection(ids=("\x00",)),
                Selection(tags=TagFilter(not_any=(TagMatch("\x00"),))),
            ):
                assert not (await ask(store, Window(10), Scope(), wanted)).rows
        finally:
            await store.close()
