"""From what people type to an id."""

from uuid import uuid4

import pytest

from sidegate import errors
from sidegate.cli.outcome import Complaint, Exit
from sidegate.cli.resolve import Candidate, pick
from tests.support.command_line import CommandLine
from tests.support.fake_sidegate import FakeSidegate

ONE = "aaaaaaaa-0000-4000-8000-000000000001"
TWO = "aaaaaaaa-0000-4000-8000-000000000002"
OTHER = "bbbbbbbb-0000-4000-8000-000000000003"


def test_a_name_that_one_has_is_its_id() -> None:
    assert pick("vpc", "shop", [Candidate(ONE, "shop"), Candidate(TWO, "shopping")]) == ONE


def test_the_beginning_of_an_id_is_enough_if_only_one_begins_so() -> None:
    assert pick("vpc", "bbbbbbbb", [Candidate(ONE), Candidate(OTHER)]) == OTHER
    assert pick("vpc", "BBBBBBBB-0000-4000-8000-00000000000", [Candidate(ONE), Candidate(OTHER)]) == OTHER


def test_a_name_comes_before_the_beginning_of_an_id() -> None:
    assert pick("vpc", "aaaaaaaa", [Candidate(ONE), Candidate(OTHER, "aaaaaaaa")]) == OTHER


@pytest.mark.parametrize("word", ["aaaaaaa", "a", "", "zzzzzzzz", "shop"])
def test_what_fits_nothing_is_not_there(word: str) -> None:
    with pytest.raises(errors.NotFound, match="vpc"):
        pick("vpc", word, [Candidate(ONE), Candidate(OTHER)])


@pytest.mark.parametrize("word", ["aaaaaaaa", "twice"])
def test_what_fits_several_is_asked_for_again_with_their_ids(word: str) -> None:
    with pytest.raises(Complaint) as caught:
        pick("subnet", word, [Candidate(ONE, "twice"), Candidate(TWO, "twice"), Candidate(OTHER, "once")])
    assert caught.value.code is Exit.USAGE
    assert ONE in caught.value.hint
    assert TWO in caught.value.hint
    assert OTHER not in caught.value.hint


def test_a_whole_id_is_asked_for_as_it_is_without_a_list(fake: FakeSidegate) -> None:
    CommandLine(fake).error("vpc", "get", str(uuid4()).upper(), code=3)
    assert [call.method for call in fake.script.calls] == ["GetVpc"]


def test_a_name_is_looked_for_on_every_page(fake: FakeSidegate) -> None:
    cli = CommandLine(fake)
    made = [cli.answer("vpc", "create", f"vpc-{number}", "--cidr", "10.0.0.0/24") for number in range(5)]
    assert cli.answer("vpc", "get", "vpc-4") == made[4]
    assert cli.answer("vpc", "get", made[4]["id"][:13]) == made[4]


def test_a_full_name_goes_to_the_server_as_it_stands(fake: FakeSidegate) -> None:
    CommandLine(fake).error("service", "lookup", f"region-1.web.{uuid4()}", code=3)
    assert [call.method for call in fake.script.calls] == ["LookupEndpointService"]


def test_a_name_that_is_not_there_says_where_to_look(fake: FakeSidegate) -> None:
    said = CommandLine(fake).error("endpoint", "delete", "nothing", code=3)
    assert said == (
        "sidegate: error: endpoint nothing is not there (NOT_FOUND)\n"
        "hint: what is yours is listed by `sidegate endpoint list`\n"
    )


def test_a_connection_goes_by_its_endpoints_name_where_both_are_yours(fake: FakeSidegate) -> None:
    cli = CommandLine(fake)
    cli.answer("vpc", "create", "shop", "--cidr", "10.0.0.0/24")
    cli.answer("subnet", "create", "front", "--vpc", "shop", "--cidr", "10.0.0.0/24")
    cli.answer("service", "create", "web", "--vpc", "shop", "--backend", "10.0.0.10", "--port", "80")
    named = ("--subnet", "front", "--name", "to-web")
    endpoint = cli.answer("endpoint", "create", "--service", "web", *named)
    assert cli.answer("connection", "accept", "web", "to-web")["endpoint_id"] == endpoint["id"]
    assert "connection other is not there" in cli.error("connection", "accept", "web", "other", code=3)
