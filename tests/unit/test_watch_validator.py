"""The validator of watchers' histories finds each promise that is broken, and nothing where all are kept."""

from collections.abc import Sequence

import pytest

from tests.support.watching import Heard, broken

WANTED = [1, 2, 3, 5, 5, 7]
APPENDS = [range(1, 2), range(2, 5), range(5, 8)]
KEPT = [Heard(0, []), Heard(1, [1]), Heard(4, [2, 3]), Heard(4, []), Heard(7, [5, 5, 7])]


def test_a_history_that_keeps_all_promises_has_no_fault() -> None:
    assert list(broken(KEPT, WANTED, APPENDS)) == []
    assert list(broken([Heard(1, [1]), Heard(7, [2, 3, 5, 5, 7])], WANTED, APPENDS)) == []


@pytest.mark.parametrize(
    ("promise", "answers"),
    [
        ("ordered", [Heard(4, [2, 3]), Heard(1, [1]), Heard(7, [5, 5, 7])]),
        ("ordered", [Heard(1, [1]), Heard(4, [3, 2]), Heard(7, [5, 5, 7])]),
        ("unique", [*KEPT, Heard(7, [7])]),
        ("unique", [Heard(1, [1]), Heard(4, [2, 3, 4]), Heard(7, [5, 5, 7])]),
        ("reliable", [Heard(1, [1]), Heard(4, [2]), Heard(7, [5, 5, 7])]),
        ("reliable", [Heard(1, [1]), Heard(4, [2, 3]), Heard(7, [5, 7])]),
        ("atomic", [Heard(1, [1]), Heard(1, [2]), Heard(4, [3]), Heard(7, [5, 5, 7])]),
        ("resumable", [Heard(1, [1]), Heard(3, [2, 3]), Heard(7, [5, 5, 7])]),
        ("bookmarks", [Heard(1, [1]), Heard(4, []), Heard(4, [2, 3]), Heard(7, [5, 5, 7])]),
    ],
)
def test_a_promise_that_is_broken_is_named(promise: str, answers: Sequence[Heard]) -> None:
    assert promise in {fault.partition(":")[0] for fault in broken(answers, WANTED, APPENDS)}


def test_who_was_told_of_nothing_was_not_told_reliably() -> None:
    assert [fault.partition(":")[0] for fault in broken([], WANTED, APPENDS)] == ["reliable"]
