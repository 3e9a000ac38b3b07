"""Endpoints in the console: requested on one page, told of in sentences, tried out, changed, deleted."""

import asyncio
from contextlib import AsyncExitStack

import pytest
from playwright.async_api import Page, Route, expect

from sidegate.api.registry.v1.endpoint_service_pb2 import Backend, EndpointService
from sidegate.api.registry.v1.tag_pb2 import Tag
from sidegate.api.registry.v1.vpc_pb2 import NetnsTarget
from tests.support import namespaces
from tests.support.browser import PHONE, People, follow, no_axe_violations
from tests.support.standalone import Standalone
from tests.support.world import eventually_answers, tcp
from tests.system.console.town import ANSWER, Town

pytestmark = [pytest.mark.root, pytest.mark.asyncio(loop_scope="package")]

NOBODY = "10.0.0.77"
"""A backend that is not there."""

PREFIX = "100.125.7.0/24"
MEASURED_MILLISECONDS = 30_000
"""Traffic is reported, added up and asked for every few seconds."""


async def test_an_endpoint_is_requested_on_one_page_accepted_live_and_packets_pass(people: People, town: Town) -> None:
    service = await town.publish("db")
    page = await people.signed_in(town.consumers_key)
    await page.goto("/endpoints")
    await page.get_by_role("link", name="Request an endpoint").click()
    await page.locator("#service").fill(service.full_name)
    await page.locator("#name").fill("to-db")
    await expect(page.locator("#foreseen")).to_contain_text("It will get the address")
    foreseen = await page.locator("#foreseen").get_attribute("data-address") or ""
    await page.locator("#allowed_cidrs").fill("10.0.0.0/28\n10.0.0.64/28")
    await page.locator("#tags").fill("env=test\nteam=shop")
    assert await no_axe_violations(page)
    await page.get_by_role("button", name="Request").click()
    await expect(page.locator("#state")).to_contain_text(f"Waits for the owner of {service.full_name} since")
    endpoint = await town.only()
    assert (endpoint.address, endpoint.name) == (foreseen, "to-db")
    assert list(endpoint.allowed_cidrs) == ["10.0.0.0/28", "10.0.0.64/28"]
    assert [(tag.key, tag.value) for tag in endpoint.tags] == [("env", "test"), ("team", "shop")]
    await town.accept(endpoint)
    await expect(page.locator("#state")).to_contain_text("Accepted since")
    await expect(page.locator("#state")).to_contain_text("Packets pass.")
    await expect(page.locator("#events")).to_contain_text("Approved")
    await expect(page.locator("#facts")).to_contain_text(f"curl http://{foreseen}/")
    assert await eventually_answers(town.consumer.namespace, foreseen, 80) == ANSWER
    assert await no_axe_violations(page)
    await _is_tried_out(page, foreseen)


async def _is_tried_out(page: Page, address: str) -> None:
    """Test, trace and traffic, on the page of one whose packets pass."""
    await page.locator("#test").click()
    await expect(page.locator("#tested [data-tone=good]")).to_have_count(5)
    await expect(page.locator("#tested")).to_contain_text(f"{address} is answered for in its VPC")
    await expect(page.locator("#tested [data-reachable='1']")).to_have_text("It can be reached.")
    await page.locator("#source").fill("10.0.0.10")
    await page.locator("#trace").click()
    await expect(page.locator("#traced [data-passes='1']")).to_have_text("The packet would pass.")
    await page.locator("#source").fill("10.0.0.200")
    await page.locator("#trace").click()
    await expect(page.locator("#traced [data-passes='0']")).to_have_text("The packet would not pass.")
    await expect(page.locator("#traced [data-tone=bad]")).to_contain_text("its whitelist does not have 10.0.0.200")
    await page.locator("#source").fill("nowhere")
    await page.locator("#trace").click()
    await expect(page.locator("#traced [data-reason]")).to_be_visible()
    await expect(page.locator("#traffic")).to_contain_text("to the service", timeout=MEASURED_MILLISECONDS)
    assert await page.locator("#traffic [data-made]").get_attribute("data-made") != "0"
    assert await no_axe_violations(page)


