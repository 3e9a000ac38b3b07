"""The operator's pages: accounts and keys, attachments, gateways and what passes them, quotas, refusals, programs."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from sidegate.credentials import Credential
from tests.support import namespaces
from tests.support.browser import PHONE, People, follow, no_axe_violations, sign_in
from tests.support.standalone import Standalone
from tests.support.world import eventually_answers, machine, site

pytestmark = [pytest.mark.root, pytest.mark.asyncio(loop_scope="package")]

Tenant = Callable[[str], Credential]

PAGES = (
    "",
    "/gateways",
    "/cells/default",
    "/accounts",
    "/accounts/new",
    "/accounts/operator",
    "/attachments",
    "/attachments/new",
    "/defaults/edit",
    "/services",
    "/quotas",
    "/refusals",
)


async def agrees(page: Page) -> Page:
    """Somebody who says yes to whatever the page asks before it does a thing for good."""
    page.on("dialog", lambda dialog: dialog.accept())
    return page


def written_down(secret: str, sidegate: Standalone) -> list[str]:
    """Files of the running Sidegate that have the secret in them: logs, databases, whatever there is."""
    places = [path for path in sidegate.data.rglob("*") if path.is_file() and "bpf" not in path.parts]
    assert any(path.suffix == ".sqlite" for path in places)
    return [str(path) for path in places if secret.encode() in path.read_bytes()] + (
        ["standalone.log"] if secret in sidegate.output else []
    )


async def test_an_accounts_secret_is_in_one_answer_and_in_the_file_that_the_browser_makes(
    people: People, operator: Credential, sidegate: Standalone, tmp_path: Path
) -> None:
    page = await people.signed_in(operator, accept_downloads=True)
    await page.goto("/operator")
    await follow(page.get_by_role("link", name="Accounts"))
    await follow(page.get_by_role("link", name="New account"))
    await page.get_by_label("Name").fill("not a name")
    await page.get_by_role("button", name="Create").click()
    await expect(page.get_by_label("Name")).to_have_attribute("aria-invalid", "true")
    await expect(page.get_by_label("Name")).to_have_value("not a name")
    await page.get_by_label("Name").fill("bakery")
    async with page.expect_response(lambda answer: answer.request.method == "POST") as answered:
        await page.get_by_role("button", name="Create").click()
    assert (await (await answered.value).all_headers())["cache-control"] == "no-store"
    secret = await page.locator("[data-part=secret_key]").inner_text()
    assert await no_axe_violations(page)

    async with page.expect_download() as download:
        await page.get_by_role("button", name="Download the credential file").click()
    file = tmp_path / "bakery.json"
    await (await download.value).save_as(file)
    assert Credential.read(file).secret_key == secret

    for path in ("/operator/accounts", "/operator/accounts/bakery", "/operator/accounts/new", "/operator/refusals"):
        assert secret not in await (await page.request.get(path)).text()
    assert written_down(secret, sidegate) == []

    visitor = await people.visitor()
    await visitor.goto("/sign-in")
    await visitor.get_by_label("Credential file").set_input_files(file)
    await expect(visitor.locator("#access_key")).to_have_value(json.loads(file.read_text())["access_key"])
    await visitor.get_by_role("button", name="Sign in").click()
    await expect(visitor.locator("[data-who]")).to_have_text("bakery/default")


async def test_a_form_that_is_sent_twice_makes_one_account_and_shows_its_secret_once(
    people: People, operator: Credential
) -> None:
    page = await people.signed_in(operator)
    await page.goto("/operator/accounts/new")
    fields = {name: await page.locator(f"form.narrow [name={name}]").input_value() for name in ("csrf", "request_id")}
    answers = [
        await (await page.request.post("/operator/accounts/new", form={**fields, "name": "twice"})).text() for _ in "12"
    ]
    assert ['data-part="secret_key"' in each for each in answers] == [True, False]
    assert "shown already" in answers[1]


async def test_a_key_gets_another_secret_and_ends(people: People, operator: Credential, tenant: Tenant) -> None:
    key = tenant("keys")
    theirs = await people.signed_in(key)
    page = await agrees(await people.signed_in(operator))
    await page.goto(f"/operator/accounts/{key.account}")
    await page.get_by_label("New project").fill("blue")
    await page.get_by_role("button", name="Create project").click()
    await page.get_by_label("Project of the new key").select_option("blue")
    await page.get_by_label("Role").select_option(label="reads its project")
    await page.get_by_role("button", name="Create access key").click()
    await expect(page.locator("[data-part=project]")).to_have_text("blue")
    await follow(page.get_by_role("link", name="To the account"))
    await expect(page.locator("[data-key]")).to_have_count(2)

    row = page.locator(f"[data-key={key.access_key}]")
    await row.get_by_role("button", name="Another secret").click()
    another = await page.locator("[data-part=secret_key]").inner_text()
    assert another != key.secret_key
    await theirs.goto("/vpcs")
    await expect(theirs.locator("#access_key")).to_be_visible()
    await sign_in(theirs, Credential(key.account, key.project, key.access_key, another))

    await follow(page.get_by_role("link", name="To the account"))
    await row.get_by_role("button", name="Revoke").click()
    await expect(row).to_contain_text("revoked")
    await expect(row.get_by_role("button")).to_have_count(0)
    await theirs.goto("/vpcs")
    await expect(theirs.locator("#access_key")).to_be_visible()


async def test_the_operator_acts_for_a_project_that_there_is_and_is_itself_again(
    people: People, operator: Credential, tenant: Tenant, sidegate: Standalone
) -> None:
    key = tenant("acted")
    async with sidegate.client(key.account) as client:
        vpc = await client.vpcs.create("theirs", ["10.9.0.0/16"])
        subnet = await client.subnets.create("inner", vpc.id, "10.9.1.0/24")
    page = await people.signed_in(operator)
    found = await page.request.get(f"/find/{key.account}", max_redirects=0)
    assert found.headers["location"] == f"/operator/accounts/{key.account}"
    await page.goto(f"/vpcs?name={vpc.name}")
    await page.get_by_role("row", name=key.account).get_by_role("link", name="theirs").click()
    await expect(page.locator("#vpc")).not_to_contain_text(subnet.name)
    await page.get_by_role("button", name=f"Act for {key.account}/default").click()
    await expect(page.locator("[data-who]")).to_have_text(f"Operator, acting for {key.account}/default")
    await expect(page.locator("#vpc")).to_contain_text(subnet.name)
    await page.get_by_role("button", name="Operator again").click()
    await expect(page.locator("[data-who]")).to_have_text("operator/default")

    csrf = await page.locator("[name=csrf]").first.input_value()
    for owner in ("nobody-here/default", f"{key.account}/nothing", "../x"):
        answer = await page.request.post("/act-for", form={"csrf": csrf, "owner": owner})
        assert answer.status == 404
    await page.goto("/")
    await expect(page.locator("[data-who]")).to_have_text("operator/default")


async def test_what_is_typed_in_an_old_tab_stays_and_is_sent_for_nobody_else(
    people: People, operator: Credential, tenant: Tenant, sidegate: Standalone
) -> None:
    owner = f"{tenant('before').account}/default"
    page = await people.signed_in(operator)
    csrf = await page.locator("[name=csrf]").first.input_value()
    await page.request.post("/act-for", form={"csrf": csrf, "owner": owner})
    await page.goto("/endpoints/new")
    other = await page.context.new_page()
    await other.goto("/vpcs/new")
    await other.locator("#name").fill("typed")
    await other.locator("#cidrs").fill("10.6.0.0/16")
    await page.request.post("/act-for", form={"csrf": csrf})
    await page.locator("#service").fill("ledger")
    await page.locator("#service").press("Tab")
    said = f"This form was opened for {owner}, and by now you act for operator/default. Nothing was done."
    await expect(page.locator("#refused")).to_contain_text(said)
    await expect(page.locator("#service")).to_have_value("ledger")
    await other.get_by_role("button", name="Create").click()
    await expect(other.locator("#problem")).to_contain_text(said)
    assert await no_axe_violations(other)
    await other.request.post("/act-for", form={"csrf": csrf, "owner": owner})
    await other.reload()
    await expect(other.locator("h1")).to_contain_text("typed")
    async with sidegate.client(owner.partition("/")[0]) as client:
        assert [vpc.name async for vpc in client.vpcs.list()] == ["typed"]


async def test_a_tenants_network_is_attached_and_let_go_by_hand(
    people: People, operator: Credential, tenant: Tenant, sidegate: Standalone
) -> None:
    async with sidegate.client(tenant("wired").account) as client:
        vpc = await client.vpcs.create("wired", ["10.8.0.0/16"])
    page = await agrees(await people.signed_in(operator))
    await page.goto(f"/vpcs/{vpc.id}")
    await follow(page.get_by_role("link", name="New attachment"))
    await expect(page.get_by_label("VPC")).to_have_value(vpc.id)
    await page.get_by_label("What is reached").select_option("vxlan")
    await expect(page.get_by_label("Its name")).to_be_hidden()
    await page.get_by_label("VNI").fill("many")
    await page.get_by_label("Cell").fill("far")
    await page.get_by_role("button", name="Create").click()
    await expect(page.get_by_label("VNI")).to_have_attribute("aria-invalid", "true")
    await expect(page.get_by_label("VNI")).to_have_value("many")
    await page.get_by_label("VNI").fill("4711")
    await page.get_by_label("Remote hosts").fill("192.0.2.10 192.0.2.11")
    await page.get_by_role("button", name="Create").click()
    row = page.get_by_role("row", name="VXLAN 4711")
    await expect(row).to_contain_text("far")
    await expect(row).to_contain_text("by the operator")
    place = await row.get_attribute("id") or ""
    found = await page.request.get(f"/find/{place.removeprefix('attachment-')}", max_redirects=0)
    assert found.headers["location"] == f"/vpcs/{vpc.id}#{place}"

    await page.goto("/operator/attachments?cell=far")
    await page.get_by_role("row", name="VXLAN 4711").get_by_role("button", name="Delete").click()
    await expect(page.get_by_role("row", name="VXLAN 4711")).to_have_count(0)


async def test_a_cell_attaches_by_default_as_the_operator_says(people: People, operator: Credential) -> None:
    page = await agrees(await people.signed_in(operator))
    await page.goto("/operator/attachments")
    await follow(page.get_by_role("link", name="Attach by default in a cell"))
    await page.get_by_label("Cell").fill("farther")
    await page.get_by_label("Its name").fill("no pattern")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_label("Its name")).to_have_attribute("aria-invalid", "true")
    await page.get_by_label("Its name").fill("{vpc_id}")
    await page.get_by_role("button", name="Save").click()
    row = page.locator("[data-default=farther]")
    await expect(row).to_contain_text("{vpc_id}")
    await row.get_by_role("button", name="Take away").click()
    await expect(row).to_have_count(0)


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def shop(sidegate: Standalone, tenant: Tenant) -> AsyncIterator[namespaces.Namespace]:
    """A client's namespace, in which 10.0.0.20:80 is a shop in another network with the same addresses."""
    async with AsyncExitStack() as stack:
        client, provider = stack.enter_context(namespaces.make("passer", "keeper"))
        consumers = await stack.enter_async_context(site(sidegate, tenant("passer").account, client))
        providers = await stack.enter_async_context(site(sidegate, tenant("keeper").account, provider))
        await stack.enter_async_context(machine(provider, "shop"))
        service = await providers.publish("shop", approval=False)
        await providers.client.services.permit(service.id, [f"iam:domain::{consumers.account}"])
        await consumers.accepted(await consumers.request(service, "10.0.0.20"))
        yield client


