"""Subjects: no name that somebody chose can widen, narrow or forge one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.messaging import subjects
from services.common.messaging.subjects import InvalidToken

names = st.text(min_size=1, max_size=20) | st.sampled_from(
    ["*", ">", "a.b", "a b", "..", "%2E", "é", "\r\nPUB x 1", "$JS"]
)


def fits(name: str) -> bool:
    try:
        subjects.token(name)
    except InvalidToken:
        return False
    return True


hostile = names.filter(fits)


@given(hostile, hostile, hostile, hostile)
def test_a_subject_gives_back_the_names_that_it_was_built_from(
    cell: str, kind: str, project: str, resource: str
) -> None:
    subject = subjects.endpoint(cell, kind, project, resource)
    assert subject.isascii()
    assert not set(subject) & set("*> \t\r\n")
    assert subjects.names(subject) == ("endpoint", "v1", cell, kind, project, resource)


@given(hostile, hostile, hostile)
def test_a_cell_hears_its_own_events_and_no_others(mine: str, other: str, project: str) -> None:
    subject = subjects.endpoint(other, "endpoint", project, "id")
    assert subjects.matches(subjects.of_cell(mine).subject, subject) == (mine == other)


@given(hostile, hostile)
def test_a_program_hears_no_other_program(kind: str, project: str) -> None:
    subject = subjects.registry(kind, project, "id")
    assert subjects.matches(subjects.everything("registry").subject, subject)
    assert not subjects.matches(subjects.everything("endpoint").subject, subject)


@pytest.mark.parametrize("name", ["", "x" * 256, "é" * 50, "\ud800"])
def test_a_name_that_cannot_be_part_of_a_subject_is_refused(name: str) -> None:
    with pytest.raises(InvalidToken):
        subjects.registry("service", name, "id")


@pytest.mark.parametrize(
    ("pattern", "subject", "expected"),
    [
        ("a.b", "a.b", True),
        ("a.b", "a.b.c", False),
        ("a.*", "a.b", True),
        ("a.*", "a", False),
        ("a.*.c", "a.b.c", True),
        ("a.>", "a.b.c", True),
        ("a.>", "a", False),
        (">", "a", True),
    ],
)
def test_patterns_match_as_the_server_matches_them(pattern: str, subject: str, expected: bool) -> None:
    assert subjects.matches(pattern, subject) is expected