async def test_without_a_script_an_endpoint_is_requested_and_tested_too(people: People, town: Town) -> None:
    service = await town.publish("plain", approval=False)
    page = await people.signed_in(town.consumers_key, java_script_enabled=False)
    await page.goto("/endpoints/new")
    await page.locator("#service").fill(service.id)
    await page.locator("#name").fill("by-hand")
    await page.locator("#look").click()
    await expect(page.locator("#foreseen")).to_contain_text("It will get the address")
    await expect(page.locator("#name")).to_have_value("by-hand")
    await page.get_by_role("button", name="Request", exact=True).click()
    await expect(page.locator("h1")).to_have_text("by-hand")
    await town.consumer.accepted(await town.only())
    await page.locator("#test").click()
    await expect(page.locator("#tested [data-reachable='1']")).to_be_visible()


async def test_what_was_typed_stays_when_it_is_refused_and_the_field_is_marked(people: People, town: Town) -> None:
    service = await town.publish("wrong")
    page = await people.signed_in(town.consumers_key)
    await page.goto(f"/endpoints/new?service={service.id}")
    await page.locator("#address").fill("10.0.0.10")
    await page.locator("#name").fill("kept")
    await expect(page.locator("#foreseen[data-reason=ADDRESS_TAKEN]")).to_be_visible()
    await page.locator("#description").fill("what it is for")
    await page.get_by_role("button", name="Request", exact=True).click()
    await expect(page.get_by_role("alert")).to_contain_text("10.0.0.10 is in use")
    await expect(page.locator("#address")).to_have_class("form-control is-invalid")
    await expect(page.locator("#address")).to_be_focused()
    assert await no_axe_violations(page)
    await page.locator("#address").fill("")
    await page.locator("#allowed_cidrs").fill("10.0.0.0/33")
    await page.get_by_role("button", name="Request", exact=True).click()
    await expect(page.locator("#allowed_cidrs")).to_have_class("form-control is-invalid")
    for name, value in {"name": "kept", "description": "what it is for", "allowed_cidrs": "10.0.0.0/33"}.items():
        await expect(page.locator(f"#{name}")).to_have_value(value)
    await page.locator("#service").fill("local.nothing.like-it")
    await page.locator("#name").click()
    await expect(page.locator("[data-not-found]")).to_contain_text("No service that you may connect to is called so")


async def test_what_is_typed_stays_though_an_answer_to_an_earlier_choice_comes_late(people: People, town: Town) -> None:
    service = await town.publish("late")
    page = await people.signed_in(town.consumers_key)
    await page.goto(f"/endpoints/new?service={service.id}")
    typed = asyncio.Event()

    async def late(route: Route) -> None:
        await typed.wait()
        await route.continue_()

    await page.route("**/endpoints/new/look", late)
    await page.locator("#name").fill("late")
    await page.locator("#address").click()
    await page.keyboard.type("10.0.0.9")
    async with page.expect_response("**/endpoints/new/look"):
        typed.set()
    await page.keyboard.type("9")
    await expect(page.locator("#address")).to_have_value("10.0.0.99")
    await page.locator("#description").click()
    await expect(page.locator("#foreseen[data-address='10.0.0.99']")).to_be_visible()


async def test_what_is_typed_while_the_page_is_still_loading_is_looked_up_too(people: People, town: Town) -> None:
    service = await town.publish("early")
    page = await people.signed_in(town.consumers_key)
    typed = asyncio.Event()

    async def late(route: Route) -> None:
        await typed.wait()
        await route.continue_()

    await page.route("**/htmx.min.js*", late)
    await page.goto("/endpoints/new", wait_until="commit")
    await page.locator("#service").fill(service.id)
    await page.locator("#name").click()
    typed.set()
    await expect(page.locator(f"[data-found='{service.id}']")).to_be_visible()


async def test_what_asks_only_once_does_not_wait_for_a_release(people: People, town: Town) -> None:
    """As live regions do, which ask again: what a page asks for by itself, such as how far a check is, stood still."""
    service = await town.publish("once")
    page = await people.signed_in(town.consumers_key)
    await page.goto("/endpoints/new")
    await page.locator("h1").hover()
    await page.mouse.down()
    choose = "(field, name) => { field.value = name; field.dispatchEvent(new Event('change', {bubbles: true})); }"
    await page.locator("#service").evaluate(choose, service.id)
    await expect(page.locator(f"[data-found='{service.id}']")).to_be_visible()
    await page.mouse.up()


