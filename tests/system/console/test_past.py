"""The past in the console: the timeline, the time slider with its picture, and the proof of it, in a real browser."""

import csv
import io
import json
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from sidegate.api.endpoint.v1.endpoint_pb2 import Endpoint
from sidegate.credentials import Credential
from tests.support import namespaces
from tests.support.browser import PHONE, People, follow, no_axe_violations
from tests.support.standalone import Standalone
from tests.support.world import Site, site

pytestmark = [pytest.mark.root, pytest.mark.asyncio(loop_scope="package")]

PICTURE = "#past-picture-picture"


@dataclass
class Story:
    """A service, and three endpoints of another account, one after another; the moments between them are known."""

    provider: Site
    consumer: Site
    key: Credential
    consumers_key: Credential
    endpoints: list[Endpoint]
    moments: list[str]
    service: str

    @property
    def of(self) -> str:
        return f"{self.consumer.account}/default"


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def story(sidegate: Standalone, tenant: Callable[[str], Credential]) -> AsyncIterator[Story]:
    async with AsyncExitStack() as stack:
        made = stack.enter_context(namespaces.make("past-buyer", "past-shop"))
        keys = [tenant("pastbuyer"), tenant("pastshop")]
        consumer, provider = [
            await stack.enter_async_context(site(sidegate, key.account, namespace))
            for key, namespace in zip(keys, made, strict=True)
        ]
        service = await provider.publish("ledger", approval=False)
        await provider.client.services.permit(service.id, [f"iam:domain::{consumer.account}"])
        endpoints, moments = list[Endpoint](), [now()]
        for number in range(3):
            asked = await consumer.request(service, name=f"till-{number}")
            endpoints.append(await consumer.accepted(asked))
            moments.append(now())
        yield Story(provider, consumer, keys[1], keys[0], endpoints, moments, service.id)


async def shown(page: Page, at: str) -> None:
    await expect(page.locator(f'#past[data-shown="{at or "now"}"]')).to_have_count(1)


async def drawn(page: Page) -> set[str]:
    """Labels of the endpoints that are in the picture."""
    await expect(page.locator(f"{PICTURE}[data-drawn]")).to_have_count(1)
    found = page.locator("#past-moment [data-kind=endpoint] a")
    return set(await found.all_inner_texts())


async def marked(page: Page, mark: str) -> set[str]:
    """Ids of the nodes that the picture has marked."""
    read = "mark => document.getElementById('past-picture-picture')._cyreg.cy.nodes('.' + mark).map(each => each.id())"
    return set(await page.evaluate(read, mark))


async def test_the_operator_reads_who_did_what_with_filters_and_new_deeds_appear_by_themselves(
    people: People, operator: Credential, story: Story
) -> None:
    page = await people.signed_in(operator)
    await page.goto("/past/audit")
    await expect(page.locator("#timeline tbody tr").first).to_be_visible()
    assert await no_axe_violations(page)

    await page.get_by_label("Resource: its id").fill(story.endpoints[0].id)
    await follow(page.get_by_role("button", name="Filter"))
    rows = page.locator("#timeline tbody tr")
    await expect(rows.last).to_have_attribute("data-what", "requested")
    await expect(rows.last).to_contain_text(story.of)
    await expect(rows.last).to_contain_text("CreateEndpoint")
    await expect(rows.last.get_by_role("link", name="till-0", exact=True)).to_be_visible()
    before = await rows.count()
    await story.consumer.client.endpoints.update(story.endpoints[0].id, description="seen live")
    await expect(rows).to_have_count(before + 1)
    await expect(rows.first).to_have_attribute("data-what", "changed")

    await page.goto(f"/past/audit?kind=vpc&actor={story.consumer.account}")
    await expect(rows).to_have_count(1)
    await expect(rows.first).to_contain_text(f"{story.consumer.account}-net")


async def test_the_timeline_is_paged_back_to_its_beginning_and_nothing_is_twice_or_missing(
    people: People, operator: Credential, story: Story, sidegate: Standalone
) -> None:
    for number in range(60):
        await story.provider.client.services.update(story.service, description=f"edition {number}")
    page = await people.signed_in(operator)
    await page.goto(f"/past/audit?result=done&end={now()}")
    seen = list[str]()
    while True:
        rows = page.locator("#timeline tbody tr")
        seen += [f"{await row.locator('td').last.inner_text()}" for row in await rows.all()]
        if not await page.get_by_role("link", name="Older").count():
            break
        await follow(page.get_by_role("link", name="Older"))
    assert len(seen) == len(set(seen)) > 50
    assert any("registry log, position 1" in each.splitlines() for each in seen)


