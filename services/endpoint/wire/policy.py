"""Policy documents: any JSON object that is not too large."""

import json

from services.common.errors import Invalid

LARGEST_POLICY = 10_240


def policy_of(text: str, field: str) -> str:
    """The document as it was given; empty for none. Raises Invalid for what is too large or no JSON object."""
    if text and (len(text.encode()) > LARGEST_POLICY or not _is_object(text)):
        raise Invalid("POLICY_INVALID", f"a policy is a JSON object of up to {LARGEST_POLICY} bytes", field=field)
    return text


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text, parse_constant=_refuse), dict)
    except (ValueError, RecursionError):
        return False


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")
