"""Every route of the console, walked: nobody gets a page, and nothing changes by what does not come from a page."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import httpx
import pytest
from fastapi.routing import APIRoute

from services.console.app import Console, Ports
from services.console.pages.around import HEADERS
from services.console.sessions.access import COOKIE, VISIT
from services.console.sessions.session import Session
from services.console.sessions.store import Bounds
from services.console.signing_in.keys import Places
from sidegate.api.registry.v1.account_pb2 import ROLE_ADMIN
from sidegate.api.registry.v1.account_service_pb2 import Identity
from sidegate.client import Client

ID = "6f1c2a3b-5d0e-4f6a-9b1c-2d3e4f5a6b7c"

OPEN = {"/sign-in", "/sign-in/provider", "/sign-in/provider/back", "/choose"}
"""What nobody may ask for, too; what these change is the visitor's own."""


def console() -> Console:
    return Console(Ports(Places("127.0.0.1:1", "127.0.0.1:1", "", b""), "local", Bounds()))


def routes(method: str, within: Sequence[object] | None = None) -> Iterator[str]:
    """Paths, with something for each of their parameters."""
    for route in console().app.routes if within is None else within:
        if isinstance(route, APIRoute):
            if method in (route.methods or ()):
                yield re.sub(r"\{[^}]*\}", ID, route.path)
        elif (router := getattr(route, "original_router", None)) is not None:
            yield from routes(method, router.routes)


@pytest.fixture
async def served() -> AsyncIterator[tuple[Console, httpx.AsyncClient]]:
    made = console()
    transport = httpx.ASGITransport(made.asgi)
    async with httpx.AsyncClient(transport=transport, base_url="https://console.test") as client:
        yield made, client
    await made.close()


Served = tuple[Console, httpx.AsyncClient]


def sign_in(made: Console, client: httpx.AsyncClient, services: Client | None = None) -> Session:
    """A session of an account whose services are away, unless they are given: nothing but the console decides."""
    identity = Identity(account="shop", project="default", role=ROLE_ADMIN, access_key="AK1")
    session = Session(identity, "AK1", services or Client(), made.sessions.now(), made.sessions.now())
    client.cookies.set(COOKIE, made.sessions.keep(session))
    return session


def test_there_are_routes_to_walk() -> None:
    assert len(set(routes("GET"))) > 5
    assert len(set(routes("POST"))) > 3


@pytest.mark.parametrize("path", sorted(set(routes("GET")) - OPEN))
async def test_nobody_is_sent_to_the_door(served: Served, path: str) -> None:
    _, client = served
    answer = await client.get(path)
    assert answer.status_code in (303, 401), answer.text
    if answer.status_code == 303:
        assert answer.headers["location"].startswith("/sign-in?next=%2F")


@pytest.mark.parametrize("path", sorted(set(routes("GET"))))
async def test_every_answer_has_the_headers_that_keep_others_out(served: Served, path: str) -> None:
    _, client = served
    answer = await client.get(path)
    assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS
    assert answer.headers["cache-control"] == "no-store"
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize("path", sorted(set(routes("POST"))))
@pytest.mark.parametrize(
    ("headers", "form"),
    [
        ({}, {}),
        ({}, {"csrf": ""}),
        ({}, {"csrf": "x" * 43}),
        ({"x-csrf-token": "x" * 43}, {}),
        ({"origin": "https://evil.test"}, {"csrf": "RIGHT"}),
        ({"origin": "null"}, {"csrf": "RIGHT"}),
        ({"sec-fetch-site": "cross-site"}, {"csrf": "RIGHT"}),
        ({"sec-fetch-site": "same-site"}, {"csrf": "RIGHT"}),
    ],
)
async def test_nothing_changes_by_what_no_page_of_this_session_sends(
    served: Served, path: str, headers: dict[str, str], form: dict[str, str]
) -> None:
    made, client = served
    session = sign_in(made, client)
    sent = {name: session.csrf if value == "RIGHT" else value for name, value in form.items()}
    answer = await client.post(path, data=sent, headers=headers)
    assert answer.status_code == 403, answer.text
    assert 'data-reason="FORGED"' in answer.text


@pytest.mark.parametrize("charset", ["utf-8", "punycode"])
async def test_a_form_in_parts_is_read_by_nobody_for_it_names_what_decodes_it(served: Served, charset: str) -> None:
    """A megabyte of punycode took three minutes, in which no other request was answered."""
    made, client = served
    token = sign_in(made, client).csrf
    kind = f"multipart/form-data; boundary=x; charset={charset}"
    part = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n-' + b"aa" * 20_000 + b"\r\n--x--\r\n"
    for headers in ({}, {"x-csrf-token": token}):
        began = time.process_time()
        answer = await client.post("/choose", content=part, headers={**headers, "content-type": kind})
        assert 'data-reason="FORGED"' in answer.text
        assert time.process_time() - began < 0.1


