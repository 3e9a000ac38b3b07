"""Policies: the two forms that the API has, in the one document that an endpoint carries. Pure."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from services.http_api.errors import Refused
from services.http_api.vpcep.endpoint_models import PolicyStatement

INVALID = "2048"
STATEMENT, VERSION = "Statement", "Version"
DEEPEST = 64
"""Levels of a document: an answer is not written for ever so many."""


def document(statements: Sequence[PolicyStatement] | None, policy: Mapping[str, Any] | None) -> str:
    """What is kept; empty for none. A document says its version, so that it is told from statements alone."""
    if statements and policy:
        raise Refused(INVALID, "Give either policy_statement or policy_document.")
    if policy:
        if not isinstance(policy.get(VERSION), str) or not isinstance(policy.get(STATEMENT), list):
            raise Refused(INVALID, "A policy_document has a Version and a list of Statement.")
        return _text(policy)
    if statements:
        return _text({STATEMENT: [each.model_dump(exclude_none=True) for each in statements]})
    return ""


def _text(policy: Mapping[str, Any]) -> str:
    if _is_deep(policy):
        raise Refused(INVALID, f"It is nested more than {DEEPEST} levels deep.")
    try:
        text = json.dumps(policy, ensure_ascii=False, allow_nan=False)
        text.encode()
    except ValueError:
        raise Refused(INVALID, "It has a number or a letter that JSON has not.") from None
    return text


def _is_deep(policy: object) -> bool:
    level, depth = [policy], 0
    while level and depth <= DEEPEST:
        depth += 1
        level = [part for each in level for part in _parts(each)]
    return bool(level)


def _parts(value: object) -> Sequence[object]:
    match value:
        case dict():
            return list(value.values())
        case list():
            return value
        case _:
            return ()


def shown(kept: str) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
    """Statements and document; one that came by another way than this API is a document, unless it is too deep."""
    policy = json.loads(kept) if kept else None
    if policy is None or _is_deep(policy):
        return [], None
    statements = policy.get(STATEMENT)
    if policy.keys() == {STATEMENT} and isinstance(statements, list) and all(isinstance(s, dict) for s in statements):
        return statements, None
    return [], policy
