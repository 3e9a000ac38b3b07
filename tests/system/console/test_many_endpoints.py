"""A list of 10,000 endpoints in the console, gone through by hand."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from sidegate.credentials import Credential
from tests.support.at_once import crowded_console
from tests.support.browser import Chromium, People, no_axe_violations
from tests.support.standalone import Standalone

pytestmark = [pytest.mark.root, pytest.mark.asyncio(loop_scope="package")]

MANY = 10_000
Crowd = tuple[Standalone, Credential]


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def crowd(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Crowd]:
    directory: Path = tmp_path_factory.mktemp("crowd")
    async with crowded_console(directory, MANY) as made:
        yield made


async def shows(page: Page, first: int, last: int, total: str = "10,000") -> None:
    """The page has 50 rows, from this one to that one."""
    await expect(page.locator("tbody tr")).to_have_count(abs(last - first) + 1)
    await expect(page.locator("tbody tr a").first).to_have_text(f"number-{first:05}")
    await expect(page.locator("tbody tr").last).to_contain_text(f"number-{last:05}")
    await expect(page.locator("[data-total]")).to_contain_text(f"of {total}")


async def test_all_pages_of_ten_thousand_endpoints_are_a_click_or_two_away(chromium: Chromium, crowd: Crowd) -> None:
    sidegate, key = crowd
    async with People(chromium, sidegate.console_url) as people:
        page = await people.signed_in(key)
        await page.goto("/endpoints")
        await shows(page, 10_000, 9_951)
        await page.get_by_role("link", name="200", exact=True).click()
        await shows(page, 50, 1)
        await page.get_by_role("link", name="Previous").click()
        await shows(page, 100, 51)
        await page.goto("/endpoints?order=oldest&page=101")
        await shows(page, 5_001, 5_050)
        await page.get_by_role("link", name="103", exact=True).click()
        await shows(page, 5_101, 5_150)
        await page.get_by_role("link", name="Next").click()
        await shows(page, 5_151, 5_200)
        await page.locator("#name").fill("R-077")
        await page.get_by_role("button", name="Filter").click()
        await shows(page, 7_700, 7_749, "100")
        await page.get_by_role("link", name="2", exact=True).click()
        await shows(page, 7_750, 7_799, "100")
        assert await no_axe_violations(page)
        await page.get_by_role("link", name="number-07750").click()
        await expect(page.locator("#state")).to_contain_text("Waits for the owner of")


async def test_a_new_endpoint_is_at_the_top_of_ten_thousand_by_itself(chromium: Chromium, crowd: Crowd) -> None:
    sidegate, key = crowd
    async with People(chromium, sidegate.console_url) as people, sidegate.client(key.account) as client:
        page = await people.signed_in(key, "zh-CN")
        await page.goto("/endpoints?state=pendingAcceptance")
        await expect(page.locator("[data-total='10000']")).to_be_visible()
        listed = await client.endpoints.page(size=1)
        await client.endpoints.create(listed.items[0].service, listed.items[0].subnet_id, name="after-all")
        await expect(page.locator("tbody tr a").first).to_have_text("after-all")
        await expect(page.locator("[data-total='10001']")).to_be_visible()