async def test_what_is_no_access_key_is_refused_here_however_often_and_costs_nobody_a_connection(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The registry refused it as malformed, which counted as no attempt: without end, a connection to it for each."""
    monkeypatch.setattr("services.console.signing_in.keys.Client", None)
    _, client = served
    await client.get("/sign-in")
    form = {"csrf": client.cookies[VISIT], "access_key": "K" * 65, "secret_key": "x"}
    for _ in range(30):
        answer = await client.post("/sign-in", data=form)
        assert answer.status_code == 422
        assert 'id="access_key-wrong"' in answer.text


async def test_the_token_of_one_session_is_none_of_anothers(served: Served) -> None:
    made, client = served
    other = sign_in(made, client)
    client.cookies.clear()
    sign_in(made, client)
    assert (await client.post("/vpcs/new", data={"csrf": other.csrf})).status_code == 403


ABOVE = {
    "/operator/accounts/bank/keys": "/operator/accounts/bank",
    "/operator/accounts/bank/keys/AK2/rotate": "/operator/accounts/bank",
    "/operator/accounts/bank/projects": "/operator/accounts/bank",
    f"/services/{ID}/connections/decide": f"/services/{ID}",
    f"/services/{ID}/name/verify": f"/services/{ID}",
    f"/endpoints/{ID}/test": f"/endpoints/{ID}",
    "/act-for": "/",
}


@pytest.mark.parametrize("path", ABOVE)
async def test_what_has_only_answered_a_form_is_read_again_as_the_page_above(served: Served, path: str) -> None:
    """Choosing a language there, or coming back from the door, was answered with "Method Not Allowed"."""
    made, client = served
    sign_in(made, client)
    answer = await client.get(path)
    assert (answer.status_code, answer.headers.get("location")) == (303, ABOVE[path])


@pytest.mark.parametrize("path", sorted(set(routes("POST"))))
async def test_no_address_of_a_form_is_a_dead_end(served: Served, path: str) -> None:
    made, client = served
    sign_in(made, client)
    assert (await client.get(path)).status_code != 405


async def test_who_is_being_answered_when_he_signs_out_in_another_tab_goes_to_the_door(
    served: Served, tmp_path: Path
) -> None:
    """Closing the session's connections cancelled what was asked over them, which was a 500."""
    made, client = served
    connected = asyncio.Queue[asyncio.StreamWriter]()
    server = await asyncio.start_unix_server(lambda _, writer: connected.put_nowait(writer), tmp_path / "silent")
    session = sign_in(made, client, Client(f"unix:{tmp_path / 'silent'}"))
    asking = asyncio.create_task(client.get("/vpcs"))
    writer = await connected.get()
    made.sessions.end(session)
    assert (await asking).headers["location"] == "/sign-in?next=%2Fvpcs"
    writer.close()
    server.close()


HOSTILE = "https://["
"""No address at all: urlsplit raises ValueError."""


async def test_an_origin_that_is_no_address_is_none_of_ours(served: Served) -> None:
    _, client = served
    answer = await client.post("/sign-in", data={"csrf": "x"}, headers={"origin": HOSTILE})
    assert answer.status_code == 403
    assert 'data-reason="FORGED"' in answer.text


async def test_who_says_that_his_page_has_no_address_is_sent_to_the_door_alone(served: Served) -> None:
    _, client = served
    answer = await client.get("/vpcs", headers={"hx-request": "true", "hx-current-url": HOSTILE})
    assert (answer.status_code, answer.headers["hx-redirect"]) == (401, "/sign-in")


async def test_the_door_takes_forms_of_its_own_page_alone(served: Served) -> None:
    _, client = served
    page = await client.get("/sign-in")
    visit = client.cookies[VISIT]
    assert f'name="csrf" value="{visit}"' in page.text
    assert "HttpOnly; SameSite=Lax" in page.headers["set-cookie"]
    assert "Secure" in page.headers["set-cookie"]
    right = await client.post("/sign-in", data={"csrf": visit, "access_key": ""})
    assert right.status_code == 422
    client.cookies.clear()
    assert (await client.post("/sign-in", data={"csrf": visit})).status_code == 403


@pytest.mark.parametrize(
    ("asked", "goes"),
    [
        ("/vpcs?page=2", "/vpcs?page=2"),
        ("https://evil.test/", "/"),
        ("//evil.test/", "/"),
        ("/\\evil.test/", "/"),
        ("javascript:alert(1)", "/"),
        ("/\n/evil.test", "/"),
        ("/\t/evil.test", "/"),
        ("", "/"),
    ],
)
async def test_the_way_on_leads_to_a_page_of_ours_alone(served: Served, asked: str, goes: str) -> None:
    made, client = served
    sign_in(made, client)
    answer = await client.get("/sign-in", params={"next": asked})
    assert answer.headers["location"] == goes


async def test_what_is_shown_is_escaped(served: Served) -> None:
    _, client = served
    page = await client.get("/sign-in")
    hostile = '"><script>alert(1)</script>'
    answer = await client.post("/sign-in", data={"csrf": client.cookies[VISIT], "access_key": hostile, "next": hostile})
    assert "<script>alert" not in answer.text
    assert "&lt;script&gt;alert(1)" in answer.text
    assert page.text.count("<script") == answer.text.count("<script")


async def test_no_page_has_a_script_or_a_style_of_its_own_within(served: Served) -> None:
    _, client = served
    text = (await client.get("/sign-in")).text
    assert not re.search(r"<script(?![^>]*\ssrc=)", text)
    assert "<style" not in text
    assert not re.search(r"\s(style|on\w+)=", text)
