"""What a caller says of a change beside the change, in headers that only Sidegate knows. Pure."""

import re
from collections.abc import Collection, Sequence

from services.http_api.errors import Refused
from services.http_api.upstream import Wish

KEY, MATCH, ONLY = "x-idempotency-key", "if-match", "x-validate-only"
SHAPE = re.compile(r"[\x21-\x7e]{1,64}")
ETAG = re.compile(r'"?(?P<etag>[A-Za-z0-9._-]{1,32})"?')
WORDS = {"true": True, "false": False}


def wish_of(headers: Sequence[tuple[bytes, bytes]], signed: Collection[str] | None) -> Wish:
    """Raises Refused: also for a header that the signature does not vouch for, since to overlook it would be worse.

    `signed` is None where a token vouches for the whole.
    """
    said = {name: _said(headers, name) for name in (KEY, MATCH, ONLY)}
    for name, value in said.items():
        if value == "":
            raise Refused("0002", f"{name} is empty: leave it out.")
        if value is not None and signed is not None and name not in signed:
            raise Refused("0002", f"{name} is not among the headers that are signed.")
    key, only = said[KEY] or "", said[ONLY]
    if key and not SHAPE.fullmatch(key):
        raise Refused("0002", f"{KEY} is up to 64 printable characters without blanks.")
    if only is not None and only not in WORDS:
        raise Refused("0002", f"{ONLY} is true or false.")
    return Wish(key, _etag(said[MATCH]), WORDS[only] if only else False)


def quoted(etag: str) -> str:
    """As the header ETag has it."""
    return f'"{etag}"'


def _etag(said: str | None) -> str:
    """`*` asks for nothing but that the thing is there, which every change does."""
    if said in (None, "*"):
        return ""
    found = ETAG.fullmatch(said or "")
    if found is None:
        raise Refused("0002", f"{MATCH} is one etag, as the header ETag of an answer gave it.")
    return found["etag"]


def _said(headers: Sequence[tuple[bytes, bytes]], name: str) -> str | None:
    values = [value.decode("latin-1").strip() for known, value in headers if known.decode("latin-1").lower() == name]
    if len(values) > 1:
        raise Refused("0002", f"{name} is said more than once.")
    return values[0] if values else None
