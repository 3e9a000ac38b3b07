"""Refusals as the console's readers are told them."""

import pytest

from services.console.pages import words
from services.console.pages.problems import problem_of
from services.console.pages.reasons import REASONS
from services.http_api import refusal_table
from sidegate import errors


def test_every_reason_of_the_services_has_a_sentence_in_every_language() -> None:
    """http_api's table is held complete by a test of its own."""
    assert set(refusal_table.REASONS) <= set(REASONS)
    assert len(REASONS) == len(set(REASONS))


def test_english_is_the_services_own_and_other_languages_keep_it_beside_theirs() -> None:
    error = errors.AlreadyExists("10.0.0.7 is taken", reason="ADDRESS_TAKEN", field="endpoint.address")
    assert (problem_of(error).text, problem_of(error).detail) == ("10.0.0.7 is taken", "")
    with words.speaking("zh_Hans_CN"):
        problem = problem_of(error)
    assert problem.text.startswith("该地址已被占用")
    assert problem.detail == "10.0.0.7 is taken"


@pytest.mark.parametrize(
    ("path", "name", "concerned"),
    [
        ("vpc.cidrs[0]", "cidrs", True),
        ("vpc.cidrs[0]", "cidr", False),
        ("endpoint_service.port_mappings[1].client_port", "client_port", True),
        ("", "name", False),
    ],
)
def test_a_field_is_known_by_any_part_of_its_path(path: str, name: str, concerned: bool) -> None:
    assert problem_of(errors.InvalidRequest("no", field=path)).concerns(name) == concerned


def test_a_reason_that_is_new_is_said_in_the_services_words() -> None:
    with words.speaking("zh_Hans_CN"):
        assert problem_of(errors.WrongState("the moon is full", reason="MOON_FULL")).text == "the moon is full"
