"""A real browser for tests of the console: the distribution's Chromium, and people who look at pages with it.

async with People(chromium, sidegate.console_url) as people:
    page = await people.signed_in(credential, "zh-CN", dark=True, size=PHONE)
    await expect(page.locator("h1")).to_have_text("概览")
    assert await no_axe_violations(page)
"""

import re
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Locator,
    Page,
    Request,
    Response,
    async_playwright,
    expect,
)

from sidegate.credentials import Credential
from tests.support.browser_network import Ways, ways_out
from tests.support.standalone import require_root

PATIENCE_MILLISECONDS = 15_000
PHONE = (375, 667)
DESK = (1280, 800)

ARGUMENTS = (
    "--no-sandbox",  # which root has none of
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    # Each Sidegate has its own authority. Excused one by one, several connections at once are ERR_TOO_MANY_RETRIES.
    "--ignore-certificate-errors",
)

ANSWERED = re.compile(r"status of 4\d\d|Response Status Error Code 4\d\d|htmx:sendAbort|htmx:afterRequest")
"""What Chromium and htmx say on the console of an answer that is meant to be one, and of a question that was given
up for another or for another page; one that failed is htmx:sendError as well.
"""

ARRIVED = """() => Promise.allSettled(document.getAnimations()
    .filter(each => each.effect.getComputedTiming().endTime !== Infinity).map(each => each.finished))"""

LOCAL_SCHEMES = frozenset({"data", "blob", "about"})


def chromium() -> str:
    """Where it is. A machine without it fails the test: skipping would hide that no page was looked at.

    Without windows of its own, where that is packaged: it takes a third of the processor's time.
    """
    found = shutil.which("chromium-headless-shell") or shutil.which("chromium")
    assert found, "this test looks at pages with Chromium, which is not here (run: make setup-test)"
    return found


@dataclass(frozen=True, slots=True)
class Chromium:
    """A running one."""

    browser: Browser
    ways: Ways


@asynccontextmanager
async def chromium_runs(directory: Path) -> AsyncIterator[Chromium]:
    """One for all people of these tests, in a network of its own. All that it writes is in the directory."""
    require_root()
    expect.set_options(timeout=PATIENCE_MILLISECONDS)
    async with AsyncExitStack() as stack:
        ways = stack.enter_context(ways_out())
        program = directory / "chromium"
        program.write_text(f'#!/bin/sh\nexec ip netns exec {ways.namespace.name} {chromium()} "$@"\n')
        program.chmod(0o700)
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("TMPDIR", str(directory))  # the driver's, which makes profiles
            driver = await stack.enter_async_context(async_playwright())
        browser = await driver.chromium.launch(executable_path=program, args=ARGUMENTS)
        stack.push_async_callback(browser.close)
        yield Chromium(browser, ways)


@dataclass
class Faults:
    """What no page may do, found while somebody looks at it. `expect` names what a test brings about itself."""

    host: str
    found: list[str] = field(default_factory=list)
    _expected: list[re.Pattern[str]] = field(default_factory=list)

    def expect(self, *patterns: str) -> None:
        """From now on these are none: regular expressions that are searched for."""
        self._expected += [re.compile(pattern) for pattern in patterns]

    def note(self, text: str) -> None:
        if not any(pattern.search(text) for pattern in self._expected):
            self.found.append(text)

    def watch(self, page: Page) -> None:
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.note(f"error on {page.url}: {error}"))
        page.on("request", self._asked)
        page.on("response", self._answered)

    def _said(self, message: ConsoleMessage) -> None:
        # What breaks the content security policy is said here, too.
        if message.type == "error" and not ANSWERED.search(message.text):
            self.note(f"console: {message.text} ({message.location.get('url', '')})")

    def _asked(self, request: Request) -> None:
        asked = urlsplit(request.url)
        if asked.scheme not in LOCAL_SCHEMES and asked.netloc != self.host:
            self.note(f"another host is asked: {request.method} {request.url}")

    def _answered(self, response: Response) -> None:
        if response.status >= 500:
            self.note(f"answered with {response.status}: {response.request.method} {response.url}")


class People:
    """Whoever looks at a console at `url`, each with cookies of his own: `page = await people.signed_in(credential)`.

    `async with` it: at its end whoever met a fault fails the test.
    """

    def __init__(self, chromium: Chromium, url: str) -> None:
        self._chromium, self.url = chromium, url
        self.faults = Faults(urlsplit(url).netloc)
        chromium.ways.lead_to(urlsplit(url).port or 443)
        self._contexts: list[BrowserContext] = []

    async def visitor(
        self, locale: str = "en-GB", *, dark: bool = False, size: tuple[int, int] = DESK, **more: Any
    ) -> Page:
        """A page of somebody who is not signed in, and has opened nothing yet; paths lead into the console."""
        context = await self._chromium.browser.new_context(
            base_url=self.url,
            ignore_https_errors=True,  # of requests that the driver makes for a page
            locale=locale,
            color_scheme="dark" if dark else "light",
            viewport={"width": size[0], "height": size[1]},
            **more,
        )
        self._contexts.append(context)
        context.set_default_timeout(PATIENCE_MILLISECONDS)
        context.on("page", self.faults.watch)
        return await context.new_page()

    async def signed_in(self, credential: Credential, locale: str = "en-GB", **more: Any) -> Page:
        """A page of somebody who has just come in by the form, and sees the first page."""
        page = await self.visitor(locale, **more)
        await sign_in(page, credential)
        return page

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        for context in self._contexts:
            await context.close()
        if kind is None:
            assert not self.faults.found, "\n".join(self.faults.found)


async def sign_in(page: Page, credential: Credential) -> None:
    """By the form, in whatever language it is."""
    await page.goto("/sign-in")
    await page.locator("#access_key").fill(credential.access_key)
    await page.locator("#secret_key").fill(credential.secret_key)
    await page.locator("#secret_key").press("Enter")
    await page.wait_for_url(lambda url: urlsplit(url).path != "/sign-in")


async def follow(link: Locator) -> None:
    """Clicks it, and waits for the other page: what is typed at once would go into a field of the one before."""
    page = link.page
    before = page.url
    await link.click()
    await page.wait_for_url(lambda url: url != before)


async def no_axe_violations(page: Page) -> bool:
    """`assert await no_axe_violations(page)`; fails with what axe-core has found, and where.

    Nothing moves meanwhile: it would find the contrast of colours that are on their way to others, such as those of a
    button that was just clicked.
    """
    await page.emulate_media(reduced_motion="reduce")
    await page.evaluate(ARRIVED)
    found = (await Axe().run(page)).response["violations"]
    await page.emulate_media(reduced_motion="null")
    said = [f"{each['id']}: {each['help']}: {node['html']}" for each in found for node in each["nodes"]]
    assert not said, f"{page.url}: " + "\n".join(said)
    return True
