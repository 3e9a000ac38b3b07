"""What stands around the console's pages: bodies that are there, room for so many, streams that end with it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Message

from services.common.config import ConsoleSettings
from services.console.bounds import Bounded


def settings(**told: object) -> ConsoleSettings:
    places = {"tls": Path("tls"), "socket": Path("console.sock")}
    addresses = {"registry_address": "registry:1", "endpoint_address": "endpoint:1"}
    return ConsoleSettings(_cli_parse_args=False, **{**places, **addresses, **told})  # type: ignore[arg-type] # by name


class Pages:
    """`/held` is answered when it is told to; `/live` is a stream without end."""

    def __init__(self, **told: object) -> None:
        self.open, self.ending, self.held = asyncio.Event(), asyncio.Event(), asyncio.Event()
        routes = [Route("/held", self._held), Route("/live", self._live), Route("/", self._echo, methods=["POST"])]
        self.asgi = Bounded(Starlette(routes=routes), settings(**told), self.ending)

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.ASGITransport(self.asgi), base_url="https://console")

    async def _held(self, _request: Request) -> Response:
        self.held.set()
        await self.open.wait()
        return PlainTextResponse("there")

    async def _echo(self, request: Request) -> Response:
        return PlainTextResponse(str(len(await request.body())))

    async def _live(self, _request: Request) -> Response:
        async def events() -> AsyncIterator[str]:
            yield "begun"
            await asyncio.Event().wait()

        return EventSourceResponse(events())


async def test_beyond_what_may_be_in_flight_a_visitor_is_told_to_come_again() -> None:
    pages = Pages(in_flight=1)
    async with pages.client() as browser, asyncio.timeout(10):
        first = asyncio.ensure_future(browser.get("/held"))
        await pages.held.wait()
        second = await browser.get("/held")
        assert (second.status_code, second.headers["retry-after"]) == (503, "1")
        pages.open.set()
        assert (await first).text == "there"
        assert (await browser.get("/held")).text == "there"


@pytest.mark.parametrize(("size", "status"), [(1024, 200), (1025, 413)])
async def test_a_body_has_up_to_so_many_bytes(size: int, status: int) -> None:
    async with Pages(body_bytes=1024).client() as browser:
        assert (await browser.post("/", content=b"x" * size)).status_code == status


async def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    pages, said = Pages(body_seconds=0.05), list[Message]()

    async def never() -> Message:
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return] # it gives nothing

    async def note(message: Message) -> None:
        said.append(message)

    scope = {"type": "http", "method": "POST", "path": "/", "headers": [], "query_string": b"", "client": ("here", 1)}
    async with asyncio.timeout(10):
        await pages.asgi(scope, never, note)
    assert said[0]["status"] == 408


async def test_a_stream_takes_nobodys_place_and_is_complete_when_the_program_ends() -> None:
    pages, said, begun = Pages(in_flight=1), list[Message](), asyncio.Event()
    pages.open.set()

    async def asked() -> Message:
        if not said and not begun.is_set():
            begun.set()
            return {"type": "http.request", "body": b"", "more_body": False}
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return] # it gives nothing

    async def note(message: Message) -> None:
        said.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/live",
        "headers": [],
        "query_string": b"",
        "client": ("here", 1),
    }
    async with asyncio.timeout(10), pages.client() as browser:
        live = asyncio.ensure_future(pages.asgi(scope, asked, note))
        while len(said) < 2:
            await asyncio.sleep(0)
        assert (await browser.get("/held")).text == "there"
        pages.ending.set()
        await live
    assert said[0]["status"] == 200
    assert said[-1] == {"type": "http.response.body", "body": b"", "more_body": False}


async def test_what_meets_a_limit_is_told_so_on_a_page_in_the_readers_language() -> None:
    pages = Pages(body_bytes=1024)
    async with pages.client() as browser:
        asked = {"accept-language": "zh-CN,zh;q=0.9"}
        refused = await browser.post("/", content=b"x" * 1025, headers=asked)
        assert refused.status_code == 413
        assert '<html lang="zh-CN">' in refused.text
        assert "最多 1024 字节" in refused.text
        assert "default-src 'none'" in refused.headers["content-security-policy"]
        assert "1024 bytes at most" in (await browser.post("/", content=b"x" * 1025)).text
