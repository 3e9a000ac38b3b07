"""What of a log's past is shown, of what, and as what."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from services.common.eventsourcing.store import RecordedEvent
from services.common.history.deeds import HappeningsOf
from services.common.history.index import Index, Place, Reducer

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Facet:
    """A kind of rows, seen from one side of it: whoever `owner` names has it."""

    kind: str
    owner: Callable[[Place], str]


def of_project(place: Place) -> str:
    return place.project


def of_counterpart(place: Place) -> str:
    return place.counterpart


@dataclass(frozen=True, slots=True)
class Shown:
    """A row that is shown, as one of the kinds that the contract names."""

    kind: str
    id: str
    place: Place


@dataclass(frozen=True, slots=True)
class Past(Generic[S]):
    """One program's past. `facets` are by the contract's names, in the order of lists; `tables` a cell's kinds of rows.

    `show` renders what a row's last event says; None where it is not to be shown. `happenings` is what events tell.
    """

    reducer: Reducer
    facets: Mapping[str, Facet]
    show: Callable[[Shown, RecordedEvent, Index], S | None]
    tables: Mapping[str, str]
    show_entry: Callable[[Shown, RecordedEvent], S | None]
    happenings: HappeningsOf

    def one(self, index: Index, kind: str, id_: str, owner: str = "") -> list[Shown]:
        """The resource, if it was there; for an owner, if it was his."""
        facet = self.facets.get(kind)
        place = None if facet is None else index.get((facet.kind, id_))
        if facet is None or place is None or (owner and facet.owner(place) != owner):
            return []
        return [Shown(kind, id_, place)]

    def everything(self, index: Index) -> list[Shown]:
        """What all projects had, and the operator."""
        return [
            shown
            for kind, facet in self.facets.items()
            for shown in _chosen(index, kind, facet.kind, lambda _place: True)
        ]

    def owned(self, index: Index, owner: str) -> list[Shown]:
        """All that a project (account/project) had, kind by kind in order of creation."""
        return [shown for kind, facet in self.facets.items() for shown in _owned(index, kind, facet, owner)]

    def table(self, index: Index, cell: str) -> list[Shown]:
        """The rows of a cell's forwarding table, kind by kind in order of creation."""
        return [
            shown
            for kind, rows in self.tables.items()
            for shown in _chosen(index, kind, rows, lambda place: place.partition == cell)
        ]


def _owned(index: Index, kind: str, facet: Facet, owner: str) -> list[Shown]:
    return _chosen(index, kind, facet.kind, lambda place: facet.owner(place) == owner)


def _chosen(index: Index, kind: str, rows: str, wanted: Callable[[Place], bool]) -> list[Shown]:
    found = [Shown(kind, id_, place) for (of, id_), place in index.items() if of == rows and wanted(place)]
    return sorted(found, key=lambda shown: shown.place.created)
