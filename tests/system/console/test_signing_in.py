"""The door: who comes in with an access key, in which language, and who does not."""

from collections.abc import Callable

import pytest
from playwright.async_api import expect

from sidegate.credentials import Credential
from tests.support.browser import PHONE, People, no_axe_violations, sign_in

pytestmark = pytest.mark.asyncio(loop_scope="package")


async def test_a_tenant_comes_in_with_his_access_key_and_goes_again(
    people: People, tenant: Callable[[str], Credential]
) -> None:
    key = tenant("shop")
    page = await people.signed_in(key)
    await expect(page.locator("header")).to_contain_text(key.account)
    await page.get_by_role("button", name="Sign out").click()
    await expect(page).to_have_url(f"{people.url}/sign-in")
    await page.goto("/")
    await expect(page.get_by_label("Access key")).to_be_visible()


async def test_the_door_speaks_the_readers_language(people: People) -> None:
    page = await people.visitor("zh-CN")
    await page.goto("/")
    await expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
    await expect(page.locator("h1")).to_have_text("登录")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
async def test_the_door_can_be_heard_and_used_on_a_phone(people: People, dark: bool) -> None:
    page = await people.visitor(dark=dark, size=PHONE)
    await page.goto("/")
    assert await no_axe_violations(page)
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize(("dark", "other"), [(False, "dark"), (True, "light")], ids=["light", "dark"])
async def test_the_theme_that_is_offered_is_another_than_is_seen(people: People, dark: bool, other: str) -> None:
    page = await people.visitor(dark=dark)
    await page.goto("/sign-in")
    await page.locator('button[name="theme"]:visible').click()
    await expect(page.locator("html")).to_have_attribute("data-bs-theme", other)


async def test_a_secret_that_is_mistyped_lets_nobody_in_and_the_key_stays_typed(
    people: People, tenant: Callable[[str], Credential]
) -> None:
    key = tenant("shop")
    page = await people.visitor()
    await page.goto("/sign-in")
    await page.locator("#access_key").fill(key.access_key)
    await page.locator("#secret_key").fill("not it")
    await page.locator("#secret_key").press("Enter")
    await expect(page.get_by_role("alert")).to_contain_text("do not let anybody in")
    await expect(page.locator("#access_key")).to_have_value(key.access_key)
    await expect(page.locator("#secret_key")).to_have_value("")
    assert await no_axe_violations(page)
    await sign_in(page, key)
