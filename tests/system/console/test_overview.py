"""The overview: everything in one picture that is live, what waits for its reader, and what to do when all is empty."""

import asyncio
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Page, expect

from sidegate.api.endpoint.v1.endpoint_pb2 import ConnectionState, Endpoint
from sidegate.credentials import Credential
from tests.support.browser import PHONE, Chromium, People, no_axe_violations
from tests.support.standalone import Standalone, until
from tests.support.world import call, eventually_answers
from tests.system.console.town import ANSWER, Town

pytestmark = [pytest.mark.root, pytest.mark.asyncio(loop_scope="package")]

HEAVIEST = 300_000
"""Bytes of a page, with all that belongs to it, as they are sent."""

PATIENCE = 30.0
ELEMENTS = """() => {
    const cy = document.querySelector(".topology-picture")?._cyreg?.cy;
    if (!cy) return {nodes: [], lines: []};
    const node = each => ({...each.data(), at: each.position(), seen: each.renderedPosition()});
    const line = each => ({...each.data(), colour: each.style("line-color"), look: each.style("line-style")});
    return {nodes: cy.nodes().map(node), lines: cy.edges().map(line)};
}"""

ASKED_ANEW = """() => new Promise(done => document.body.addEventListener("htmx:afterRequest", ({detail}) => {
    if (detail.xhr.status === 200) done(true);
}))"""
"""Once what waits has been asked for again, and was another."""

NO_CLOCK = """for (const name of ["setInterval", "setTimeout"]) {
    const own = window[name].bind(window);
    window[name] = (work, wait, ...rest) => wait === 2000 ? 0 : own(work, wait, ...rest);
}"""
"""Pages ask again every two seconds: these never do."""


async def drawn(page: Page, nodes: int = 1) -> Any:
    """What the picture has, once it has been drawn with so many nodes."""

    async def ask() -> Any:
        found = await page.evaluate(ELEMENTS)
        return found if len(found["nodes"]) >= nodes else None

    await expect(page.locator("[data-drawn]")).to_be_visible()
    return await until(f"{nodes} nodes to be drawn", ask)


async def line(page: Page, endpoint: str, state: str) -> Any:
    """The line of a connection, once it is drawn in this state."""

    async def ask() -> Any:
        lines = (await page.evaluate(ELEMENTS))["lines"]
        return next((each for each in lines if each["id"] == f"connection:{endpoint}" and each["state"] == state), None)

    return await until(f"the connection to be drawn as {state}", ask)


async def is_asked_for(page: Page, endpoint: Endpoint) -> None:
    """Above the picture and in it, on a page that is connected."""
    await expect(page.locator("#connection")).to_be_hidden()
    await expect(page.locator(f'[data-waits="request:{endpoint.id}"]')).to_be_visible()
    await line(page, endpoint.id, "pendingAcceptance")


async def hears_of_news_alone(page: Page, nodes: int) -> None:
    """Opens it anew, where it asks for nothing by the clock: what changes on it does because it was told."""
    await page.add_init_script(NO_CLOCK)
    await page.reload()
    await drawn(page, nodes)


async def test_who_has_nothing_yet_reads_what_to_do_next(people: People, tenant: Callable[[str], Credential]) -> None:
    page = await people.signed_in(tenant("new"))
    steps = page.locator("#waiting ol a")
    await expect(steps).to_have_text(["Create a VPC", "Publish a service", "Request an endpoint"])
    await expect(page.locator("#topology")).to_be_hidden()
    await expect(page.locator("h2")).to_have_text(["What to do next", "Topology"])
    await expect(page.locator("h2").last).to_be_hidden()
    assert await no_axe_violations(page)
    await steps.first.click()
    await expect(page).to_have_url(f"{people.url}/vpcs/new")


