"""Ids in paths and bodies: what cannot be one is not there."""

from uuid import UUID

from services.http_api.error_codes import Code
from services.http_api.errors import Refused


def is_id(text: str) -> bool:
    try:
        return str(UUID(text)) == text.lower() and text.isascii()
    except ValueError:
        return False


def required(text: str, code: str | Code) -> str:
    """The id, in its usual form. Raises Refused with the code."""
    if not is_id(text):
        raise Refused(code)
    return text.lower()
