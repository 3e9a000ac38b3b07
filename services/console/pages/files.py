"""Files below /static/: each is compressed once, not for every browser that comes."""

import gzip
import mimetypes
import os
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

TEXT = frozenset({".js", ".css", ".svg"})
SMALLEST = 500
"""Bytes; compressed, smaller ones are no smaller."""


class Files(StaticFiles):
    async def get_response(self, path: str, scope: Scope) -> Response:
        headers = Headers(scope=scope)
        full, found = self.lookup_path(path)
        fits = found is not None and found.st_size >= SMALLEST and Path(full).suffix in TEXT
        if not fits or found is None or scope["method"] != "GET" or "gzip" not in headers.get("accept-encoding", ""):
            return await super().get_response(path, scope)
        body, tag = _compressed(full, found.st_mtime_ns)
        sent = {"etag": tag, "vary": "Accept-Encoding", "content-encoding": "gzip"}
        if headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=sent)
        return Response(body, media_type=mimetypes.guess_type(full)[0], headers=sent)


@lru_cache(maxsize=256)
def _compressed(path: str | os.PathLike[str], _changed: int) -> tuple[bytes, str]:
    """The content, and what it is called by."""
    body = gzip.compress(Path(path).read_bytes(), mtime=0)
    return body, f'"{sha256(body).hexdigest()[:32]}"'
