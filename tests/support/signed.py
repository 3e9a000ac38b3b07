"""httpx that signs its requests as the SDK does: `async with signed(sidegate, key) as http: await http.get(...)`."""

import hmac
import ssl
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import httpx

from services.http_api.auth.signature import ALGORITHM, DATE_FORM, Request, Signature, string_to_sign
from sidegate.project_ids import project_id
from tests.support.standalone import Standalone


@dataclass(frozen=True, slots=True)
class Key:
    """An access key, and whose it is."""

    access: str
    secret: str
    account: str
    project: str = "default"

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> "Key":
        """As `sidegate account create -o json` prints it."""
        return cls(answer["access_key"], answer["secret_key"], answer["account"], answer["project"])

    @property
    def project_id(self) -> str:
        return project_id(self.account, self.project)


class Signing(httpx.Auth):
    """Signs host, date and whatever headers of ours there are."""

    requires_request_body = True

    def __init__(self, key: Key) -> None:
        self._key = key

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["X-Sdk-Date"] = datetime.now(UTC).strftime(DATE_FORM)
        request.headers["Authorization"] = authorization(self._key, request)
        yield request


def authorization(key: Key, request: httpx.Request) -> str:
    headers = [(name.lower(), value) for name, value in request.headers.items() if name.lower() not in UNSIGNED]
    path, _, query = request.url.raw_path.partition(b"?")
    names = sorted({name for name, _ in headers})
    shell = Signature(key.access, names, "")
    text = string_to_sign(Request(request.method, path, query, headers, request.content), shell)
    mac = hmac.new(key.secret.encode(), text, sha256).hexdigest()
    return f"{ALGORITHM} Access={key.access}, SignedHeaders={';'.join(names)}, Signature={mac}"


UNSIGNED = frozenset({"authorization", "connection", "accept-encoding", "content-length"})


def trust(sidegate: Standalone) -> ssl.SSLContext:
    """TLS that believes its authority, and nobody else's."""
    return ssl.create_default_context(cadata=sidegate.ca.decode())


def signed(sidegate: Standalone, key: Key, **options: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=sidegate.https, auth=Signing(key), verify=trust(sidegate), timeout=30.0, **options
    )
