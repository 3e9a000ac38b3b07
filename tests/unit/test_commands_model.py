"""The models of what accounts command tell a history that can have been from one that cannot."""

from math import inf

import pytest

from tests.support.chaos.commands import Reading, Writing, write_step
from tests.support.chaos.traffic import Deed, step
from tests.support.linearizability import Operation, is_linearizable

Words = list[Operation[Reading | Writing]]


def words(*operations: tuple[float, float, Reading | Writing]) -> Words:
    return [Operation(*each) for each in operations]


GIVEN = (0.0, 1.0, Writing("", "a", done=True))
UNHEARD = (0.0, inf, Writing("", "a", done=None))


def test_who_knows_what_is_there_changes_it_and_who_does_not_is_refused() -> None:
    late = (2.0, 3.0, Writing("", "b", done=False))
    assert is_linearizable(words(GIVEN, late, (4, 5, Reading("a"))), "", write_step)
    assert is_linearizable(words(UNHEARD, (2, 3, Reading("")), (4, 5, Reading("a"))), "", write_step)


@pytest.mark.parametrize(
    "history",
    [
        words(GIVEN, (2, 3, Reading(""))),
        words(GIVEN, (2, 3, Writing("", "b", done=True))),
        words((0, 1, Writing("", "a", done=False))),
        words(UNHEARD, (2, 3, Reading("a")), (4, 5, Reading(""))),
        words((0, 9, Writing("", "a", done=True)), (1, 9, Writing("", "b", done=True))),
    ],
    ids=["stale read", "lost update", "refused without a reason", "undone again", "two on one version"],
)
def test_descriptions_that_cannot_have_been_so_are_found(history: Words) -> None:
    assert not is_linearizable(history, "", write_step)


def lives(*deeds: tuple[float, float, Deed]) -> bool:
    return is_linearizable([Operation(*each) for each in deeds], "absent", step)


def test_an_endpoint_that_was_deleted_is_accepted_no_more_whatever_was_unheard() -> None:
    created, deleted = (0.0, 1.0, Deed("create")), (2.0, 3.0, Deed("delete"))
    unheard = (2.0, inf, Deed("accept", done=None))
    assert lives(created, unheard, (4, 5, Deed("look", seen="allowed")))
    assert lives(created, unheard, (4, 5, Deed("look", seen="pending")))
    assert lives(created, deleted, (4, 5, Deed("accept", done=False)), (6, 7, Deed("look", seen="deleted")))
    assert not lives(created, deleted, (4, 5, Deed("accept")))
    assert not lives(created, deleted, unheard, (4, 5, Deed("look", seen="allowed")))
    assert not lives(created, (2, 3, Deed("reject")), (4, 5, Deed("look", seen="pending")))
