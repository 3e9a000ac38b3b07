"""Networks: a tenant makes all of one by hand, changes it and takes it away; others do not see it."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import pytest_asyncio
from playwright.async_api import Locator, Page, expect

from sidegate.credentials import Credential
from tests.support.browser import PHONE, People, follow, no_axe_violations
from tests.support.standalone import Standalone

pytestmark = [pytest.mark.root, pytest.mark.asyncio(loop_scope="package")]

Tenant = Callable[[str], Credential]
Form = dict[str, str | float | bool]


async def yes(page: Page) -> None:
    """Whatever the page asks before it deletes."""
    page.on("dialog", lambda dialog: dialog.accept())


def row(page: Page, name: str) -> Locator:
    """The row of the thing that is called this."""
    return page.get_by_role("row").filter(has=page.get_by_role("rowheader", name=name))


async def make_vpc(page: Page, name: str, ranges: str = "10.0.0.0/16") -> str:
    """By the form; the path of its page."""
    await page.goto("/vpcs")
    await follow(page.get_by_role("link", name="New VPC"))
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

    await follow(page.get_by_role("link", name="New port"))
    await page.get_by_label("Machine").fill("web-1")
    await page.get_by_label("Subnet").select_option(label="front · 10.0.1.0/24")
    await page.get_by_role("button", name="Create").click()
    await expect(page.get_by_role("row", name="machine/web-1")).to_contain_text("10.0.1.")

    await follow(page.get_by_role("link", name="Give it one"))
    await page.get_by_label("Address").fill("10.0.2.53")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_label("Address")).to_have_attribute("aria-invalid", "true")
    await expect(page.get_by_label("Address")).to_have_value("10.0.2.53")
    await page.get_by_label("Subnet").select_option(label="back · 10.0.2.0/24")
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator("#vpc")).to_contain_text("10.0.2.53")

    await follow(page.get_by_role("link", name="New route table"))
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


@dataclass(frozen=True)
class Net:
    """A network that somebody has, with one of everything in it."""

    key: Credential
    vpc: str
    subnet: str
    port: str
    table: str

    @property
    def path(self) -> str:
        return f"/vpcs/{self.vpc}"


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def net(sidegate: Standalone, tenant: Tenant) -> Net:
    key = tenant("town")
    async with sidegate.client(key.account) as client:
        vpc = await client.vpcs.create("town", ["10.1.0.0/16"], description='ours & "theirs"')
        subnet = await client.subnets.create("main", vpc.id, "10.1.1.0/24")
        port = await client.ports.create(subnet.id, "machine/first", "10.1.1.10")
        table = await client.route_tables.create("side", vpc.id)
        await client.vpcs.set_resolver(vpc.id, subnet.id, address="10.1.1.53")
    return Net(key, vpc.id, subnet.id, port.id, table.id)


async def test_an_id_leads_its_owner_to_its_page_and_nobody_else(people: People, tenant: Tenant, net: Net) -> None:
    owner, other = await people.signed_in(net.key), await people.signed_in(tenant("other"))
    pages = {
        net.vpc: net.path,
        net.subnet: f"{net.path}?subnet={net.subnet}#subnet-{net.subnet}",
        net.port: f"{net.path}?port={net.port}#port-{net.port}",
        net.table: f"{net.path}#route-table-{net.table}",
    }
    for id_, path in pages.items():
        found = await owner.request.get(f"/find/{id_}", max_redirects=0)
        assert (found.status, found.headers.get("location")) == (303, path)
        assert (await other.request.get(f"/find/{id_}")).status == 404
    for nothing in ("town", "6f1c2a3b-5d0e-4f6a-9b1c-2d3e4f5a6b7c", "..%2f..", "x" * 300):
        assert (await owner.request.get(f"/find/{nothing}")).status == 404


async def test_for_another_account_a_network_is_not_there(people: People, tenant: Tenant, net: Net) -> None:
    page = await people.signed_in(tenant("other"))
    await expect(page.locator("h1")).to_be_visible()
    csrf = await page.locator("[name=csrf]").first.input_value()
    places = ("", "/edit", "/subnets/new", "/ports/new", "/resolver", "/route-tables/new")
    edits = (f"/subnets/{net.subnet}/edit", f"/route-tables/{net.table}/edit")
    for place in (*places, *edits):
        answer = await page.request.get(net.path + place)
        assert answer.status == 404, place
        assert "town" not in await answer.text()
    for place in ("/edit", "/resolver", *edits):
        form: Form = {"csrf": csrf, "name": "mine", "cidrs": "10.1.0.0/16", "subnet_id": net.subnet}
        assert (await page.request.post(net.path + place, form=form)).status == 404, place
    for what, id_ in (("vpc", net.vpc), ("subnet", net.subnet), ("port", net.port), ("route_table", net.table)):
        form = {"csrf": csrf, "what": what, "id": id_}
        assert (await page.request.post(net.path, form=form)).status == 404, what
    theirs = await people.signed_in(net.key)
    await theirs.goto(net.path)
    await expect(row(theirs, "10.1.1.10")).to_contain_text("machine/first")
    await expect(theirs.locator("#vpc")).to_contain_text('ours & "theirs"')


async def test_of_two_who_change_a_network_the_second_sees_what_the_first_did(people: People, net: Net) -> None:
    first, second = await people.signed_in(net.key), await people.signed_in(net.key)
    for page in (first, second):
        await page.goto(f"{net.path}/edit")
    await first.get_by_label("Description").fill("by the first")
    await first.get_by_role("button", name="Save").click()
    await expect(first.locator("#vpc")).to_contain_text("by the first")
    await second.get_by_label("Description").fill("by the second")
    await second.get_by_role("button", name="Save").click()
    await expect(second.get_by_role("alert")).to_contain_text("Somebody changed it")
    await expect(second.locator("#now")).to_contain_text("by the first")
    await expect(second.get_by_label("Description")).to_have_value("by the second")
    assert await no_axe_violations(second)
    await second.get_by_role("button", name="Save").click()
    await expect(second.locator("#vpc")).to_contain_text("by the second")


async def test_what_is_made_elsewhere_is_there_without_a_reload(people: People, sidegate: Standalone, net: Net) -> None:
    page = await people.signed_in(net.key)
    await page.goto(net.path)
    await page.get_by_label("Holder has in it").fill("typed")
    async with sidegate.client(net.key.account) as client:
        port = await client.ports.create(net.subnet, "machine/elsewhere", "10.1.1.77")
        await expect(row(page, "10.1.1.77")).to_contain_text("machine/elsewhere")
        await expect(page.get_by_label("Holder has in it")).to_have_value("typed")
        await client.ports.delete(port.id)
    await expect(row(page, "10.1.1.77")).to_have_count(0)


async def test_many_ports_come_in_pages_and_are_found(people: People, sidegate: Standalone, tenant: Tenant) -> None:
    key = tenant("many")
    async with sidegate.client(key.account) as client:
        vpc = await client.vpcs.create("many", ["10.2.0.0/16"])
        subnet = await client.subnets.create("main", vpc.id, "10.2.1.0/24")
        await asyncio.gather(*(client.ports.create(subnet.id, f"machine/m{number}") for number in range(60)))
    page = await people.signed_in(key)
    await page.goto(f"/vpcs/{vpc.id}")
    await expect(page.locator("[data-total]")).to_have_text("1–50 of 60")
    await follow(page.get_by_role("link", name="Next"))
    await expect(page.locator("tr[id^=port-]")).to_have_count(10)
    await page.get_by_label("Holder has in it").fill("m59")
    await page.get_by_role("button", name="Filter").click()
    await expect(page.locator("tr[id^=port-]")).to_have_count(1)
    await expect(page.locator("tr[id^=port-]")).to_contain_text("machine/m59")


async def test_who_only_reads_finds_no_button_and_changes_nothing(
    people: People, sidegate: Standalone, net: Net
) -> None:
    made = sidegate.answer("key", "create", net.key.account, "--role", "viewer")
    page = await people.signed_in(Credential.of(made))
    await page.goto(net.path)
    await expect(row(page, "10.1.1.10")).to_contain_text("machine/first")
    await expect(page.locator("main").get_by_role("button", name="Delete")).to_have_count(0)
    await expect(page.get_by_role("link", name="New port")).to_have_count(0)
    csrf = await page.locator("[name=csrf]").first.input_value()
    form: Form = {"csrf": csrf, "what": "port", "id": net.port}
    assert (await page.request.post(net.path, form=form)).status in (403, 404)
    await page.reload()
    await expect(row(page, "10.1.1.10")).to_contain_text("machine/first")


async def test_networks_can_be_heard_and_used_on_a_phone_in_chinese(people: People, net: Net) -> None:
    page = await people.signed_in(net.key, "zh-CN", size=PHONE, dark=True)
    forms = ("/edit", "/subnets/new", "/ports/new", "/resolver", "/route-tables/new")
    for path in ("/vpcs", "/vpcs/new", net.path, *(net.path + form for form in forms)):
        await page.goto(path)
        assert await no_axe_violations(page)
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