async def test_gateways_show_what_passes_them_and_the_table_that_they_forward_by(
    people: People, operator: Credential, shop: namespaces.Namespace
) -> None:
    page = await people.signed_in(operator)
    await page.goto("/operator/gateways")
    row = page.locator("[data-gateway]")
    await expect(row).to_contain_text("in sync")
    assert await eventually_answers(shop, "10.0.0.20", 80) == "shop"
    await expect(row.locator("[data-packets]")).not_to_have_attribute("data-packets", "0")
    await expect(page.locator("#gateways")).to_contain_text("The gateway of this machine")
    await expect(page.get_by_role("row", name="10.0.0.20")).to_be_visible()
    assert await no_axe_violations(page)

    await follow(page.get_by_role("link", name="Forwarding table").first)
    await page.get_by_label("Has in it").fill("10.0.0.20")
    await page.get_by_role("button", name="Filter").click()
    await expect(page.locator("[data-endpoint]")).to_have_count(1)
    await expect(page.locator("[data-endpoint]")).to_contain_text("80:8080/tcp")
    await page.get_by_label("Has in it").fill("192.0.2.99")
    await page.get_by_role("button", name="Filter").click()
    await expect(page.locator("[data-endpoint]")).to_have_count(0)


async def test_what_is_refused_is_there_within_seconds(people: People, operator: Credential, tenant: Tenant) -> None:
    key = tenant("nosy")
    page, theirs = await people.signed_in(operator), await people.signed_in(key)
    await page.goto(f"/operator/refusals?text={key.account}")
    await expect(page.locator("#refusals")).to_contain_text("Nothing was refused that is like this.")
    assert (await theirs.request.get("/vpcs/6f1c2a3b-5d0e-4f6a-9b1c-2d3e4f5a6b7c")).status == 404
    row = page.get_by_role("row", name="GetVpc")
    await expect(row).to_contain_text(f"{key.account}/default")
    await expect(row).to_contain_text("6f1c2a3b-5d0e-4f6a-9b1c-2d3e4f5a6b7c")
    await page.get_by_label("Program").select_option("endpoint")
    await page.get_by_role("button", name="Filter").click()
    await expect(page.get_by_role("row", name="GetVpc")).to_have_count(0)