async def test_provider_and_consumer_see_each_their_own_side_of_a_connection(people: People, town: Town) -> None:
    endpoint = await town.connected(await town.publish("orders", approval=False), "buy")
    theirs = await drawn(await people.signed_in(town.consumers_key), 5)
    kinds = {node["kind"]: node for node in theirs["nodes"]}
    assert set(kinds) == {"vpc", "subnet", "machine", "endpoint", "foreign"}
    assert kinds["endpoint"]["text"].splitlines() == ["buy", endpoint.address]
    assert (kinds["endpoint"]["parent"], kinds["subnet"]["parent"]) == (kinds["subnet"]["id"], kinds["vpc"]["id"])
    ours = await drawn(await people.signed_in(town.providers_key), 5)
    kinds = {node["kind"]: node for node in ours["nodes"]}
    assert set(kinds) == {"vpc", "subnet", "machine", "service", "remote"}
    assert kinds["remote"]["text"].splitlines()[0] == town.consumer.account
    said = json.dumps(ours)
    assert not [secret for secret in ("buy", town.consumer.vpc_id, town.consumer.subnet_id) if secret in said]
    assert {each["kind"] for each in ours["lines"]} == {"connection", "backend"}


async def test_a_request_is_there_as_it_is_made_is_accepted_in_two_clicks_and_its_line_changes(
    people: People, town: Town
) -> None:
    service = await town.publish("orders")
    page, theirs = await people.signed_in(town.providers_key), await people.signed_in(town.consumers_key)
    await hears_of_news_alone(page, 4)
    await hears_of_news_alone(theirs, 3)
    endpoint = await town.consumer.request(service, name="buy")
    request = page.locator(f'[data-waits="request:{endpoint.id}"]')
    await expect(request).to_contain_text(f"{town.consumer.account} asks to connect")
    await expect(page.locator("[data-total]")).to_have_text("1")
    before = await line(page, endpoint.id, "pendingAcceptance")
    assert (await line(theirs, endpoint.id, "pendingAcceptance"))["look"] == before["look"] == "dashed"
    assert before["text"] == "waits for acceptance"
    assert await no_axe_violations(page)
    await request.get_by_role("button", name="Accept").click()
    await expect(page).to_have_url(f"{people.url}/")
    await expect(request).to_have_count(0)
    after = await line(theirs, endpoint.id, "accepted")
    assert after["look"] == "solid"
    assert after["colour"] != before["colour"]
    assert await eventually_answers(town.consumer.namespace, endpoint.address, 80) == ANSWER


async def test_a_request_that_is_rejected_shows_its_consumer_that_no_packet_passes(people: People, town: Town) -> None:
    endpoint = await town.consumer.request(await town.publish("orders"), name="buy")
    page, theirs = await people.signed_in(town.providers_key), await people.signed_in(town.consumers_key)
    await hears_of_news_alone(theirs, 5)
    await page.locator(f'[data-waits="request:{endpoint.id}"]').get_by_role("button", name="Reject").click()
    blocked = theirs.locator(f'[data-waits="endpoint:{endpoint.id}"]')
    await expect(blocked).to_contain_text("No packet passes endpoint buy to orders")
    await blocked.get_by_role("link").click()
    await expect(theirs).to_have_url(f"{people.url}/endpoints/{endpoint.id}")


async def test_two_who_decide_at_once_see_the_first_decision(people: People, town: Town) -> None:
    endpoint = await town.consumer.request(await town.publish("orders"), name="buy")
    page, another = await people.signed_in(town.providers_key), await people.signed_in(town.providers_key)
    accept = page.locator(f'[data-waits="request:{endpoint.id}"]').get_by_role("button", name="Accept")
    await hears_of_news_alone(page, 5)
    await expect(accept).to_be_visible()
    await another.locator(f'[data-waits="request:{endpoint.id}"]').get_by_role("button", name="Reject").click()
    await expect(page.locator(f'[data-waits="request:{endpoint.id}"]')).to_have_count(0)
    assert await town.consumer.state(endpoint) == ConnectionState.CONNECTION_STATE_REJECTED


async def test_what_is_pressed_is_still_there_when_it_is_released(people: People, town: Town) -> None:
    """News that came between the two made the click one of nothing."""
    service = await town.publish("orders")
    endpoint = await town.consumer.request(service, name="buy")
    page = await people.signed_in(town.providers_key)
    await hears_of_news_alone(page, 5)
    await page.locator(f'[data-waits="request:{endpoint.id}"]').get_by_role("button", name="Accept").hover()
    await page.mouse.down()
    told = asyncio.ensure_future(page.evaluate(ASKED_ANEW))
    another = await town.consumer.request(service, name="more")
    assert await told
    await page.mouse.up()
    await expect(page.locator(f'[data-waits="request:{endpoint.id}"]')).to_have_count(0)
    await expect(page.locator(f'[data-waits="request:{another.id}"]')).to_be_visible()
    assert await town.consumer.accepted(endpoint)


