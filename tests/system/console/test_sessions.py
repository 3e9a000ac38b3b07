"""Sessions end as they are to: signed out, idle, old, revoked, forgotten; and who is at the door is told why."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from playwright.async_api import expect

from sidegate.api.registry.v1.account_pb2 import ROLE_ADMIN
from sidegate.credentials import Credential
from tests.support.another_console import AnotherConsole
from tests.support.browser import Chromium, People, sign_in
from tests.support.program import free_port
from tests.support.signed_in import enter, signed_in, token, visiting
from tests.support.standalone import Standalone, until

pytestmark = pytest.mark.asyncio(loop_scope="package")

SESSION = "__Host-sidegate-session"
HIDDEN = """
let hidden = false;
Object.defineProperty(document, "hidden", { get: () => hidden });
Object.defineProperty(document, "visibilityState", { get: () => hidden ? "hidden" : "visible" });
window.turn = (away) => { hidden = away; document.dispatchEvent(new Event("visibilitychange")); };
"""
"""A browser without windows shows all of its tabs: they are told to be hidden."""

TABS = 8


@pytest.fixture(scope="module")
def key(tenant: Callable[[str], Credential]) -> Credential:
    return tenant("sessions")


def session_of(browser: httpx.AsyncClient) -> str:
    return next(cookie.value or "" for cookie in browser.cookies.jar if cookie.name == SESSION)


@asynccontextmanager
async def streaming(browser: httpx.AsyncClient) -> AsyncIterator[AsyncIterator[str]]:
    async with browser.stream("GET", "/live") as live:
        lines = live.aiter_lines()
        assert "begun" in await anext(lines)
        yield lines


async def ended(lines: AsyncIterator[str]) -> bool:
    async with asyncio.timeout(15):
        async for line in lines:
            if line == "event: ended":
                return True
    return False


async def test_a_cookie_is_the_browsers_alone_and_of_a_session_that_is_new(
    sidegate: Standalone, key: Credential
) -> None:
    async with visiting(sidegate) as browser:
        browser.cookies.set(SESSION, "x" * 43, domain="127.0.0.1", path="/")
        answer = await enter(browser, key)
        said = next(value for value in answer.headers.get_list("set-cookie") if value.startswith(SESSION))
        assert {"HttpOnly", "Secure", "SameSite=lax", "Path=/"} <= set(said.split("; "))
        assert "x" * 43 not in said
        assert "Domain" not in said


async def test_whoever_comes_in_again_has_another_session_and_the_one_before_ends(
    sidegate: Standalone, key: Credential
) -> None:
    async with signed_in(sidegate, key) as browser, visiting(sidegate) as thief:
        old = session_of(browser)
        browser.cookies.delete(SESSION)
        page = await browser.get("/sign-in")
        assert page.status_code == 200
        csrf = page.text.partition('name="csrf" value="')[2].partition('"')[0]
        form = {"access_key": key.access_key, "secret_key": key.secret_key, "csrf": csrf}
        assert (await browser.post("/sign-in", data=form)).status_code == 303
        assert session_of(browser) != old
        thief.cookies.set(SESSION, session_of(browser)[:-1] + "x", domain="127.0.0.1", path="/")
        assert (await thief.get("/vpcs")).headers["location"] == "/sign-in?next=%2Fvpcs"


async def test_signing_out_ends_the_stream_and_other_tabs_go_to_the_door(people: People, key: Credential) -> None:
    page = await people.signed_in(key)
    other = await page.context.new_page()
    await other.goto("/vpcs")
    await page.get_by_role("button", name="Sign out").click()
    await expect(other).to_have_url(f"{people.url}/sign-in?next=%2Fvpcs")
    await expect(other.get_by_label("Access key")).to_be_visible()
    await expect(page.locator("[data-ended]")).to_have_count(0)


async def test_a_key_that_is_revoked_ends_its_sessions_and_their_streams(sidegate: Standalone, key: Credential) -> None:
    async with sidegate.client("operator") as operator:
        made = await operator.accounts.create_key(key.account, "default", ROLE_ADMIN)
        revoked = replace(key, access_key=made.key.id, secret_key=made.secret_key)
        async with signed_in(sidegate, revoked) as browser, streaming(browser) as lines:
            await operator.accounts.revoke_key(revoked.access_key)

            async def out() -> bool:
                return (await browser.get("/vpcs")).status_code == 303

            await until("the session to end", out, 15)
            assert await ended(lines)
        async with signed_in(sidegate, key) as another:
            assert (await another.get("/vpcs")).status_code == 200


async def test_a_page_that_only_waits_for_news_goes_to_the_door_when_its_key_is_revoked(
    sidegate: Standalone, people: People, key: Credential
) -> None:
    async with sidegate.client("operator") as operator:
        made = await operator.accounts.create_key(key.account, "default", ROLE_ADMIN)
        page = await people.signed_in(replace(key, access_key=made.key.id, secret_key=made.secret_key))
        async with page.expect_response("**/live"):
            await page.goto("/vpcs")
        await operator.accounts.revoke_key(made.key.id)
        await expect(page).to_have_url(f"{people.url}/sign-in?next=%2Fvpcs")
        await expect(page.locator("[data-ended]")).to_be_visible()


async def test_sessions_end_that_nobody_uses_and_that_are_old_and_after_a_restart_with_a_sentence(
    sidegate: Standalone, chromium: Chromium, key: Credential, tmp_path: Path
) -> None:
    settings = {"session_idle_minutes": "0.1", "session_hours": "0.006"}
    async with AnotherConsole(sidegate, tmp_path, **settings) as console, People(chromium, console.url) as people:
        people.faults.expect("Failed to load resource", "ERR_", "net::", r"\[object Event\]")
        async with signed_in(console, key) as idle, signed_in(console, key) as old, streaming(idle) as lines:

            async def is_old() -> bool:
                return (await old.get("/vpcs")).status_code == 303

            assert await ended(lines)  # an open stream keeps no session alive
            assert (await old.get("/vpcs")).status_code == 200 or await is_old()
            await until("a session that is used to be too old", is_old, 40)
        page = await people.signed_in(key)
        await page.goto("/vpcs?page=1")
        await console.end()
        await console.start()
        await expect(page).to_have_url(f"{console.url}/sign-in?next=%2Fvpcs%3Fpage%3D1")
        await expect(page.locator("[data-ended]")).to_be_visible()
        await page.locator("#access_key").fill(key.access_key)
        await page.locator("#secret_key").fill(key.secret_key)
        await page.locator("#secret_key").press("Enter")
        await expect(page).to_have_url(f"{console.url}/vpcs?page=1")


async def test_while_the_registry_is_away_nobody_is_blamed_and_what_was_typed_stays(
    sidegate: Standalone, key: Credential, tmp_path: Path
) -> None:
    async with AnotherConsole(sidegate, tmp_path, f"127.0.0.1:{free_port()}") as console, visiting(console) as browser:
        answers = [await enter(browser, key) for _ in range(6)]
        assert {answer.status_code for answer in answers} == {503}
        assert f'value="{key.access_key}"' in answers[-1].text
        assert key.secret_key not in answers[-1].text
        assert key.secret_key not in console.log.read_text() + console.output


async def test_many_attempts_at_once_are_no_way_around_the_limit(
    sidegate: Standalone, key: Credential, tmp_path: Path
) -> None:
    settings = {"sign_ins_per_key": "5", "sign_ins_per_address": "8"}
    async with AnotherConsole(sidegate, tmp_path, **settings) as console, visiting(console) as browser:
        csrf = await token(browser, "/sign-in")

        async def attempt(access_key: str, secret: str) -> int:
            form = {"access_key": access_key, "secret_key": secret, "csrf": csrf}
            return (await browser.post("/sign-in", data=form)).status_code

        guesses = await asyncio.gather(*(attempt(key.access_key, f"guess {number}") for number in range(12)))
        assert sorted(guesses) == [401] * 5 + [429] * 7
        others = await asyncio.gather(*(attempt(f"AK{'0' * 17}{number}", "guess") for number in range(6)))
        assert sorted(others) == [401] * 3 + [429] * 3
        assert "guess" not in console.log.read_text()


async def test_as_many_right_ones_at_once_all_come_in(sidegate: Standalone, key: Credential) -> None:
    async with AsyncExitStack() as stack:
        browsers = [await stack.enter_async_context(visiting(sidegate, timeout=60)) for _ in range(9)]
        answers = await asyncio.gather(*(enter(browser, key) for browser in browsers))
        assert {answer.status_code for answer in answers} == {303}


async def test_eight_tabs_are_open_and_each_is_live_when_it_is_looked_at(
    sidegate: Standalone, people: People, key: Credential
) -> None:
    page = await people.visitor()
    await page.context.add_init_script(HIDDEN)
    await sign_in(page, key)
    tabs = [page]
    for _ in range(TABS - 1):
        await tabs[-1].evaluate("turn(true)")
        tabs.append(await page.context.new_page())
        await tabs[-1].goto("/vpcs")
    async with sidegate.client(key.account) as client:
        await client.vpcs.create("seen-in-tabs", ["10.61.0.0/16"])
    await expect(tabs[-1].get_by_text("seen-in-tabs")).to_be_visible()
    await expect(tabs[1].get_by_text("seen-in-tabs")).to_have_count(0)
    await tabs[-1].evaluate("turn(true)")
    await tabs[1].evaluate("turn(false)")
    await expect(tabs[1].get_by_text("seen-in-tabs")).to_be_visible()
