"""Tables in forms: a row for each thing, its cells fields of the same names in every row."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from services.console.pages.forms import Typed
from services.console.pages.problems import Problem

INDEX = re.compile(r"\[(\d+)\]")
FEWEST = 3
"""How many rows a table has that no script can make longer."""

Row = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Table:
    """`key` has something in one of its cells wherever a row counts; others are left as they were typed."""

    name: str
    cells: Sequence[str]
    key: Sequence[str]

    def typed(self, form: Typed) -> Sequence[Row]:
        """All rows, those that do not count as well."""
        columns = {cell: form.all(cell) for cell in self.cells}
        most = max(map(len, columns.values()), default=0)
        return [
            {cell: values[index] if index < len(values) else "" for cell, values in columns.items()}
            for index in range(most)
        ]

    def counting(self, form: Typed) -> Sequence[tuple[int, Row]]:
        """Those that count, each with its place among all."""
        return [(index, row) for index, row in enumerate(self.typed(form)) if any(row[cell] for cell in self.key)]

    def shown(self, form: Typed, fewest: int = FEWEST) -> Sequence[Row]:
        """What was typed, and as many empty rows as a reader without scripts may need."""
        rows = self.typed(form)
        counting = len(self.counting(form))
        return [*rows, *(dict.fromkeys(self.cells, "") for _ in range(max(fewest, counting + 2) - len(rows)))]

    def placed(self, problem: Problem, form: Typed) -> Problem:
        """With the number of the row that is shown instead of that of the thing that was sent."""
        found = INDEX.search(problem.field)
        counting = self.counting(form)
        if self.name not in problem.field or not found or int(found[1]) >= len(counting):
            return problem
        return replace(problem, field=INDEX.sub(f"[{counting[int(found[1])][0]}]", problem.field, count=1))


MAPPINGS = Table(
    "port_mappings",
    ("client_port", "server_port", "protocol", "client_identity_of_port"),
    ("client_port", "server_port"),
)
BACKENDS = Table("backends", ("backend_port", "backend_address", "backend_weight"), ("backend_port", "backend_address"))