async def test_what_is_put_off_while_something_is_pressed_comes_with_the_release(people: People, town: Town) -> None:
    service = await town.publish("orders")
    page = await people.signed_in(town.providers_key)
    await hears_of_news_alone(page, 4)
    await page.get_by_role("heading", name="Overview").hover()
    await page.mouse.down()
    told = asyncio.ensure_future(page.evaluate(ASKED_ANEW))
    endpoint = await town.consumer.request(service, name="buy")
    assert await told
    await expect(page.locator(f'[data-waits="request:{endpoint.id}"]')).to_have_count(0)
    await page.mouse.up()
    await expect(page.locator(f'[data-waits="request:{endpoint.id}"]')).to_be_visible()


async def test_the_picture_is_used_by_keyboard_and_says_what_it_shows(people: People, town: Town) -> None:
    endpoint = await town.connected(await town.publish("orders", approval=False), "buy")
    page = await people.signed_in(town.consumers_key)
    await drawn(page, 5)
    picture = page.get_by_role("application", name="Topology")
    await picture.focus()
    said = page.locator(".topology-said")
    await picture.press("ArrowRight")
    for _ in range(8):
        if "Endpoint buy" in (await said.inner_text()):
            break
        await picture.press("ArrowRight")
    await expect(said).to_have_text(f"Endpoint buy · {endpoint.address} · accepted · {town.consumer.account}/default")
    await picture.press("Enter")
    await expect(page).to_have_url(f"{people.url}/endpoints/{endpoint.id}")


async def test_a_click_on_a_thing_goes_to_its_page_and_so_does_a_link_of_the_list(people: People, town: Town) -> None:
    service = await town.publish("orders", approval=False)
    await town.connected(service, "buy")
    page = await people.signed_in(town.providers_key)
    found = await drawn(page, 5)
    at = next(node["seen"] for node in found["nodes"] if node["kind"] == "service")
    await page.locator(".topology-picture").click(position={"x": at["x"], "y": at["y"]})
    await expect(page).to_have_url(f"{people.url}/services/{service.id}")
    await page.goto("/")
    await page.get_by_text("The same as a list").click()
    listed = page.locator(".topology-list-body")
    await expect(listed.get_by_role("link", name="Service orders")).to_have_attribute("href", f"/services/{service.id}")
    await expect(listed).to_contain_text(f"← {town.consumer.account} · accepted")
    assert await no_axe_violations(page)


async def test_one_more_endpoint_leaves_all_others_where_they_are(people: People, town: Town) -> None:
    service = await town.publish("orders", approval=False)
    for number in range(3):
        await town.connected(service, f"buy{number}")
    page = await people.signed_in(town.consumers_key)
    before = {
        node["id"]: node["at"] for node in (await drawn(page, 7))["nodes"] if node["kind"] not in ("vpc", "subnet")
    }
    await town.consumer.request(service, name="one-more")
    after = {node["id"]: node["at"] for node in (await drawn(page, 8))["nodes"]}
    assert {id_: after[id_] for id_ in before} == before


async def test_a_line_is_the_wider_the_more_passes(people: People, town: Town) -> None:
    service = await town.publish("orders", approval=False)
    busy, idle = await town.connected(service, "busy"), await town.connected(service, "idle")
    talk = await call(town.consumer.namespace, busy.address, 80, patience=PATIENCE)
    assert talk is not None
    page = await people.signed_in(town.consumers_key)

    async def is_wide() -> bool:
        assert await talk.goes_on(PATIENCE)
        return float((await line(page, busy.id, "accepted"))["width"]) > 3

    await until("the line to become wider", is_wide, PATIENCE)
    assert (await line(page, idle.id, "accepted"))["width"] == 1.5
    talk.close()


async def test_colours_of_the_picture_follow_light_and_dark(people: People, town: Town) -> None:
    endpoint = await town.connected(await town.publish("orders", approval=False), "buy")
    page = await people.signed_in(town.consumers_key)
    light = await line(page, endpoint.id, "accepted")
    await page.emulate_media(color_scheme="dark")

    async def ask() -> bool:
        return bool((await line(page, endpoint.id, "accepted"))["colour"] != light["colour"])

    await until("another colour", ask)