async def test_quotas_and_programs_are_shown(people: People, operator: Credential, tenant: Tenant) -> None:
    key = tenant("measured")
    page = await people.signed_in(operator)
    await page.goto("/operator")
    for program in ("registry", "endpoint", "gateway"):
        await expect(page.locator(f"[data-program={program}]")).to_contain_text("serving")
    await page.goto(f"/operator/quotas?name={key.account}")
    await expect(page.get_by_role("row", name=key.account)).to_contain_text("0 of ")


async def test_a_public_service_is_published_for_everybody(
    people: People, operator: Credential, tenant: Tenant, sidegate: Standalone
) -> None:
    page = await people.signed_in(operator)
    await page.goto("/vpcs")
    await follow(page.get_by_role("link", name="New VPC"))
    await page.get_by_label("Name").fill("everybodys")
    await page.get_by_label("Ranges").fill("10.7.0.0/16")
    await page.get_by_role("button", name="Create").click()
    await expect(page.locator("h1")).to_have_text("everybodys")
    vpc = page.url.rpartition("/")[2]

    await page.goto("/operator/services")
    await follow(page.get_by_role("link", name="Publish for everybody"))
    await expect(page.locator("#server_type")).to_have_value("SERVER_TYPE_CLOUD")
    await expect(page.locator("#permissions")).to_have_value("*")
    await page.goto(f"{page.url}&vpc_id={vpc}")
    await page.locator("#name").fill("everybodys")
    await page.locator("[name=client_port]").first.fill("443")
    await page.locator("[name=backend_address]").first.fill("10.7.0.9")
    await page.get_by_role("button", name="Create").click()
    await expect(page.locator("h1")).to_contain_text("everybodys")
    await page.goto("/operator/services?name=everybodys")
    name = await page.locator("#services").get_by_role("link").inner_text()
    async with sidegate.client(tenant("anybody").account) as client:
        assert (await client.services.lookup(name)).full_name == name


async def test_every_page_can_be_heard_and_used_on_a_phone_in_chinese(people: People, operator: Credential) -> None:
    page = await people.signed_in(operator, "zh-CN", size=PHONE, dark=True)
    for path in PAGES:
        await page.goto(f"/operator{path}")
        await expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
        assert await no_axe_violations(page)
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path


async def test_for_a_tenant_none_of_it_is_there(people: People, tenant: Tenant) -> None:
    page = await people.signed_in(tenant("curious"))
    await expect(page.get_by_role("link", name="Operator")).to_have_count(0)
    for path in PAGES:
        assert (await page.request.get(f"/operator{path}")).status == 404
    csrf = await page.locator("[name=csrf]").first.input_value()
    for path in ("/operator/accounts/new", "/operator/attachments", "/act-for"):
        answer = await page.request.post(path, form={"csrf": csrf, "name": "mine", "owner": "operator/default"})
        assert answer.status == 404
