"""Page tokens: where a list goes on, bound to the list that it came from."""

import base64
import binascii
import hashlib
import json

from google.protobuf.message import Message

from services.common.errors import Invalid
from services.common.rpc.auth import principal

DEFAULT_PAGE = 100


def page_size(request_size: int) -> int:
    return request_size or DEFAULT_PAGE


def query_of(request: Message) -> str:
    """What a list asks for, by whom: everything of the request but the page."""
    copy = type(request)()
    copy.CopyFrom(request)
    copy.ClearField("page_size")
    copy.ClearField("page_token")
    digest = hashlib.sha256(f"{request.DESCRIPTOR.full_name} {principal()} ".encode())
    digest.update(copy.SerializeToString(deterministic=True))
    return digest.hexdigest()[:16]


def encode(after: int, query: str) -> str:
    """The token for the rows behind `after`."""
    return base64.urlsafe_b64encode(json.dumps([after, query]).encode()).decode()


def decode(token: str, query: str) -> int:
    """Where the list goes on; 0 for an empty token. Raises Invalid for a token of another list."""
    if not token:
        return 0
    try:
        after, of_query = json.loads(base64.urlsafe_b64decode(token))
    except (binascii.Error, ValueError, TypeError):
        after, of_query = None, None
    if not isinstance(after, int) or of_query != query:
        text = "this page_token is not of this list: begin without one"
        raise Invalid("PAGE_TOKEN_INVALID", text, field="page_token")
    return after