async def test_in_chinese_on_a_phone_in_the_dark(people: People, town: Town) -> None:
    endpoint = await town.consumer.request(await town.publish("orders"), name="buy")
    page = await people.signed_in(town.providers_key, "zh-CN", dark=True, size=PHONE)
    await expect(page.get_by_role("heading", name="待您处理")).to_be_visible()
    assert "待接受" in (await line(page, endpoint.id, "pendingAcceptance"))["text"]
    await page.get_by_text("以列表显示").click()
    await expect(page.locator(".topology-list-body")).to_contain_text("终端节点服务 orders")
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert await no_axe_violations(page)


async def test_the_operator_sees_everybodys_networks_and_the_gateways(
    people: People, town: Town, operator: Credential
) -> None:
    endpoint = await town.connected(await town.publish("orders", approval=False), "buy")
    page = await people.signed_in(operator)
    found = await drawn(page, 8)
    kinds = {node["kind"] for node in found["nodes"]}
    assert {"vpc", "endpoint", "service", "attachment", "cell", "gateway"} <= kinds
    networks = {node["label"] for node in found["nodes"] if node["kind"] == "vpc"}
    assert any(each.endswith(f"({town.consumer.account}/default)") for each in networks), networks
    await line(page, endpoint.id, "accepted")
    assert await no_axe_violations(page)


async def test_a_lost_connection_shows_itself_and_what_happened_meanwhile_is_there_afterwards(
    people: People, chromium: Chromium, town: Town
) -> None:
    service = await town.publish("orders")
    page = await people.signed_in(town.providers_key)
    await drawn(page, 4)
    people.faults.expect("ERR_", "object Event", "htmx:")
    with chromium.ways.cut(urlsplit(people.url).port or 443):
        await expect(page.locator("#connection")).to_contain_text("Connection lost")
        endpoint = await town.consumer.request(service, name="buy")
    await is_asked_for(page, endpoint)


async def test_a_program_that_is_away_is_told_of_until_it_is_back(
    people: People, town: Town, sidegate: Standalone
) -> None:
    service = await town.publish("orders")
    page = await people.signed_in(town.providers_key)
    await drawn(page, 4)
    people.faults.expect("answered with 50", "status of 50", "Error Code 50", "htmx:")
    killed = asyncio.ensure_future(sidegate.kill_program("endpoint"))
    await expect(page.locator("#connection")).to_contain_text("A part of Sidegate does not answer")
    await killed
    await expect(page.locator("#connection")).to_be_hidden()
    await is_asked_for(page, await town.consumer.request(service, name="buy"))


async def test_the_page_is_light(people: People, town: Town) -> None:
    await town.connected(await town.publish("orders", approval=False), "buy")
    page = await people.signed_in(town.consumers_key)
    network = await page.context.new_cdp_session(page)
    await network.send("Network.enable")
    await network.send("Network.setCacheDisabled", {"cacheDisabled": True})
    sent: list[int] = []
    network.on("Network.loadingFinished", lambda told: sent.append(int(told["encodedDataLength"])))
    await page.goto("/")
    await drawn(page, 5)
    assert len(sent) > 10
    assert sum(sent) < HEAVIEST


async def test_what_comes_while_the_picture_is_open_is_in_sight_all_of_it(
    people: People, sidegate: Standalone, tenant: Callable[[str], Credential]
) -> None:
    """A picture of one thing is drawn large: it stayed so, whatever came, and the rest was beyond its edges."""
    key = tenant("grows")
    async with sidegate.client(key.account) as client:
        vpc = await client.vpcs.create("net", ["10.0.0.0/16"])
        page = await people.signed_in(key)
        await drawn(page, 1)
        subnets = [await client.subnets.create(f"part{number}", vpc.id, f"10.0.{number}.0/24") for number in range(4)]
        for subnet in subnets:
            for name in "ab":
                await client.ports.create(subnet.id, f"machine/{name}")
        await drawn(page, 13)

        async def all_in_sight() -> bool:
            nodes = (await page.evaluate(ELEMENTS))["nodes"]
            box = await page.locator(".topology-picture").bounding_box()
            assert box is not None
            return all(0 < each["seen"]["x"] < box["width"] and 0 < each["seen"]["y"] < box["height"] for each in nodes)

        await until("all nodes to be in sight", all_in_sight)
