"""What was typed into a form: kept as it is, so that a refused one shows it again."""

import re
from collections.abc import Sequence

from fastapi import Request
from starlette.datastructures import FormData

from services.console.pages.amounts import seconds

LONGEST = 10_240
WORD = re.compile(r"[\s,;，；、]+")


class Typed:
    """Fields by name. Of each no more than 10,240 characters are read."""

    def __init__(self, data: FormData | None = None) -> None:
        self._data = data if data is not None else FormData()

    def text(self, name: str, default: str = "") -> str:
        value = self._data.get(name, default)
        return value.strip()[:LONGEST] if isinstance(value, str) else default

    def all(self, name: str) -> Sequence[str]:
        """What several fields of the same name say, in the page's order."""
        return [value.strip()[:LONGEST] for value in self._data.getlist(name) if isinstance(value, str)]

    def list(self, name: str) -> Sequence[str]:
        """Words that stand between spaces, commas or in lines of their own."""
        return [word for word in WORD.split(self.text(name)) if word]

    def number(self, name: str, default: int = 0) -> int:
        """A whole number; -1, which every limit refuses, for what is none."""
        said = self.text(name)
        if not said:
            return default
        return int(said) if re.fullmatch(r"\d{1,9}", said) else -1

    def length(self, name: str) -> int:
        """Seconds of a length such as 30s or 15m; 0 for nothing, -1, which every limit refuses, for what is none."""
        try:
            return seconds(self.text(name) or "0")
        except ValueError:
            return -1

    def checked(self, name: str) -> bool:
        return self.text(name) not in ("", "0", "false")

    @property
    def request_id(self) -> str:
        """Of the form that was shown: sent twice, it is done once."""
        return self.text("request_id")[:64]

    @property
    def etag(self) -> str:
        """Of what the page showed: a change must be of that, or it is refused."""
        return self.text("etag")


async def typed(request: Request) -> Typed:
    return Typed(await request.form(max_files=1, max_fields=2000))
