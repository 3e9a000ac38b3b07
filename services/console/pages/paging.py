"""Pages of a list, by number: the services' lists skip as many as are asked for, and say how many there are."""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from fastapi import Request

SIZE = 50
NEAR = 2


@dataclass(frozen=True, slots=True)
class Paging:
    """Page `number` (from 1) of a list of `total`, `size` to a page. `query` is what else the address says."""

    number: int
    size: int
    total: int
    query: Sequence[tuple[str, str]]

    @property
    def pages(self) -> int:
        return max(1, -(-self.total // self.size))

    @property
    def first(self) -> int:
        return min(self.total, (self.number - 1) * self.size + 1)

    @property
    def last(self) -> int:
        return min(self.total, self.number * self.size)

    @property
    def around(self) -> Sequence[int]:
        """The numbers to show; 0 stands for those between that are left out."""
        near = {1, self.pages, *range(self.number - NEAR, self.number + NEAR + 1)}
        shown = sorted(each for each in near if 1 <= each <= self.pages)
        found: list[int] = []
        for each in shown:
            if found and each > found[-1] + 1:
                found.append(0)
            found.append(each)
        return found

    def path(self, number: int) -> str:
        return "?" + urlencode([*self.query, ("page", str(number))])


def number_of(request: Request) -> int:
    """The page that the address asks for: 1 for nonsense."""
    said = request.query_params.get("page", "1")
    return max(1, int(said)) if said.isdecimal() and len(said) < 7 else 1


def skipped(request: Request, size: int = SIZE) -> int:
    return (number_of(request) - 1) * size


def paging(request: Request, total: int, size: int = SIZE) -> Paging:
    query = [(name, value) for name, value in request.query_params.multi_items() if name != "page" and value]
    return Paging(number_of(request), size, total, query)
