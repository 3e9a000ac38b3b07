"""The story of `make demo` by hand: an operator, a provider and a consumer at their browsers, and real packets."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from sidegate.credentials import Credential
from tests.support import namespaces
from tests.support.browser import People
from tests.support.namespaces import Namespace
from tests.support.pictures import picture
from tests.support.standalone import Standalone, until
from tests.support.world import Conversation, call, eventually_answers, machine, who_answers

pytestmark = [pytest.mark.root, pytest.mark.asyncio(loop_scope="package"), pytest.mark.timeout(240)]

CIDR, MACHINE = "10.0.0.0/24", "10.0.0.10"
DONE = "main form:not([role=search]) button.btn-primary"
SHORT = 0.7
"""Seconds after which a connection that is not there counts as one that does not come."""


@dataclass(frozen=True)
class Told:
    """What is read on the way, in a language."""

    locale: str
    overview: str
    passes: str
    time: str


LANGUAGES = (
    Told("en-GB", "Overview", "Packets pass", "Time"),
    Told("zh-CN", "总览", "数据包可以通过", "时间"),
)


@dataclass
class Party:
    """Somebody at a browser, with a private network."""

    name: str
    credential: Credential
    page: Page
    namespace: Namespace
    vpc: str = ""


async def submit(page: Page) -> None:
    """Sends the page's form, and waits until another page is there."""
    path = urlsplit(page.url).path
    await page.locator(DONE).last.click()
    await expect(page.locator(".alert-success, .alert-danger").first).to_be_visible()
    assert urlsplit(page.url).path != path, await page.locator("main").inner_text()


def last_part(page: Page) -> str:
    return urlsplit(page.url).path.rpartition("/")[2]


async def account(operator: Page, name: str) -> Credential:
    """The operator makes it, and reads its first secret on the one page that shows it."""
    await operator.goto("/operator/accounts/new")
    await operator.locator("#name").fill(name)
    await operator.locator(DONE).click()
    part = {each: operator.locator(f'#credential [data-part="{each}"]') for each in ("access_key", "secret_key")}
    return Credential(name, "default", await part["access_key"].inner_text(), await part["secret_key"].inner_text())


async def network(party: Party, operator: Page) -> None:
    """A VPC with a subnet and a machine, made by its owner, and attached by the operator."""
    page = party.page
    await page.goto("/vpcs/new")
    await page.locator("#name").fill("net")
    await page.locator("#cidrs").fill(CIDR)
    await submit(page)
    party.vpc = last_part(page)
    await page.goto(f"/vpcs/{party.vpc}/subnets/new")
    await page.locator("#name").fill("main")
    await page.locator("#cidr").fill(CIDR)
    await submit(page)
    await operator.goto("/operator/attachments")  # a tenant's VPC is attached by default, to a namespace of its own
    by_default = operator.locator("#attachments tr", has=operator.locator(f'a[href="/vpcs/{party.vpc}"]'))
    await by_default.locator("button").click()
    await expect(by_default).to_have_count(0)
    await operator.goto("/operator/attachments/new")
    await operator.locator("#vpc_id").fill(party.vpc)
    await operator.locator("#namespace").fill(party.namespace.name)
    await submit(operator)

    async def attached() -> bool:
        return "sidegate0" in party.namespace.devices()

    await until("the gateway's device", attached)
    party.namespace.add_address(f"{MACHINE}/24")
    await page.goto(f"/vpcs/{party.vpc}/ports/new")
    await page.locator("#holder").fill("main")
    await page.locator("#address").fill(MACHINE)
    await submit(page)
    await expect(page.locator("#vpc")).to_contain_text(MACHINE)


async def publish(provider: Party, consumer: Party) -> str:
    """The service's id; its consumer is told its full name, as people do."""
    page = provider.page
    await page.goto("/services/new")
    await page.locator("#name").fill("web")
    await page.locator("#ports [data-row]").first.locator('[name="client_port"]').fill("80")
    await page.locator("#ports [data-row]").first.locator('[name="server_port"]').fill("8080")
    await page.locator("#backends [data-row]").first.locator('[name="backend_address"]').fill(MACHINE)
    await page.locator("#permissions").fill(consumer.name)
    await page.locator("#approval_required").check()
    await submit(page)
    return last_part(page)


async def request(consumer: Party, full_name: str) -> tuple[str, str]:
    """The endpoint's id and address, which was foretold."""
    page = consumer.page
    await page.goto("/endpoints/new")
    await page.locator("#service").fill(full_name)
    await page.locator("#service").press("Tab")
    foreseen = page.locator("#foreseen[data-address]")
    await expect(foreseen).to_be_visible()
    address = await foreseen.get_attribute("data-address") or ""
    await page.locator("#name").fill("to-web")
    await page.locator("#name").press("Tab")
    await expect(foreseen).to_have_attribute("data-address", address)
    await picture(page, "request")
    await submit(page)
    await expect(page.locator("#state [data-state]").first).to_have_attribute("data-state", "pendingAcceptance")
    await expect(page.locator("#facts")).to_contain_text(address)
    return last_part(page), address


@dataclass
class Cast:
    provider: Party
    consumer: Party
    operator: Page
    stack: AsyncExitStack


@pytest.fixture(params=LANGUAGES, ids=lambda told: told.locale)
def told(request: pytest.FixtureRequest) -> Told:
    assert isinstance(request.param, Told)
    return request.param


