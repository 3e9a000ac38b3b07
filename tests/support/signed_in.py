"""httpx with a session of the console: for what is not worth a browser."""

import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

import httpx

from sidegate.credentials import Credential


class Console(Protocol):
    """A running one, and what its certificate is verified with (PEM)."""

    @property
    def console_url(self) -> str: ...

    @property
    def ca(self) -> bytes: ...


TOKEN = re.compile(r'name="csrf" value="([^"]+)"')


@asynccontextmanager
async def visiting(sidegate: Console, timeout: float = 20.0) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody who is not signed in; TLS is verified."""
    trust = ssl.create_default_context(cadata=sidegate.ca.decode())
    async with httpx.AsyncClient(base_url=sidegate.console_url, verify=trust, timeout=timeout) as browser:
        yield browser


async def enter(browser: httpx.AsyncClient, credential: Credential) -> httpx.Response:
    """What the form of the door is answered with."""
    form = {"access_key": credential.access_key, "secret_key": credential.secret_key, "next": "/"}
    return await browser.post("/sign-in", data={**form, "csrf": await token(browser, "/sign-in")})


async def token(browser: httpx.AsyncClient, path: str) -> str:
    """What forms of the page carry."""
    page = await browser.get(path)
    found = TOKEN.search(page.text)
    assert found, page.text
    return found[1]


@asynccontextmanager
async def signed_in(sidegate: Console, credential: Credential) -> AsyncIterator[httpx.AsyncClient]:
    async with visiting(sidegate) as browser:
        answer = await enter(browser, credential)
        assert answer.status_code == 303, answer.text
        yield browser
