"""How a command ends: exit codes, and the one line that says what went wrong."""

from collections.abc import Mapping
from enum import IntEnum

from sidegate import errors


class Exit(IntEnum):
    """What the shell hears."""

    OK = 0
    NO = 1
    USAGE = 2
    NOT_THERE = 3
    REFUSED = 4
    UNAVAILABLE = 5
    INTERRUPTED = 130


MEANINGS: Mapping[Exit, str] = {
    Exit.OK: "done",
    Exit.NO: "the answer is no: does not verify, differs, became something else",
    Exit.USAGE: "the command line is wrong, or a value in it",
    Exit.NOT_THERE: "the thing is not there, or not yours",
    Exit.REFUSED: "refused: state, quota, name taken, changed meanwhile, not allowed",
    Exit.UNAVAILABLE: "Sidegate is away, or did not answer in time",
    Exit.INTERRUPTED: "ended by Ctrl-C",
}

CODES: Mapping[type[Exception], Exit] = {
    errors.InvalidRequest: Exit.USAGE,
    errors.NotFound: Exit.NOT_THERE,
    errors.OutOfRange: Exit.NOT_THERE,
    errors.Unavailable: Exit.UNAVAILABLE,
    errors.Unexpected: Exit.UNAVAILABLE,
    errors.SidegateError: Exit.REFUSED,
}

HINTS: Mapping[type[Exception], str] = {
    errors.Forbidden: "an operator may, with its own credential and without --account",
    errors.Unauthenticated: "`sidegate whoami` tries a credential; --credential FILE names another",
    errors.Outdated: "read it again, then repeat the command",
    errors.QuotaReached: "delete what is not needed, or ask the operator for more",
    errors.TimedOut: "whether it was done is not known: list before you repeat it",
    errors.Unavailable: "is Sidegate running? start it with `make up`, or name another with --config or --data-dir",
    errors.Unexpected: "the log of the program that answered says more",
}

WHOEVER_ASKS = frozenset({"FORWARDER_NOT_ALLOWED", "ROUTE_TABLE_DEFAULT"})
"""Reasons for which an operator is refused, too: their words say the way out."""

BLOCKERS_SHOWN = 10


class Complaint(Exception):
    """The command line's own no, with the way out."""

    def __init__(self, text: str, code: Exit, hint: str = "", *, reason: str = "", field: str = "") -> None:
        super().__init__(text)
        self.text, self.code, self.hint = text, code, hint
        self.reason, self.field = reason, field


def code_of(error: errors.SidegateError) -> Exit:
    return next(CODES[kind] for kind in type(error).__mro__ if kind in CODES)


def text_of(error: errors.SidegateError) -> str:
    """The error's words, then its reason and the field at fault."""
    marks = [error.reason] * bool(error.reason) + [f"field {error.field}"] * bool(error.field)
    return f"{error.text} ({'; '.join(marks)})" if marks else error.text


def hint_of(error: errors.SidegateError) -> str:
    """The way out, where there is one to name."""
    if error.blockers:
        more = len(error.blockers) - BLOCKERS_SHOWN
        return f"in the way: {', '.join(error.blockers[:BLOCKERS_SHOWN])}" + (f" and {more} more" if more > 0 else "")
    if error.retry_after is not None:
        return f"try again in {error.retry_after:g} s"
    if isinstance(error, errors.NotFound) and (kind := error.metadata.get("kind", "")):
        noun = kind.replace("_", "-").replace(" ", "-")
        return f"what is yours is listed by `sidegate {noun} list`" if noun in LISTED else ""
    if error.reason in WHOEVER_ASKS:
        return ""
    return next((HINTS[kind] for kind in type(error).__mro__ if kind in HINTS), "")


LISTED = frozenset({"account", "vpc", "subnet", "route-table", "port", "attachment", "service", "endpoint"})


def complaint_of(error: errors.SidegateError) -> Complaint:
    return Complaint(text_of(error), code_of(error), hint_of(error), reason=error.reason, field=error.field)


def lines(complaint: Complaint) -> list[str]:
    """What goes to stderr: one line, and one more where there is a way out. Control characters do not get through."""
    said = [f"sidegate: error: {printable(complaint.text)}"]
    return [*said, f"hint: {printable(complaint.hint)}"] if complaint.hint else said


def facts(complaint: Complaint, trace_id: str) -> dict[str, str | int]:
    """What goes to stderr for programs: the constant `reason` and the `trace_id` under which programs log the call."""
    return {
        "error": complaint.text,
        "reason": complaint.reason,
        "field": complaint.field,
        "hint": complaint.hint,
        "exit_code": complaint.code.value,
        "trace_id": trace_id,
    }


def printable(text: str) -> str:
    """The text on one line, unable to move a terminal's cursor."""
    return "".join(each if each.isprintable() else "?" for each in " ".join(text.split()))
