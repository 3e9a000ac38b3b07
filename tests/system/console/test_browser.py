"""What watches pages sees what they may not do: a console that broke a rule would fail every test that looks at it."""

from collections.abc import Mapping

import pytest
from playwright.async_api import Route

from tests.support.browser import Chromium, People, no_axe_violations

pytestmark = pytest.mark.asyncio(loop_scope="package")

HERE = "https://console.test"
POLICY = {"content-security-policy": "default-src 'self'"}
FAULTS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "Security Policy": ("<p style='color: red'>loud</p>", POLICY),
    "another host": ("<img alt='' src='https://elsewhere.test/a.png'>", {}),
    "bang": ("<script>throw new Error('bang')</script>", {}),
    "oh dear": ("<script>console.error('oh dear')</script>", {}),
    "answered with 500": ("<img alt='' src='/broken'>", {}),
}


async def _answer(route: Route, html: str, headers: Mapping[str, str]) -> None:
    if route.request.url == f"{HERE}/broken":
        await route.fulfill(status=500)
    elif "elsewhere" in route.request.url:
        await route.abort()
    else:
        await route.fulfill(
            body=f"<!doctype html><html lang='en'>{html}", headers=dict(headers), content_type="text/html"
        )


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_page_that_breaks_a_rule_fails_its_test(chromium: Chromium, fault: str) -> None:
    html, headers = FAULTS[fault]
    with pytest.raises(AssertionError, match=fault):
        async with People(chromium, HERE) as people:
            page = await people.visitor()
            await page.context.route("**", lambda route: _answer(route, html, headers))
            await page.goto("/")


async def test_what_a_test_brings_about_itself_is_no_fault(chromium: Chromium) -> None:
    async with People(chromium, HERE) as people:
        page = await people.visitor()
        people.faults.expect("oh dear")
        await page.context.route("**", lambda route: _answer(route, *FAULTS["oh dear"]))
        await page.goto("/")


async def test_a_page_that_cannot_be_heard_is_found(chromium: Chromium) -> None:
    async with People(chromium, HERE) as people:
        page = await people.visitor()
        await page.context.route("**", lambda route: _answer(route, "<input>", {}))
        await page.goto("/")
        with pytest.raises(AssertionError, match="label"):
            await no_axe_violations(page)
