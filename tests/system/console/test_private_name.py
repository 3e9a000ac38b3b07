"""A service's private name in the console: what its owner publishes to show that it is his, and the lookup of it."""

import pytest
from playwright.async_api import expect

from tests.support.browser import People, no_axe_violations
from tests.support.name_server import name_server
from tests.system.console.town import Town

pytestmark = [pytest.mark.root, pytest.mark.asyncio(loop_scope="package")]

NAME = "db.bank.example"


async def test_a_private_name_is_shown_to_be_its_owners_once_its_record_is_there(
    people: People, town: Town, names_port: int
) -> None:
    service = await town.publish("named")
    page = await people.signed_in(town.providers_key)
    await page.goto(f"/services/{service.id}/edit")
    await page.get_by_text("Description, tags, names and more").click()
    await page.locator("#private_name").fill(NAME)
    await page.get_by_role("button", name="Save").click()
    await page.goto("/")
    await page.locator(f"[data-waits='name:{service.id}']").get_by_role("link", name="Settings").click()
    part = page.locator("#private-name")
    await expect(part).to_contain_text("not shown to be yours yet")
    record = [(await page.locator(f"#record-{each}").inner_text()).strip() for each in ("name", "value")]
    assert record[0].endswith(NAME)
    assert await no_axe_violations(page)

    async with name_server({record[0]: "of-somebody-else"}, port=names_port):
        await page.get_by_role("button", name="Look it up").click()
        await expect(page.locator("#problem")).to_contain_text(record[0])
        await expect(page.locator("#problem")).to_contain_text("of-somebody-else")
        await expect(part).to_contain_text("not shown to be yours yet")
    async with name_server(dict([record]), port=names_port):
        await page.get_by_role("button", name="Look it up").click()
        await expect(part).to_contain_text("shown to be yours since")
    await expect(page.get_by_role("button", name="Look it up")).to_have_count(0)
    await page.goto("/")
    await expect(page.locator("#waiting ul").first).to_be_visible()
    await expect(page.locator(f"[data-waits='name:{service.id}']")).to_have_count(0)
