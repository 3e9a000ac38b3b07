"""Every page, in both languages, in the light and in the dark, at a desk and on a phone, by the ear and by keys."""

import re
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio
from playwright.async_api import Page

from sidegate.credentials import Credential
from tests.support.browser import PHONE, People, no_axe_violations
from tests.support.console_routes import filled, templates
from tests.support.neighbours import HOSTILE, Neighbours, neighbours
from tests.support.standalone import Standalone

pytestmark = pytest.mark.asyncio(loop_scope="package")

NO_PAGES = re.compile(
    r"\.json$|export|/live$|^/sign-in|^/find/|^/waiting$|/look$|/state$|/new/services$|^/services/new/backends"
    r"|^/endpoints/.*/(events|traffic)$"
)
"""What is no page of its own."""

MOST_TRANSFERRED = 300_000
TAB_STOPS = 12

NAMES = re.compile(
    r"sidegate(?: [a-z-]+)+|Sidegate"
    r"|VPC|CIDR|DNS|TCP|UDP|HTTPS?|PROXY|IPv?[46]?|ICMP|TTL|ID|CSV|JSON|MiB|GiB|kB|MB|GB|bit/s|UTC|OpenID|HAProxy"
    r"|VXLAN|VNI|MTU|MAC|BPF|API|NATS|SHA-?256|TXT|SNI|EDNS|ToS|curl|netns|vxlan|dig|interface|gateway|English|default"
)
ENGLISH = re.compile(r"\b[A-Za-z][a-z]+(?: [a-z]+){2,}")
"""Three words of a sentence."""

TEXTS = """() => {
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode, at = node.parentElement;
    if (!node.data.trim() || at.closest("[lang=en], script, style, code, pre, [data-verbatim]")) continue;
    found.push(node.data.trim());
  }
  for (const each of document.querySelectorAll("[aria-label], [title], [placeholder]")) {
    if (each.closest("[lang=en]")) continue;
    found.push(...["aria-label", "title", "placeholder"].map((name) => each.getAttribute(name) ?? ""));
  }
  return found;
}"""

SQUEEZED = """() => [...document.querySelectorAll("td")]
  .filter((cell) => cell.checkVisibility() && cell.clientWidth < 40)
  .map((cell) => cell.innerText.trim()).filter((text) => text.length > 8)"""

TRANSFERRED = """() => performance.getEntries().filter((each) => ["navigation", "resource"].includes(each.entryType)
  && !each.name.endsWith("/live")).reduce((sum, each) => sum + each.transferSize, 0)"""

FOCUS = """() => {
  const at = document.activeElement, style = getComputedStyle(at);
  if (at === document.body) return null;
  const skips = at.matches(".visually-hidden-focusable");
  const visible = style.outlineStyle !== "none" || style.boxShadow !== "none" || skips;
  return { what: at.outerHTML.slice(0, 120), visible };
}"""


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def town(sidegate: Standalone, tenant: Callable[[str], Credential]) -> AsyncIterator[Neighbours]:
    async with neighbours(sidegate, tenant) as made:
        yield made


def pages(town: Neighbours, who: str) -> list[str]:
    """The operator has pages of its own; a provider has services, a consumer endpoints, and both all else."""
    ids = (
        {**town.provider.ids, **town.consumer.ids} if who != "provider" else {**town.consumer.ids, **town.provider.ids}
    )
    ids |= {"name": town.provider.account, "key": town.provider.key.access_key, "cell": "cell-1"}
    if who == "provider":
        ids["endpoint"] = town.endpoint.id
    found = []
    for template in templates("GET"):
        of = (
            "operator"
            if template.startswith(("/operator", "/past/proof"))
            else "consumer"
            if template.startswith("/endpoints")
            else "provider"
        )
        if of == who and not NO_PAGES.search(template) and (path := filled(template, ids)):
            found.append(path)
    return found


def key_of(town: Neighbours, operator: Credential, who: str) -> Credential:
    return {"provider": town.provider.key, "consumer": town.consumer.key}.get(who, operator)


async def opened(page: Page, path: str) -> None:
    answer = await page.goto(path)
    assert answer is not None
    assert answer.status == 200, f"{path}: {answer.status}"
    await page.wait_for_load_state("load")


def english(texts: list[str], own: list[str]) -> list[str]:
    found = []
    for text in texts:
        if any(each in text for each in own):
            continue
        if ENGLISH.search(NAMES.sub("", text)):
            found.append(text)
    return found


@pytest.mark.parametrize("who", ["provider", "consumer", "operator"])
async def test_every_page_is_in_chinese_can_be_heard_in_the_dark_and_fits_a_phone(
    people: People, town: Neighbours, operator: Credential, who: str
) -> None:
    page = await people.signed_in(key_of(town, operator, who), "zh-CN", dark=True, size=PHONE)
    wrong = []
    for path in pages(town, who):
        await opened(page, path)
        left = english(await page.evaluate(TEXTS), [HOSTILE])
        wrong += [f"{path}: in English: {text!r}" for text in left]
        if not await page.evaluate("document.documentElement.scrollWidth <= innerWidth"):
            wrong.append(f"{path}: scrolls sideways")
        wrong += [f"{path}: a letter in a line: {text!r}" for text in await page.evaluate(SQUEEZED)]
        wrong += await heard(page, path)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("who", ["provider", "consumer", "operator"])
async def test_every_page_can_be_heard_in_the_light_is_small_and_goes_by_keys(
    people: People, town: Neighbours, operator: Credential, who: str
) -> None:
    page = await people.signed_in(key_of(town, operator, who))
    page.on("dialog", lambda dialog: people.faults.note(f"a dialog on {page.url}: {dialog.message}"))
    session = await page.context.new_cdp_session(page)
    wrong = []
    for path in pages(town, who):
        await session.send("Network.clearBrowserCache")
        await opened(page, path)
        if (size := await page.evaluate(TRANSFERRED)) > MOST_TRANSFERRED:
            wrong.append(f"{path}: {size} bytes")
        wrong += await heard(page, path)
        wrong += [f"{path}: {each}" for each in await by_keys(page)]
        if "49" in await page.evaluate("document.body.innerText.match(/onmouseover=alert\\(1\\) \\d+/)?.[0] ?? ''"):
            wrong.append(f"{path}: what a tenant wrote is worked out")
        if await page.locator("[onmouseover], [onerror]").count():
            wrong.append(f"{path}: what a tenant wrote is an attribute")
    assert not wrong, "\n".join(wrong)


async def heard(page: Page, path: str) -> list[str]:
    try:
        await no_axe_violations(page)
    except AssertionError as error:
        return [f"{path}: {line}" for line in str(error).splitlines()[:4]]
    return []


async def by_keys(page: Page) -> list[str]:
    """The first stop leads to the content; each shows that it is there; none holds whoever comes."""
    wrong, seen = list[str](), list[str]()
    await page.evaluate("document.activeElement?.blur()")
    for stop in range(TAB_STOPS):
        await page.keyboard.press("Tab")
        at = await page.evaluate(FOCUS)
        if at is None:
            break
        if stop == 0 and "#content" not in at["what"] and not await page.locator(".is-invalid, #problem").count():
            wrong.append(f"the first stop is {at['what']}")
        if not at["visible"]:
            wrong.append(f"nothing shows where one is: {at['what']}")
        if seen and at["what"] == seen[-1]:
            wrong.append(f"one is held at {at['what']}")
        seen.append(at["what"])
    return wrong
