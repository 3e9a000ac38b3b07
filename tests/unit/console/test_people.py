"""The file that says who of an OpenID provider is whom in Sidegate."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from services.console.signing_in.people import Unknown, Unreadable, credential_for, name_of

KEYS = {"ann": "AKANN", "net": "AKNET"}
FILE = """
groups = "roles"

[[person]]
subject = "248289761001"
credential = "ann.json"

[[person]]
email = "ann@example.net"
credential = "ann.json"

[[person]]
group = "network"
credential = "net.json"
"""


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str], Path]:
    for name, key in KEYS.items():
        path = tmp_path / f"{name}.json"
        path.write_text(f'{{"account": "a", "project": "p", "access_key": "{key}", "secret_key": "hidden"}}')
        path.chmod(0o600)

    def write(text: str) -> Path:
        path = tmp_path / "people.toml"
        path.write_text(text)
        path.chmod(0o600)
        return path

    return write


Written = Callable[[str], Path]


@pytest.mark.parametrize(
    ("claims", "key"),
    [
        ({"sub": "248289761001"}, "AKANN"),
        ({"sub": "x", "email": "Ann@example.net", "email_verified": True}, "AKANN"),
        ({"sub": "x", "roles": ["other", "network"]}, "AKNET"),
        ({"sub": "248289761001", "roles": ["network"]}, "AKANN"),
    ],
)
def test_the_first_that_fits_says_whose_key_it_is(written: Written, claims: dict[str, Any], key: str) -> None:
    assert credential_for(written(FILE), claims).access_key == key


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"sub": ""},
        {"sub": "ann@example.net"},
        {"sub": "x", "email": "ann@example.net"},
        {"sub": "x", "email": "ann@example.net", "email_verified": False},
        {"sub": "x", "email": "ann@example.net", "email_verified": "true"},
        {"sub": "x", "email": ["ann@example.net"], "email_verified": True},
        {"sub": "x", "roles": "network"},
        {"sub": "x", "roles": {"network": 1}},
        {"sub": "x", "groups": ["network"]},
        {"sub": "x", "roles": ["networks", ["network"]]},
    ],
)
def test_what_nobody_has_verified_or_what_is_only_like_it_is_nobody(written: Written, claims: dict[str, Any]) -> None:
    with pytest.raises(Unknown):
        credential_for(written(FILE), claims)


def test_who_is_taken_out_of_the_file_does_not_come_in_again(written: Written) -> None:
    credential_for(written(FILE), {"sub": "248289761001"})
    with pytest.raises(Unknown):
        credential_for(written(""), {"sub": "248289761001"})


@pytest.mark.parametrize(
    "text",
    [
        "[[person",
        '[[person]]\ncredential = "ann.json"',
        '[[person]]\nsubject = "x"\nemail = "y"\ncredential = "ann.json"',
        '[[person]]\nsubject = ""\ncredential = "ann.json"',
        '[[person]]\nsubjekt = "x"\ncredential = "ann.json"',
        '[[people]]\nsubject = "x"\ncredential = "ann.json"',
    ],
)
def test_a_file_that_says_something_else_lets_nobody_in(written: Written, text: str) -> None:
    with pytest.raises(Unreadable, match=r"people\.toml"):
        credential_for(written(text), {"sub": "x"})


@pytest.mark.parametrize("name", ["people.toml", "ann.json"])
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602])
def test_a_file_that_others_may_read_or_write_is_not_taken(written: Written, name: str, mode: int) -> None:
    path = written(FILE)
    (path.parent / name).chmod(mode)
    with pytest.raises(Unreadable, match="chmod 600"):
        credential_for(path, {"sub": "248289761001"})


def test_a_credential_that_is_none_is_named_without_what_is_in_it(written: Written) -> None:
    path = written(FILE)
    (path.parent / "ann.json").write_text('{"secret_key": "hidden"}')
    with pytest.raises(Unreadable, match=r"ann\.json") as refused:
        credential_for(path, {"sub": "248289761001"})
    assert "hidden" not in str(refused.value)
    (path.parent / "ann.json").unlink()
    with pytest.raises(Unreadable, match=r"ann\.json"):
        credential_for(path, {"sub": "248289761001"})


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ({"name": "Ann Sample", "sub": "1"}, "Ann Sample"),
        ({"preferred_username": "ann", "sub": "1"}, "ann"),
        ({"name": "  ", "email": "ann@example.net", "sub": "1"}, "ann@example.net"),
        ({"name": 7, "sub": "1"}, "1"),
        ({"name": "Ann\n\u202eS\x1b[2J", "sub": "1"}, "AnnS[2J"),
        ({"name": "x" * 500}, "x" * 80),
        ({}, ""),
    ],
)
def test_a_person_is_called_something_in_one_line(claims: dict[str, Any], name: str) -> None:
    assert name_of(claims) == name
