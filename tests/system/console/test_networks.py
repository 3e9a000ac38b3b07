"""Networks: a tenant makes all of one by hand, changes it and takes it away; others do not see it."""

import re
from collections.abc import Callable

import pytest
from playwright.async_api import Locator, Page, expect

from sidegate.credentials import Credential
from tests.support.browser import People, no_axe_violations

pytestmark = pytest.mark.asyncio(loop_scope="package")

Tenant = Callable[[str], Credential]


async def yes(page: Page) -> None:
    """Whatever the page asks before it deletes."""
    page.on("dialog", lambda dialog: dialog.accept())


def row(page: Page, name: str) -> Locator:
    """The row of the thing that is called this."""
    return page.get_by_role("row").filter(has=page.get_by_role("rowheader", name=name))


async def make_vpc(page: Page, name: str, ranges: str = "10.0.0.0/16") -> str:
    """By the form; the path of its page."""
    await page.goto("/vpcs")
    await page.get_by_role("link", name="New VPC").click()
    await page.get_by_label("Name").fill(name)
    await page.get_by_label("Ranges").fill(ranges)
    await page.get_by_role("button", name="Create").click()
    await expect(page.locator("h1")).to_have_text(name)
    return page.url.removeprefix(page.url.split("/vpcs")[0])


async def make_subnet(page: Page, vpc: str, name: str, cidr: str) -> None:
    await page.goto(f"{vpc}/subnets/new")
    await page.get_by_label("Name", exact=True).fill(name)
    await page.get_by_label("Range", exact=True).fill(cidr)
    await page.get_by_role("button", name="Create").click()
    await expect(row(page, name)).to_contain_text(cidr)


async def test_a_network_is_made_changed_and_taken_away_by_hand(people: People, tenant: Tenant) -> None:
    page = await people.signed_in(tenant("nets"))
    await yes(page)
    vpc = await make_vpc(page, "shop")
    await make_subnet(page, vpc, "front", "10.0.1.0/24")
    await make_subnet(page, vpc, "back", "10.0.2.0/24")

    await page.get_by_role("link", name="New port").click()
    await page.get_by_label("Machine").fill("web-1")
    await page.get_by_label("Subnet").select_option(label="front · 10.0.1.0/24")
    await page.get_by_role("button", name="Create").click()
    await expect(page.get_by_role("row", name="machine/web-1")).to_contain_text("10.0.1.")

    await page.get_by_role("link", name="Give it one").click()
    await page.get_by_label("Address").fill("10.0.2.53")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_label("Address")).to_have_attribute("aria-invalid", "true")
    await expect(page.get_by_label("Address")).to_have_value("10.0.2.53")
    await page.get_by_label("Subnet").select_option(label="back · 10.0.2.0/24")
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator("#vpc")).to_contain_text("10.0.2.53")

    await page.get_by_role("link", name="New route table").click()
    await page.get_by_label("Name", exact=True).fill("through")
    await page.get_by_label("back · 10.0.2.0/24").check()
    await page.get_by_role("button", name="Create").click()
    await expect(row(page, "through")).to_contain_text("back")
    assert await no_axe_violations(page)

    await page.get_by_role("button", name="Delete shop").click()
    alert = page.get_by_role("alert")
    await expect(alert).to_contain_text("In the way:")
    await alert.get_by_role("link").first.click()
    await expect(page).to_have_url(re.compile(f"{vpc}.*#"))

    await page.get_by_role("button", name="Delete through").click()
    await expect(row(page, "through")).to_have_count(0)
    await page.get_by_role("button", name="Delete Name server").click()
    await expect(page.get_by_role("status")).to_contain_text("name server is taken away")
    await page.get_by_role("button", name="Delete 10.0.1.2").click()
    await expect(page.get_by_role("status")).to_contain_text("its address is free")
    for subnet in ("front", "back"):
        await page.get_by_role("button", name=f"Delete {subnet}").click()
        await expect(row(page, subnet)).to_have_count(0)
    await page.get_by_role("button", name="Delete shop").click()
    await expect(page.locator("#vpcs")).to_contain_text("No VPC yet")