async def test_services_of_ones_own_are_found_by_a_part_of_their_name(people: People, town: Town) -> None:
    own, others = [await town.provider.publish(name, approval=False) for name in ("orders-new", "orders-old")]
    page = await people.signed_in(town.providers_key)
    await page.goto("/endpoints/new")
    await page.locator("#service").fill("orders")
    await expect(page.locator("#services option")).to_have_count(2)
    await page.locator("#name").click()
    offers = page.locator("[data-offer]")
    await expect(offers).to_have_count(2)
    await offers.filter(has_text=own.full_name).click()
    await expect(page.locator(f"[data-found='{own.id}']")).to_be_visible()
    await page.goto("/endpoints/new?service=orders-old")
    await expect(page.locator(f"[data-found='{others.id}']")).to_be_visible()


@pytest.mark.parametrize(
    ("locale", "sentence"),
    [("en-GB", "backends of the service do not answer a gateway"), ("zh-CN", "服务的后端没有响应某个网关")],
)
async def test_an_endpoint_without_packets_says_why_and_nothing_of_backends(
    people: People, town: Town, locale: str, sentence: str
) -> None:
    service = await town.publish("away", approval=False, backend=NOBODY)
    endpoint = await town.consumer.request(service)
    page = await people.signed_in(town.consumers_key, locale, size=PHONE, dark=locale == "zh-CN")
    await page.goto(f"/endpoints/{endpoint.id}")
    await expect(page.locator("#state")).to_contain_text(sentence)
    await page.locator("#test").click()
    await expect(page.locator("#tested [data-reachable='0']")).to_be_visible()
    assert NOBODY not in await page.content()
    assert await no_axe_violations(page)
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")


async def test_who_only_looks_has_no_buttons_and_others_have_no_page(people: People, town: Town) -> None:
    endpoint = await town.consumer.request(await town.publish("looked-at"))
    viewer = await people.signed_in(town.viewers_key)
    await viewer.goto("/endpoints")
    await expect(viewer.get_by_role("link", name=endpoint.id)).to_be_visible()
    await expect(viewer.get_by_role("link", name="Request an endpoint")).to_have_count(0)
    await viewer.get_by_role("link", name=endpoint.id).click()
    await expect(viewer.locator("#state")).to_contain_text("Waits for the owner")
    await expect(viewer.locator("#buttons")).to_have_count(0)
    await viewer.locator("#test").click()
    await expect(viewer.locator("#tested")).to_contain_text("the service's owner has yet to accept it")
    other = await people.signed_in(town.providers_key)
    for part in ("", "/edit", "/delete", "/state", "/events", "/traffic"):
        await other.goto(f"/endpoints/{endpoint.id}{part}")
        shown = await other.content()
        assert town.consumer.vpc_id not in shown
        assert endpoint.address not in shown
    await other.goto(f"/endpoints/{endpoint.id}")
    await expect(other.locator("h1")).to_have_text("Not there")


async def test_a_change_is_of_what_was_shown_and_what_was_typed_is_not_lost(people: People, town: Town) -> None:
    endpoint = await town.consumer.request(await town.publish("edited"), name="first")
    page = await people.signed_in(town.consumers_key)
    await page.goto(f"/endpoints/{endpoint.id}/edit")
    await page.locator("#name").fill("mine")
    await page.locator("#whitelist").select_option("enabled")
    await town.consumer.client.endpoints.update(endpoint.id, description="somebody was faster")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("alert")).to_contain_text("Somebody changed it")
    await expect(page.locator("#as-it-is")).to_contain_text("somebody was faster")
    await expect(page.locator("#name")).to_have_value("mine")
    assert await no_axe_violations(page)
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator("h1")).to_have_text("mine")
    await expect(page.locator("[data-whitelist]")).to_have_text("nobody may connect")
    await expect(page.locator("#events")).to_contain_text("Changed: name, description, whitelist")


