"""Policies: the two forms that the API has, in the one document that an endpoint carries. Pure."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from services.http_api.errors import Refused
from services.http_api.vpcep.endpoint_models import PolicyStatement

INVALID = "2048"
STATEMENT, VERSION = "Statement", "Version"


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
    try:
        return json.dumps(policy, ensure_ascii=False, allow_nan=False)
    except (ValueError, RecursionError):
        raise Refused(INVALID, "It has a number that JSON does not.") from None


def shown(kept: str) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
    """Statements and document; one that came by another way than this API is a document."""
    if not kept:
        return [], None
    policy = json.loads(kept)
    statements = policy.get(STATEMENT)
    if policy.keys() == {STATEMENT} and isinstance(statements, list) and all(isinstance(s, dict) for s in statements):
        return statements, None
    return [], policy
