"""People come in by an OpenID provider, in a browser that goes there and back; and do not, in words."""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from urllib.parse import urlencode

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from sidegate.credentials import Credential
from tests.support.another_console import AnotherConsole
from tests.support.browser import Chromium, People, no_axe_violations
from tests.support.openid import OpenId
from tests.support.signed_in import enter, visiting
from tests.support.standalone import Standalone

pytestmark = pytest.mark.asyncio(loop_scope="package")

SECRET = "what-the-provider-knows-the-console-by"  # noqa: S105 # a test's
PEOPLE = """
[[person]]
email = "ann@example.net"
credential = "shop.json"

[[person]]
group = "network"
credential = "operator.json"
"""


def private(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path


Keys = Mapping[str, Credential]


@pytest.fixture(scope="module")
def keys(tenant: Callable[[str], Credential], operator: Credential) -> Keys:
    return {"shop": tenant("persons"), "operator": operator}


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def provider(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[OpenId]:
    async with OpenId(tmp_path_factory.mktemp("openid")) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def console(
    sidegate: Standalone, provider: OpenId, keys: Keys, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[AnotherConsole]:
    directory = tmp_path_factory.mktemp("console")
    for name, key in keys.items():
        private(directory / f"{name}.json", json.dumps(asdict(key)))
    settings = {
        "oidc_issuer": provider.issuer,
        "oidc_name": "Example Login",
        "oidc_ca": str(provider.ca),
        "oidc_client_id": "sidegate",
        "oidc_client_secret_file": str(private(directory / "secret", f"{SECRET}\n")),
        "oidc_accounts": str(private(directory / "people.toml", PEOPLE)),
    }
    async with AnotherConsole(sidegate, directory, **settings) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="package")
async def visitors(chromium: Chromium, console: AnotherConsole, provider: OpenId) -> AsyncIterator[People]:
    chromium.ways.lead_to(provider.port)
    async with People(chromium, console.url) as people:
        # The provider's own page is another host, and wants a style from a third one.
        people.faults.expect(f"another host is asked: \\w+ {provider.issuer}", "jsdelivr", "unpkg", provider.issuer)
        yield people


async def come_as(page: Page, name: str, button: str = "Sign in with Example Login") -> None:
    await page.get_by_role("link", name=button).click()
    await page.get_by_role("button", name=name, exact=True).click()


async def test_a_person_comes_in_goes_on_where_he_was_going_and_is_named(
    visitors: People, console: AnotherConsole, keys: Keys
) -> None:
    page = await visitors.visitor()
    await page.goto("/vpcs?page=1")
    assert await no_axe_violations(page)
    await come_as(page, "ann")
    await expect(page).to_have_url(f"{visitors.url}/vpcs?page=1")
    await expect(page.locator("[data-who]")).to_contain_text(f"Ann <b>Sample</b> · {keys['shop'].account}/default")
    cookies = {cookie["name"]: cookie for cookie in await page.context.cookies() if "provider" not in cookie["name"]}
    session = cookies["__Host-sidegate-session"]
    assert (session["httpOnly"], session["secure"], session["sameSite"]) == (True, True, "Lax")
    assert "__Host-sidegate-onward" not in cookies
    lines = [json.loads(line) for line in console.log.read_text().splitlines()]
    signed_in = next(line for line in lines if line["event"] == "signed in")
    assert (signed_in["person"], signed_in["subject"]) == ("Ann <b>Sample</b>", "ann")
    assert any(line.get("person") == "Ann <b>Sample</b>" and line.get("operation") == "/vpcs" for line in lines)
    assert [
        secret for secret in (SECRET, keys["shop"].secret_key, session["value"]) if secret in console.log.read_text()
    ] == []


async def test_a_group_has_a_key_of_its_own(visitors: People, keys: Keys) -> None:
    page = await visitors.visitor()
    await page.goto("/")
    await come_as(page, "eve")
    await expect(page.locator("[data-who]")).to_contain_text("Eve")
    await expect(page.get_by_role("link", name="Operator")).to_be_visible()


async def test_an_address_that_nobody_has_verified_and_who_says_no_are_told_so_in_both_languages(
    visitors: People,
) -> None:
    page = await visitors.visitor("zh-CN")
    await page.goto("/vpcs")
    await come_as(page, "bob", "使用 Example Login 登录")
    await expect(page.get_by_role("alert")).to_contain_text("Example Login 认识您")
    assert await no_axe_violations(page)
    await page.get_by_role("link", name="Example Login").click()
    await page.get_by_role("button", name="Deny").click()
    await expect(page.get_by_role("alert")).to_contain_text("拒绝")
    await page.goto("/sign-in")
    await page.get_by_role("button", name="English").click()
    await come_as(page, "bob")
    await expect(page.get_by_role("alert")).to_contain_text("ask its operator for access")


async def test_a_session_that_somebody_else_began_is_not_gone_on_with(visitors: People, keys: Keys) -> None:
    page = await visitors.visitor()
    page.context.set_default_timeout(15_000)
    await page.goto("/sign-in")
    await page.context.add_cookies(
        [{"name": "__Host-sidegate-session", "value": "x" * 43, "url": visitors.url, "secure": True}]
    )
    await come_as(page, "ann")
    await expect(page.locator("[data-who]")).to_contain_text("Ann")
    cookies = {cookie["name"]: cookie["value"] for cookie in await page.context.cookies()}
    assert cookies["__Host-sidegate-session"] != "x" * 43


async def test_an_answer_that_was_made_elsewhere_lets_nobody_in(visitors: People) -> None:
    page = await visitors.visitor()
    await page.goto("/sign-in")
    await page.goto(f"/sign-in/provider/back?{urlencode({'code': 'c', 'state': 's'})}")
    await expect(page.get_by_role("alert")).to_contain_text("was not begun in this browser")


async def test_keys_open_the_door_as_ever(console: AnotherConsole, keys: Keys) -> None:
    async with visiting(console) as browser:
        assert (await enter(browser, keys["shop"])).status_code == 303
