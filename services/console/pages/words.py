"""Sentences in the reader's language: gettext's catalogues, one for each room, read as they are written."""

import gettext as stdlib
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path

from babel.core import Locale, negotiate_locale
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

CATALOGUES = Path(__file__).parent.parent / "locale"
LANGUAGES = {"en": "English", "zh_Hans_CN": "简体中文"}
"""Locales that pages are in, as their readers call them. Sentences are written in the first."""

TAGS = {"en": "en", "zh_Hans_CN": "zh-CN"}
"""As BCP 47 names them: in `lang`, and in the cookie."""

_language: ContextVar[str] = ContextVar("language", default="en")


def language() -> str:
    """The locale of the page that is being made."""
    return _language.get()


def locale() -> Locale:
    return Locale.parse(language())


@contextmanager
def speaking(name: str) -> Iterator[None]:
    """Has sentences within in this language."""
    token = _language.set(name)
    try:
        yield
    finally:
        _language.reset(token)


def gettext(sentence: str, /, **values: object) -> str:
    """The sentence in the language of the moment, with %(name)s put in."""
    said = _translations(language()).gettext(sentence)
    return said % values if values else said


def ngettext(one: str, many: str, number: int, /, **values: object) -> str:
    """The same for a number of things, which is %(num)s."""
    return _translations(language()).ngettext(one, many, number) % {"num": number, **values}


def marked(sentence: str) -> str:
    """A sentence that is looked up later: written in a table, said on a page."""
    return sentence


def chosen(cookie: str, accepted: str) -> str:
    """The language that somebody chose, or that his browser would rather have."""
    by_tag = {tag.lower(): name for name, tag in TAGS.items()}
    if cookie.lower() in by_tag:
        return by_tag[cookie.lower()]
    wanted = [_as_locale(part.partition(";")[0].strip()) for part in accepted.split(",")]
    return negotiate_locale(wanted, list(LANGUAGES)) or "en"


def _as_locale(tag: str) -> str:
    """Whatever Chinese it is, ours is nearer than English."""
    name = tag.replace("-", "_")
    return "zh_Hans_CN" if name.lower().startswith("zh") else name.partition("_")[0]


def catalogue(name: str) -> Catalog:
    """All rooms' sentences of a language in one. Raises ValueError for a malformed one, naming its file."""
    whole = Catalog(locale=name)
    for path in _files(name):
        with path.open("rb") as file:
            for message in read_po(file, locale=name, abort_invalid=True):
                if message.id:
                    whole.add(message.id, message.string, context=message.context, flags=message.flags)
    return whole


def _files(name: str) -> Sequence[Path]:
    return sorted((CATALOGUES / name).glob("*.po"))


@cache
def _translations(name: str) -> stdlib.NullTranslations:
    if name == "en":
        return stdlib.NullTranslations()
    compiled = io.BytesIO()
    write_mo(compiled, catalogue(name))
    compiled.seek(0)
    return stdlib.GNUTranslations(compiled)
