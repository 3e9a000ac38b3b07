"""Every sentence of the console is there in every language, with the same values put in, and none is left over."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from babel.messages.catalog import Message
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

from services.console.pages import words

CONSOLE = Path(words.__file__).parent.parent
METHODS = [("**.py", "python"), ("**.html", "jinja2.ext:babel_extract")]
KEYWORDS = {"_": None, "gettext": None, "ngettext": (1, 2), "marked": None}
OPTIONS = {"**.html": {"trimmed": "true", "silent": "false", "extensions": "jinja2.ext.do"}}
OTHERS = [name for name in words.LANGUAGES if name != "en"]
VALUE = re.compile(r"%\(\w+\)s|%%|%s")
CHINESE = re.compile(r"[\u4e00-\u9fff]")


def sentences() -> dict[str | tuple[str, ...], str]:
    """Those of the programs and the templates, with where they are."""
    found = {}
    for file, line, said, _comments, _context in extract_from_dir(CONSOLE, METHODS, OPTIONS, KEYWORDS, comment_tags=()):
        found[said] = f"{file}:{line}"
    return found


def messages(language: str) -> Iterator[tuple[Path, Message]]:
    for path in sorted((words.CATALOGUES / language).glob("*.po")):
        with path.open("rb") as file:
            for message in read_po(file, locale=language, abort_invalid=True):
                if message.id:
                    yield path, message


def test_sentences_are_found_at_all() -> None:
    assert len(sentences()) > 50


@pytest.mark.parametrize("language", OTHERS)
def test_every_sentence_has_a_translation(language: str) -> None:
    known = {message.id for _, message in messages(language) if _is_whole(message)}
    missing = [f"{where}: {said!r}" for said, where in sentences().items() if said not in known]
    assert not missing, f"{len(missing)} sentences have no {language}:\n" + "\n".join(sorted(missing))


@pytest.mark.parametrize("language", OTHERS)
def test_no_translation_is_of_a_sentence_that_nobody_says(language: str) -> None:
    said = set(sentences())
    left = [f"{path.name}: {message.id!r}" for path, message in messages(language) if message.id not in said]
    assert not left, "\n".join(left)


@pytest.mark.parametrize("language", OTHERS)
def test_a_translation_is_one_and_the_same_values_are_put_into_it(language: str) -> None:
    for path, message in messages(language):
        ones = (message.id,) if isinstance(message.id, str) else message.id
        others = _strings(message)
        wanted = set().union(*(VALUE.findall(each) for each in ones)) - {"%(num)s"}
        for each in others:
            assert wanted == set(VALUE.findall(each)) - {"%(num)s"}, f"{path.name}: {message.id!r}"
            assert CHINESE.search(each) or not re.search("[a-z]{3}", "".join(ones).lower()) or each in SAME, each


@pytest.mark.parametrize("language", OTHERS)
def test_a_sentence_has_one_translation_in_all_rooms(language: str) -> None:
    found: dict[object, tuple[Path, object]] = {}
    for path, message in messages(language):
        first, string = found.setdefault(message.id, (path, message.string))
        assert string == message.string, f"{message.id!r} is another in {first.name} than in {path.name}"


SAME = {"Sidegate", "VPC", "CIDR", "DNS"}
"""Names that are the same in all languages."""


def _is_whole(message: Message) -> bool:
    return "fuzzy" not in message.flags and all(_strings(message))


def _strings(message: Message) -> Sequence[str]:
    return (message.string,) if isinstance(message.string, str) else message.string or ()