@pytest_asyncio.fixture(loop_scope="package")
async def cast(people: People, operator: Credential, told: Told) -> AsyncIterator[Cast]:
    chinese = told.locale == "zh-CN"
    names: Sequence[str] = ("payments-zh", "shop-zh") if chinese else ("payments", "shop")
    async with AsyncExitStack() as stack:
        made = stack.enter_context(namespaces.make("pay", "shop"))
        page = await people.signed_in(operator, told.locale)
        page.on("dialog", lambda dialog: dialog.accept())
        parties = []
        for name, namespace in zip(names, made, strict=True):
            credential = await account(page, name)
            own = await people.signed_in(credential, told.locale, dark=chinese)
            parties.append(Party(name, credential, own, namespace))
        yield Cast(parties[0], parties[1], page, stack)


async def held(consumer: Party, address: str) -> Conversation:
    conversation = await call(consumer.namespace, address, 80)
    assert conversation is not None
    return conversation


async def test_the_story_is_told_to_its_end_in_two_browsers(sidegate: Standalone, cast: Cast, told: Told) -> None:
    provider, consumer, operator = cast.provider, cast.consumer, cast.operator
    await expect(provider.page.locator("h1")).to_have_text(told.overview)

    # Two private networks with the same addresses, and nothing between them.
    for party in (provider, consumer):
        await network(party, operator)
    await cast.stack.enter_async_context(machine(provider.namespace, "payments"))
    assert await who_answers(consumer.namespace, "10.0.0.20", 8080, SHORT) is None

    # The provider publishes and permits; the consumer requests, and is told the address that it will get.
    service = await publish(provider, consumer)
    full_name = await provider.page.locator("#full-name").inner_text()
    await provider.page.goto("/")
    endpoint, address = await request(consumer, full_name)
    assert await who_answers(consumer.namespace, address, 80, SHORT) is None

    # It appears on the provider's open overview; two clicks later packets pass, and the consumer's open page says so.
    asks = provider.page.locator(f'[data-waits="request:{endpoint}"]')
    await expect(asks).to_contain_text(consumer.name)
    await picture(provider.page, "overview")
    await provider.page.locator(f"#accept-{endpoint}").click()
    await expect(consumer.page.locator("#state [data-passes]").first).to_have_attribute("data-passes", "1")
    await expect(consumer.page.locator("#state")).to_contain_text(told.passes)
    assert await eventually_answers(consumer.namespace, address, 80) == "payments"
    await consumer.page.locator("#test").click()
    await expect(consumer.page.locator("#tested [data-reachable]")).to_have_attribute("data-reachable", "1")
    await expect(asks).to_have_count(0)

    # One way, and only the published port.
    assert await who_answers(provider.namespace, address, 80, SHORT) is None
    assert await who_answers(consumer.namespace, address, 81, SHORT) is None

    # Traffic is seen by both; the line of the picture has it, too.
    conversation = await held(consumer, address)
    assert await conversation.goes_on()
    await expect(consumer.page.locator("#traffic table[data-chart], [data-chart]").first).to_be_attached()
    await expect(consumer.page.locator(".u-legend th").first).to_have_text(told.time)
    await picture(consumer.page, "endpoint")

    # Rejected, the conversation ends; accepted again, the same address serves again.
    page = provider.page
    await page.goto(f"/services/{service}")
    await picture(page, "service")
    await page.locator(f"#reject-{endpoint}").click()
    await expect(consumer.page.locator("#state [data-state]").first).to_have_attribute("data-state", "rejected")
    assert not await conversation.goes_on(SHORT)
    conversation.close()
    assert await who_answers(consumer.namespace, address, 80, SHORT) is None
    await page.locator(f"#accept-{endpoint}").click()
    await expect(consumer.page.locator("#state [data-passes]").first).to_have_attribute("data-passes", "1")
    conversation = await held(consumer, address)

    # The gateway agent is killed: packets go on, and the operator sees it come back.
    await sidegate.kill_program("gateway")
    assert await conversation.goes_on()
    conversation.close()
    await operator.goto("/operator/gateways")
    await expect(operator.locator("main")).to_contain_text(str(sidegate.ready["gateway"]["id"]))
    await picture(operator, "gateways")

    # The past: who did what, the picture and the table as they were, and chains that hold.
    await audit_has(operator, endpoint, consumer)
    await the_past_is_drawn(operator, endpoint, consumer)
    await the_chains_hold(operator)


async def audit_has(operator: Page, endpoint: str, consumer: Party) -> None:
    await operator.goto(f"/past/audit?id={endpoint}")
    rows = operator.locator(f'#timeline tr[data-id="{endpoint}"]')
    await expect(rows.filter(has_text=consumer.name).first).to_be_visible()
    facts = [await row.get_attribute("data-what") for row in await rows.all()]
    assert {"requested", "rejected", "activated"} <= set(facts), facts
    await picture(operator, "audit")


async def the_past_is_drawn(operator: Page, endpoint: str, consumer: Party) -> None:
    """Change by change back to where the request waited, and no gateway had heard of it."""
    await operator.goto(f"/past?of={consumer.name}/default&cell=default")
    there = operator.locator(f'#past-moment [data-kind="endpoint"][data-id="{endpoint}"] [data-state]')
    forwarded = operator.locator(f'#past-moment [data-entry][data-id="{endpoint}"]')
    await expect(there).to_have_attribute("data-state", "accepted")
    await expect(forwarded).to_have_count(1)
    await picture(operator, "past")

    async def waits() -> bool:
        before = await operator.locator("#past").get_attribute("data-shown") or ""
        await operator.locator("#past-previous").click()
        await expect(operator.locator("#past")).not_to_have_attribute("data-shown", before)
        return await there.get_attribute("data-state") == "pendingAcceptance"

    await until("the moment at which the request waited", waits)
    await expect(forwarded).to_have_count(0)


async def the_chains_hold(operator: Page) -> None:
    await operator.goto("/past/proof")
    await operator.locator('button[form="to-check"]').click()
    verified = operator.locator('#check [data-verdict="verified"]')
    await expect(verified).to_have_count(2)
    await picture(operator, "proof")