async def test_what_was_refused_is_in_the_operators_timeline_with_its_reason(
    people: People, operator: Credential, story: Story
) -> None:
    thief = await people.signed_in(story.key)
    await thief.goto(f"/endpoints/{story.endpoints[0].id}")
    page = await people.signed_in(operator)
    await page.goto(f"/past/audit?result=refused&actor={story.provider.account}")
    row = page.locator("#timeline tbody tr", has_text="NOT_FOUND").first
    await expect(row).to_have_attribute("data-result", "refused")
    await expect(row.locator('td [lang="en"]')).to_have_text("NOT_FOUND")  # once, though it is the code, too


async def test_a_timeline_is_exported_as_csv_and_as_json_lines_with_its_filters(people: People, story: Story) -> None:
    page = await people.signed_in(story.consumers_key)
    await page.goto("/past/audit?kind=endpoint")
    found = {}
    for name in ("CSV", "JSON lines"):
        async with page.expect_download() as download:
            await page.get_by_role("link", name=f"Export as {name}").click()
        found[name] = (await (await download.value).path()).read_text()
    rows = list(csv.DictReader(io.StringIO(found["CSV"])))
    lines = [json.loads(line) for line in found["JSON lines"].splitlines()]
    assert [row["id"] for row in rows] == [line["id"] for line in lines]
    assert {row["kind"] for row in rows} == {"endpoint"}
    assert {each.id for each in story.endpoints} == {row["id"] for row in rows}
    assert story.provider.account not in found["JSON lines"]


async def test_a_project_reads_its_own_timeline_and_nothing_of_the_others(people: People, story: Story) -> None:
    page = await people.signed_in(story.key)
    for query, kind in (("", "service"), ("?kind=connection", "connection")):
        await page.goto(f"/past/audit{query}")
        await expect(page.locator(f"#timeline [data-kind={kind}]").first).to_be_visible()
        text = await page.content()
        for secret in (story.consumer.account, "till-0", story.consumer.vpc_id, "log, position"):
            assert secret not in text
        assert await no_axe_violations(page)
    assert (await page.goto(f"/past/audit?id={story.consumer.vpc_id}")) is not None
    await expect(page.get_by_text("Nothing that fits.")).to_be_visible()
    answer = await page.goto("/past/proof")
    assert answer is not None
    assert answer.status == 404


async def test_what_is_live_keeps_no_session_alive_and_whose_is_over_comes_back_to_it(
    people: People, story: Story
) -> None:
    page = await people.signed_in(story.consumers_key)
    await page.goto("/past?of=")
    await shown(page, "")
    for path in ("moment", "changes"):
        async with page.expect_request(f"**/past/{path}.json?*") as asked:
            await story.consumer.client.endpoints.update(story.endpoints[0].id, description=f"live {path}")
        assert await (await asked.value).header_value("x-sidegate-poll"), path
    people.faults.expect("Failed to load resource", "ERR_", r"\[object Event\]")
    await page.route("**/live", lambda route: route.abort())
    await page.reload()
    await shown(page, "")
    await page.context.clear_cookies()
    await page.locator("#past-previous").click()
    await expect(page).to_have_url(f"{people.url}/sign-in?next=%2Fpast%3Fof%3D")


async def test_dragging_the_slider_shows_that_moment_in_picture_and_list(people: People, story: Story) -> None:
    page = await people.signed_in(story.consumers_key)
    await page.goto("/past")
    await shown(page, "")
    assert await drawn(page) == {"till-0", "till-1", "till-2"}
    assert await no_axe_violations(page)

    await page.locator("#past-slider").focus()
    await page.keyboard.press("Home")
    await expect(page.locator("#past-moment [data-kind=endpoint]")).to_have_count(0)
    await page.keyboard.press("End")
    await shown(page, "")
    await expect(page.locator("#past-moment [data-kind=endpoint]")).to_have_count(3)

    box = await page.locator("#past-slider").bounding_box()
    assert box is not None
    await page.mouse.move(box["x"] + box["width"] - 4, box["y"] + box["height"] / 2)
    await page.mouse.down()
    for share in range(20, -1, -1):
        await page.mouse.move(box["x"] + 4 + (box["width"] - 8) * share / 20, box["y"] + box["height"] / 2)
    await page.mouse.up()
    await expect(page.locator("#past-moment [data-kind=endpoint]")).to_have_count(0)
    await expect(page.locator("#past-said")).not_to_have_text("Now, live")
    assert int(await page.locator("#past-marks").get_attribute("data-marks") or 0) > 5


