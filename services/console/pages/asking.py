"""What forms of several rooms have in common: ids in their paths, and how they are shown again."""

from typing import Annotated

from fastapi import Path

from services.console.pages import amounts
from services.console.pages.forms import Typed
from services.console.pages.problems import Problem, problem_of
from services.console.pages.words import gettext as _
from sidegate import errors

UUID = r"^[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$"

Id = Annotated[str, Path(pattern=UUID)]
"""An id in a path. What is none is a page that is not there."""


def problem_with(error: errors.SidegateError | None) -> Problem | None:
    """As the form is to show it. Raises Unauthenticated again: nobody is there to show it to."""
    if isinstance(error, errors.Unauthenticated):
        raise error
    return problem_of(error) if error else None


def etag_with(error: errors.SidegateError | None, form: Typed, now: str) -> str:
    """What a change is to be one of: what the page first showed, or, once its reader was told of another, that."""
    return now if error is None or isinstance(error, errors.Outdated) else form.etag


def length(form: Typed, name: str, most: int) -> int:
    """Seconds; 0 where nothing was typed. Raises InvalidRequest for what is no length, or a longer one."""
    if not 0 <= (found := form.length(name)) <= most:
        text = _("A length of time, such as 30s, 15m, 12h or 7d; %(most)s at most.", most=amounts.length(most))
        raise errors.InvalidRequest(text, reason="BAD_FIELD", field=name)
    return found


def status_of(problem: Problem | None) -> int:
    return problem.status if problem else 200
