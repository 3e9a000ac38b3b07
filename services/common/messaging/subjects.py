"""Subjects: how they are built from names that anybody may have chosen, and how they are matched."""

from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote, unquote

MAX_TOKEN = 255
"""Bytes of one token on the wire; five of them stay far below the 4096 of a NATS control line."""

ANY, REST = "*", ">"
FILLER = "sidegate.filler"
"""What stands before a log's name in the subject of messages that only keep the count."""


class InvalidToken(ValueError):
    """A name that cannot be a part of a subject: empty, too long or not text."""


@dataclass(frozen=True, slots=True)
class Selection:
    """The subjects that a subscriber hears.

    With `partition` they are all the events of that partition and nothing else, so that the `prev` link shows a loss.
    Without, they are all the events of a log, and a loss is a missing position. There is nothing in between: a
    subscriber that picked kinds of events could not tell a loss from what it did not ask for.
    """

    subject: str
    partition: str | None = None


@lru_cache(4096)
def token(name: str) -> str:
    """The name as one token of a subject: letters, digits, `-`, `_` and `~` as they are, the rest as %XX.

    Nothing that a name contains can end the token, match another one or be read as another name.
    """
    try:
        escaped = quote(name, safe="").replace(".", "%2E")
    except UnicodeEncodeError as error:
        raise InvalidToken(f"{name!r} cannot be part of a subject: it is not text") from error
    if not escaped:
        raise InvalidToken("a part of a subject is empty")
    if len(escaped) > MAX_TOKEN:
        raise InvalidToken(f"{name[:32]!r}... is too long for a subject: {len(escaped)} bytes of {MAX_TOKEN}")
    return escaped


def names(subject: str) -> tuple[str, ...]:
    """The names that a subject was built from, its first tokens (program and version) included."""
    return tuple(unquote(part) for part in subject.split("."))


def registry(kind: str, project: str, resource: str) -> str:
    """The subject of an event of the registry."""
    return f"registry.v1.{token(kind)}.{token(project)}.{token(resource)}"


def endpoint(cell: str, kind: str, project: str, resource: str) -> str:
    """The subject of an event of endpoint."""
    return f"endpoint.v1.{token(cell)}.{token(kind)}.{token(project)}.{token(resource)}"


def view(account: str, project: str, kind: str, resource: str) -> str:
    """The subject of what a project hears of a resource; `shop~live` is a project of an account, in one token."""
    return f"sidegate.v1.{_owner(account, project)}.{token(kind)}.{token(resource)}"


def of_project(account: str, project: str) -> str:
    """All that a project hears."""
    return f"sidegate.v1.{_owner(account, project)}.{REST}"


def _owner(account: str, project: str) -> str:
    return "~".join(token(name).replace("~", "%7E") for name in (account, project))


def everything(program: str) -> Selection:
    """All events of a program's log."""
    return Selection(f"{token(program)}.v1.{REST}")


def of_cell(cell: str) -> Selection:
    """The forwarding log of one cell."""
    return Selection(f"endpoint.v1.{token(cell)}.{REST}", partition=cell)


def matches(pattern: str, subject: str) -> bool:
    """Whether NATS would deliver the subject to a subscriber of the pattern."""
    wanted, given = pattern.split("."), subject.split(".")
    if wanted[-1] == REST:
        wanted.pop()
        if len(given) <= len(wanted):
            return False
        given = given[: len(wanted)]
    return len(wanted) == len(given) and all(w in (ANY, g) for w, g in zip(wanted, given, strict=True))