async def test_buttons_go_from_change_to_change_and_a_field_to_any_moment(people: People, story: Story) -> None:
    page = await people.signed_in(story.consumers_key, timezone_id="UTC")
    await page.goto(f"/past?at={story.moments[2]}")
    await shown(page, story.moments[2])
    assert await drawn(page) == {"till-0", "till-1"}
    for _ in range(10):
        at = await page.locator("#past").get_attribute("data-shown")
        await page.get_by_role("button", name="Change before").click()
        await expect(page.locator(f'#past[data-shown="{at}"]')).to_have_count(0)
        if await page.locator("#past-moment [data-kind=endpoint]").count() == 1:
            break
    assert await drawn(page) == {"till-0"}
    at = await page.locator("#past").get_attribute("data-shown")
    await page.get_by_role("button", name="Change after").click()
    await expect(page.locator(f'#past[data-shown="{at}"]')).to_have_count(0)
    await expect(page.locator("#past-moment [data-kind=endpoint]")).to_have_count(2)
    await page.get_by_role("button", name="Now", exact=True).click()
    await expect(page.locator("#past-moment [data-kind=endpoint]")).to_have_count(3)
    await page.get_by_label("Date and time").fill("2020-02-29T12:00:00")
    await page.get_by_role("button", name="Show this moment").click()
    await expect(page.get_by_text("before the beginning of the logs")).to_be_visible()


async def test_two_moments_are_compared_in_a_list_and_in_the_picture(people: People, story: Story) -> None:
    await story.consumer.client.endpoints.update(story.endpoints[0].id, description="compared")
    page = await people.signed_in(story.consumers_key)
    await page.goto(f"/past?at={story.moments[1]}")
    await shown(page, story.moments[1])
    await page.get_by_role("button", name="Compare with this moment").click()
    await expect(page.get_by_text("Nothing differs between the two moments.")).to_be_visible()
    await page.get_by_role("button", name="Now", exact=True).click()
    made = page.locator("#past-moment [data-change=made][data-kind=endpoint]")
    await expect(made).to_have_count(2)
    await expect(made.first).to_contain_text("till-1")
    await expect(made.first).to_contain_text("address")
    changed = page.locator("#past-moment [data-change=changed][data-kind=endpoint]")
    await expect(changed).to_contain_text("compared")
    await expect(changed).to_contain_text("description")
    assert await marked(page, "added") >= {f"endpoint:{each.id}" for each in story.endpoints[1:]}
    assert await no_axe_violations(page)
    await page.get_by_role("button", name="Stop comparing with").click()
    await expect(page.get_by_text("What differs")).to_have_count(0)


async def test_the_operator_sees_all_of_a_moment_and_the_forwarding_table_that_gateways_had(
    people: People, operator: Credential, story: Story
) -> None:
    page = await people.signed_in(operator)
    await page.goto(f"/past?cell=default&at={story.moments[1]}")
    await shown(page, story.moments[1])
    table = page.locator("[data-entry=endpoint]")
    ids = [await each.get_attribute("data-id") for each in await table.all()]
    assert story.endpoints[0].id in ids
    assert story.endpoints[1].id not in ids
    listed = page.locator("#past-moment [data-kind=vpc]")
    assert {f"{story.consumer.account}-net", f"{story.provider.account}-net"} <= set(
        await listed.locator("a").all_inner_texts()
    )
    await page.get_by_role("button", name="Now", exact=True).click()
    await expect(page.locator(f"[data-entry=endpoint][data-id='{story.endpoints[2].id}']")).to_have_count(1)
    assert await no_axe_violations(page)
    await page.get_by_label("Project, or all").fill(story.of)
    await page.get_by_role("button", name="Show", exact=True).click()
    await shown(page, "")
    assert await drawn(page) == {"till-0", "till-1", "till-2"}


async def test_what_cannot_be_shown_is_said_in_words(people: People, story: Story) -> None:
    page = await people.signed_in(story.consumers_key)
    for at, text in (("nonsense", "This is no moment"), ("2999-01-01T00:00:00Z", "has not come yet")):
        answer = await page.goto(f"/past?at={at}")
        assert answer is not None
        assert answer.status == 422
        await expect(page.locator("#past-problem")).to_contain_text(text)
    other = "registry:6f1c2a3b-5d0e-4f6a-9b1c-2d3e4f5a6b7c:1"
    path = f"/past/moment.json?at={story.moments[1]}&logs={other}"
    refused = await page.request.get(path, headers={"HX-Request": "1"})
    assert refused.status == 409
    assert "what was asked for is a position of another" in await refused.text()
    page = await people.signed_in(story.consumers_key, "zh-CN")
    refused = await page.request.get(path, headers={"HX-Request": "1"})
    assert 'data-reason="LOG_CHANGED"' in await refused.text()


