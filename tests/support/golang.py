"""What Terraform's Go client does with an HTTP API: how it signs, how strictly it reads, how it waits."""

import hmac
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from types import TracebackType
from typing import Any, Self

import httpx

from services.http_api.auth.signature import ALGORITHM, DATE_FORM, Request, Signature, string_to_sign
from tests.support.signed import Key, trust
from tests.support.standalone import Standalone, until

SIGNED = ("accept", "content-type", "user-agent", "x-sdk-date")
"""Host is not among them, and X-Project-Id is added when the signature is made."""

OK = {"GET": {200}, "POST": {200}, "PUT": {200}, "DELETE": {202, 204}}
Shape = Mapping[str, type]
"""The types of the fields that a Go structure has; what it does not have is passed over."""


class Unexpected(Exception):
    """A status that the Go client takes for an error."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(f"{status}: {body}")
        self.status = status


class Go:
    """`async with Go(sidegate, key) as go: await go.ask("GET", "/v1/{project_id}/vpcs")`."""

    def __init__(self, sidegate: Standalone, key: Key) -> None:
        self._key = key
        self._http = httpx.AsyncClient(base_url=sidegate.https, verify=trust(sidegate), timeout=60.0)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def ask(self, method: str, path: str, body: Any = None, *, ok: set[int] | None = None) -> Any:
        """The decoded answer; raises Unexpected."""
        content = b"" if body is None else json.dumps(body).encode()
        headers = {
            "Accept": "application/json",
            "Content-Type": "application/json",
            "User-Agent": "terraform-provider-huaweicloud",
            "X-Sdk-Date": datetime.now(UTC).strftime(DATE_FORM),
        }
        request = self._http.build_request(
            method, path.replace("{project_id}", self._key.project_id), content=content, headers=headers
        )
        request.headers["Authorization"] = self._authorization(request, content)
        request.headers["X-Project-Id"] = self._key.project_id
        answer = await self._http.send(request)
        if answer.status_code not in (ok or OK[method]):
            raise Unexpected(answer.status_code, answer.text)
        return answer.json() if answer.content else None

    async def status(self, path: str) -> int:
        """That of a GET."""
        try:
            await self.ask("GET", path)
        except Unexpected as error:
            return error.status
        return 200

    async def gone(self, what: str, path: str) -> None:
        """Waits as a destroy does: for 404, and for nothing else."""

        async def ask() -> bool:
            status = await self.status(path)
            assert status in (200, 404)
            return status == 404

        await until(f"{what} to be gone", ask)

    def _authorization(self, request: httpx.Request, content: bytes) -> str:
        headers = [(name, request.headers[name]) for name in SIGNED]
        path, _, query = request.url.raw_path.partition(b"?")
        shell = Signature(self._key.access, list(SIGNED), "")
        text = string_to_sign(Request(request.method, path, query, headers, content), shell)
        mac = hmac.new(self._key.secret.encode(), text, sha256).hexdigest()
        return f"{ALGORITHM} Access={self._key.access}, SignedHeaders={';'.join(SIGNED)}, Signature={mac}"


def decoded(found: Mapping[str, Any], shape: Shape) -> dict[str, Any]:
    """The fields of a Go structure. A value of another type fails, as encoding/json does; null is a zero."""
    for name, kind in shape.items():
        value = found.get(name)
        assert value is None or type(value) is kind, f"{name} is {value!r}, and Go wants {kind.__name__}"
    return {name: kind() if found.get(name) is None else found[name] for name, kind in shape.items()}
