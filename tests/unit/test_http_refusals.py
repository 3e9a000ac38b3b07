"""The table from our errors to the API's codes: complete, and true to the published codes."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.common import errors as refusals
from services.http_api.error_codes import CODES, Code
from services.http_api.errors import Refused, body
from services.http_api.refusal_table import FIELDS, KINDS, MISSING, NOT_THERE, REASONS, STATES, TOO_MANY, By
from services.http_api.refusals import refused
from sidegate import errors

ROOT = Path(__file__).resolve().parent.parent.parent
REFUSALS = {
    name for name, kind in vars(refusals).items() if isinstance(kind, type) and issubclass(kind, refusals.Refused)
}


def reasons_in(path: Path) -> Iterator[str]:
    """Reasons that are given where a refusal is made, or where a function of the module makes it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        first = node.args[0]
        if name in REFUSALS and isinstance(first, ast.Constant) and isinstance(first.value, str):
            yield first.value


def every_reason() -> set[str]:
    paths = [path for room in ("common", "registry", "endpoint") for path in (ROOT / "services" / room).rglob("*.py")]
    return {reason for path in paths for reason in reasons_in(path) if reason.isupper()}


def test_every_reason_of_ours_has_a_code() -> None:
    found = every_reason()
    assert len(found) > 60, "the search finds them"
    assert found - set(REASONS) == set()


def test_every_kind_of_error_has_a_code() -> None:
    kinds = {
        kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.SidegateError)
    }
    assert kinds - {errors.SidegateError} == set(KINDS)


def test_the_tables_name_codes_that_there_are() -> None:
    tables = (KINDS, REASONS, NOT_THERE, STATES, FIELDS, MISSING, TOO_MANY)
    named = [code for table in tables for code in table.values() if not isinstance(code, (By, Code))]
    assert [digits for digits in named if digits not in CODES] == []


def test_codes_are_as_they_were_published() -> None:
    assert len(CODES) == 156
    assert CODES["1018"] == Code("Endpoint.1018", 400, "Quota exceeded.")
    assert CODES["0005"].status == CODES["2006"].status == CODES["4004"].status == 404
    assert (CODES["0003"].status, CODES["0004"].status, CODES["0001"].status) == (401, 403, 500)
    assert {code.status for code in CODES.values()} == {400, 401, 403, 404, 500, 504}
    assert body(CODES["0002"]) == {"error_code": "EndPoint.0002", "error_msg": "Parameter error."}


@pytest.mark.parametrize(
    ("error", "code", "status"),
    [
        (errors.NotFound("", reason="NOT_FOUND", metadata={"kind": "service"}), "EndPoint.0005", 404),
        (errors.NotFound("", reason="NOT_FOUND", metadata={"kind": "endpoint"}), "EndPoint.2006", 404),
        (errors.WrongState("", reason="WRONG_STATE", metadata={"state": "failed"}), "EndPoint.2047", 400),
        (errors.WrongState("", reason="WRONG_STATE", metadata={"state": "deleting"}), "EndPoint.2018", 400),
        (errors.WrongState("", reason="SERVICE_IN_USE", blockers=["e"]), "EndPoint.3006", 400),
        (errors.QuotaReached("", reason="SERVICE_QUOTA"), "Endpoint.1018", 400),
        (errors.InvalidRequest("", reason="FIELD_INVALID", field="endpoint.tags[3].key"), "EndPoint.0002", 400),
        (errors.InvalidRequest("", reason="CIDR_INVALID", field="endpoint.allowed_cidrs[0]"), "EndPoint.2044", 400),
        (errors.Outdated("", reason="CHANGED_MEANWHILE"), "EndPoint.1004", 412),
        (errors.Unavailable("", reason="STORE_UNAVAILABLE", retry_after=1), "EndPoint.0001", 503),
        (errors.TimedOut("", reason="DEADLINE_EXCEEDED"), "EndPoint.0013", 504),
        (errors.Unexpected("", reason="INTERNAL"), "EndPoint.0001", 500),
        (errors.InvalidRequest("", reason="WHAT_NOBODY_KNOWS"), "EndPoint.0002", 400),
    ],
)
def test_an_error_is_its_code(error: errors.SidegateError, code: str, status: int) -> None:
    found = refused(error)
    assert (found.code.wire, found.code.status) == (code, status)
    assert found.headers == ({"Retry-After": "1"} if error.retry_after else {})


def test_the_words_of_a_code_come_first() -> None:
    assert Refused("0002", "limit: too much.").body["error_msg"] == "Parameter error. limit: too much."