async def test_what_is_now_follows_what_happens(people: People, story: Story) -> None:
    page = await people.signed_in(story.consumers_key)
    await page.goto("/past")
    await shown(page, "")
    made = await story.consumer.client.vpcs.create("appears", ["10.9.0.0/16"])
    await expect(page.locator(f"#past-moment [data-id='{made.id}']")).to_have_count(1)
    await story.consumer.client.vpcs.delete(made.id)
    await expect(page.locator(f"#past-moment [data-id='{made.id}']")).to_have_count(0)


async def test_the_pages_of_the_past_are_read_on_a_phone_in_the_dark_and_in_chinese(
    people: People, operator: Credential, story: Story
) -> None:
    page = await people.signed_in(operator, "zh-CN", dark=True, size=PHONE)
    for path, text in (("/past", "时间滑块"), ("/past/audit", "时间线"), ("/past/proof", "校验哈希链")):
        await page.goto(path)
        await expect(page.get_by_text(text).first).to_be_visible()
        assert await no_axe_violations(page)
        assert await page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]


async def test_the_chains_are_checked_from_a_button_while_the_page_says_how_far_it_is(
    people: People, operator: Credential, story: Story
) -> None:
    page = await people.signed_in(operator)
    await page.goto("/past/proof")
    await expect(page.get_by_text("the signature fits")).to_have_count(2)
    await page.get_by_role("button", name="Check the chains").click()
    for log in ("registry", "endpoint"):
        await expect(page.locator(f"[data-check={log}][data-verdict=verified]")).to_contain_text("records fit")
    assert await no_axe_violations(page)


async def test_the_chains_are_held_against_heads_that_were_kept_elsewhere(
    people: People, operator: Credential, story: Story, sidegate: Standalone, tmp_path: Path
) -> None:
    sidegate.answer("audit", "head", "--append", str(tmp_path / "heads"))
    keys = [sidegate.answer("audit", "key", log)["pem"] for log in ("registry", "endpoint")]
    page = await people.signed_in(operator)
    await page.goto("/past/proof")
    await page.get_by_text("With heads that were kept elsewhere").click()
    await page.get_by_label("Signed heads").fill((tmp_path / "heads").read_text())
    await page.get_by_label("Public keys").fill(keys[0])
    await page.get_by_role("button", name="Check the chains").click()
    await expect(page.locator("#heads-wrong")).to_contain_text("signed by none of these keys")
    await expect(page.get_by_label("Signed heads")).to_have_value((tmp_path / "heads").read_text().strip())
    assert await no_axe_violations(page)
    await page.get_by_label("Public keys").fill("\n".join(keys))
    await page.get_by_role("button", name="Check the chains").click()
    await expect(page.get_by_text("It leads to every head that was kept.")).to_have_count(2)


@contextmanager
def tampered(database: str, position: int) -> Iterator[None]:
    """Somebody has the database, and makes another account the one that did it; in the end it is as it was."""
    with closing(sqlite3.connect(database, timeout=30)) as log:
        triggers = log.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        ((meta,),) = log.execute("SELECT meta FROM events WHERE position = ?", (position,)).fetchall()
        write = "UPDATE events SET meta = ? WHERE position = ?"
        for name, _ in triggers:
            log.execute(f"DROP TRIGGER {name}")
        log.execute(write, (meta[:-1] + bytes([meta[-1] ^ 1]), position))
        log.commit()
        try:
            yield
        finally:
            log.execute(write, (meta, position))
            for _, made in triggers:
                log.execute(made)
            log.commit()


async def test_a_log_that_was_tampered_with_is_found_out_with_the_first_record_that_does_not_fit(
    people: People, operator: Credential, story: Story, sidegate: Standalone
) -> None:
    page = await people.signed_in(operator)
    await page.goto("/past/proof")
    with tampered(sidegate.database("endpoint"), 3):
        await page.get_by_role("button", name="Check the chains").click()
        found = page.locator("[data-check=endpoint][data-verdict=hash]")
        await expect(found).to_contain_text("Position 3 is the first that does not fit; the 2 records before it do.")
        await expect(page.locator("[data-check=registry][data-verdict=verified]")).to_have_count(1)
        assert await no_axe_violations(page)
    await page.get_by_role("button", name="Check the chains").click()
    await expect(page.locator("[data-verdict=verified]")).to_have_count(2)