async def test_a_rejection_is_told_and_a_deletion_is_confirmed_and_seen_by_others_at_once(
    people: People, town: Town
) -> None:
    service = await town.publish("ended")
    endpoint = await town.consumer.request(service, name="ended")
    page, other = await people.signed_in(town.consumers_key), await people.signed_in(town.consumers_key)
    await page.goto(f"/endpoints/{endpoint.id}")
    await other.goto("/endpoints")
    await expect(other.locator(f"tr[data-id='{endpoint.id}'] [data-state=pendingAcceptance]")).to_be_visible()
    await town.provider.client.connections.reject(service.id, endpoint.id)
    await expect(page.locator("#state")).to_contain_text(f"The owner of {service.full_name} rejected it at")
    await expect(other.locator(f"tr[data-id='{endpoint.id}'] [data-state=rejected]")).to_be_visible()
    await follow(page.get_by_role("link", name="Delete"))
    assert await no_axe_violations(page)
    await page.locator("#drain").fill("4000")
    await page.locator("#delete").click()
    await expect(page.locator("#drain")).to_have_class("form-control is-invalid")
    await page.locator("#drain").fill("0")
    await page.locator("#delete").click()
    await expect(page).to_have_url(f"{people.url}/endpoints")
    await expect(page.locator("main")).to_contain_text("is being deleted")
    await expect(other.locator(f"tr[data-id='{endpoint.id}']")).to_have_count(0)


async def test_a_list_is_filtered_and_a_new_row_is_there_by_itself(people: People, town: Town) -> None:
    service = await town.publish("listed")
    made = await town.consumer.client.endpoints.create(
        service.full_name, town.consumer.subnet_id, name="shown", tags=[Tag(key="env", value="live")]
    )
    page = await people.signed_in(town.consumers_key, "zh-CN", size=PHONE)
    await page.goto("/endpoints?tag=env%3Dlive")
    rows = page.locator("tbody tr")
    await expect(rows).to_have_count(1)
    await town.consumer.client.endpoints.create(
        service.full_name, town.consumer.subnet_id, name="also", tags=[Tag(key="env", value="live")]
    )
    await expect(rows).to_have_count(2)
    assert await no_axe_violations(page)
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for query, count in {
        "name=SHO": 1,
        "state=accepted": 0,
        "state=pendingAcceptance": 2,
        "service=listed": 2,
        f"service={service.id}": 2,
        "service=elsewhere": 0,
        f"vpc={town.consumer.vpc_id}": 2,
        "tag=env%3Dtest": 0,
        "tag=env": 2,
        "page=7": 0,
    }.items():
        await page.goto(f"/endpoints?{query}")
        await expect(rows).to_have_count(count)
    await page.goto("/endpoints?order=oldest")
    await expect(rows.first).to_have_attribute("data-id", made.id)


async def test_an_endpoint_with_routes_is_requested_with_a_table_and_a_policy(
    people: People, town: Town, sidegate: Standalone
) -> None:
    async with AsyncExitStack() as stack:
        (space,) = stack.enter_context(namespaces.make("platform"))
        operator = await stack.enter_async_context(sidegate.client("operator"))
        platform = await operator.vpcs.create("endpoints-platform", ["10.0.0.0/24"])
        await operator.attachments.create(platform.id, NetnsTarget(namespace=space.name))
        service = await operator.services.create(
            "storage",
            platform.id,
            [Backend(address="10.0.0.10")],
            [tcp(80, 8080)],
            service_type=EndpointService.SERVICE_TYPE_GATEWAY,
            server_type=EndpointService.SERVER_TYPE_CLOUD,
            public_prefixes=[PREFIX],
        )
        table = await town.consumer.client.route_tables.create("apart", town.consumer.vpc_id)
        page = await people.signed_in(town.consumers_key)
        await page.goto("/endpoints/new?service=storage")
        await expect(page.locator("#foreseen")).to_contain_text(PREFIX)
        await page.get_by_label("apart").check()
        await page.locator("#policy").fill('{"Statement": []')
        await page.get_by_role("button", name="Request", exact=True).click()
        await expect(page.locator("#policy")).to_have_class("form-control is-invalid")
        await expect(page.get_by_label("apart")).to_be_checked()
        assert await no_axe_violations(page)
        await page.locator("#policy").fill("")
        await page.get_by_role("button", name="Request", exact=True).click()
        await expect(page.locator("#facts")).to_contain_text(PREFIX)
        await expect(page.locator("#facts")).to_contain_text("apart")
        endpoint = await town.only()
        assert list(endpoint.route_tables) == [table.id]
        await page.goto(f"/endpoints/{endpoint.id}/edit")
        await page.get_by_label("default").check()
        await page.get_by_role("button", name="Save").click()
        await expect(page.locator("#events")).to_contain_text("Changed: route tables")
        await town.consumer.client.endpoints.delete(endpoint.id)
        await operator.services.delete(service.id, force=True)
