"""Refusals of the services as the reader is told them: what is wrong, in which field, what to do."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from services.console.pages.reasons import REASONS, WAYS_OUT
from services.console.pages.words import gettext as _
from services.console.pages.words import language
from sidegate import errors

STATUS: dict[type[errors.SidegateError], int] = {
    errors.InvalidRequest: 422,
    errors.NotFound: 404,
    errors.AlreadyExists: 409,
    errors.WrongState: 409,
    errors.QuotaReached: 409,
    errors.Outdated: 409,
    errors.Forbidden: 403,
    errors.Unauthenticated: 401,
    errors.OutOfRange: 422,
    errors.Unavailable: 503,
    errors.TimedOut: 504,
}


@dataclass(frozen=True, slots=True)
class Problem:
    """`field` is the path that the contract names, such as endpoint_service.port_mappings[1].client_port; `detail` is
    the service's own sentence, where the reader's language has only a general one; `blockers` are ids in the way.
    """

    text: str
    status: int
    reason: str = ""
    detail: str = ""
    field: str = ""
    way_out: str = ""
    blockers: Sequence[str] = ()

    def concerns(self, name: str) -> bool:
        """Whether the field with this name is at fault."""
        return name in re.split(r"[.\[\]]+", self.field)


def problem_of(error: errors.SidegateError) -> Problem:
    """As it is said in the language of the moment."""
    return Problem(
        text=sentence(error),
        status=STATUS.get(type(error), 500),
        reason=error.reason,
        detail=detail(error),
        field=error.field,
        way_out=_(WAYS_OUT[type(error)]) if type(error) in WAYS_OUT else "",
        blockers=error.blockers,
    )


def sentence(error: errors.SidegateError) -> str:
    """The service's own where the reader has English, or where the reason has no other."""
    return _(error.reason) if error.reason in REASONS and language() != "en" else error.text


def detail(error: errors.SidegateError) -> str:
    return error.text if sentence(error) != error.text else ""


def at_fault(field: str, text: str) -> Problem:
    """A field that the page itself cannot take."""
    return Problem(text, 422, "BAD_FIELD", field=field)
