"""Endpoint services in the console: published on one page, decided on in two clicks, changed, measured, deleted."""

from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from sidegate.api.endpoint.v1.endpoint_pb2 import ConnectionState
from sidegate.credentials import Credential
from tests.support.browser import PHONE, People, no_axe_violations
from tests.support.standalone import Standalone, until
from tests.support.world import eventually_answers
from tests.system.console.town import Town

pytestmark = [pytest.mark.root, pytest.mark.asyncio(loop_scope="package")]

LIVE = (ConnectionState.CONNECTION_STATE_CREATING, ConnectionState.CONNECTION_STATE_ACCEPTED)
TABS = ("", "/backends", "/permissions", "/traffic", "/events", "/settings", "/edit", "/delete")


async def fill_row(page: Page, table: str, row: int, **cells: str) -> None:
    place = page.locator(f"#{table} [data-row]").nth(row)
    for cell, value in cells.items():
        field = place.locator(f"[name={cell}]")
        if await field.evaluate("each => each.tagName") == "SELECT":
            await field.select_option(value)
        else:
            await field.fill(value)


async def test_a_service_is_published_on_one_page_with_rows_that_are_added(people: People, town: Town) -> None:
    page = await people.signed_in(town.providers_key)
    await page.goto("/services/new")
    await page.locator("#name").fill("orders")
    await fill_row(page, "ports", 0, client_port="443", server_port="8080")
    await page.get_by_role("button", name="Another port").click()
    await fill_row(page, "ports", 1, client_port="53", protocol="PROTOCOL_UDP")
    await page.locator("[name=backend_port]").first.select_option(label="10.0.0.10 · main")
    await page.get_by_role("button", name="Another backend").click()
    await fill_row(page, "backends", 1, backend_address="10.0.0.11", backend_weight="3")
    await page.get_by_label("Accounts", exact=False).first.fill(town.consumer.account)
    await page.get_by_label("I decide on each connection").check()
    await page.get_by_text("Health check", exact=True).click()
    await page.locator("#health_protocol").select_option("PROTOCOL_HTTP")
    await page.locator("#health_path").fill("/healthz")
    await page.get_by_text("Limits of each consumer").click()
    await page.locator("#limit_bits_per_second").fill("10G")
    await page.get_by_text("Description, tags, names and more").click()
    await page.locator("#tags").fill("stage=live\nteam=shop")
    assert await no_axe_violations(page)
    await page.get_by_role("button", name="Create").click()
    await expect(page.locator("#full-name")).to_contain_text(".orders.")
    [made] = [each async for each in town.provider.client.services.list(name_contains="orders")]
    assert [(each.client_port, each.server_port, each.protocol) for each in made.port_mappings] == [
        (443, 8080, 1),
        (53, 53, 2),
    ]
    assert [(each.address, each.weight, bool(each.port)) for each in made.backends] == [
        ("10.0.0.10", 1, True),
        ("10.0.0.11", 3, False),
    ]
    assert (made.approval_required, made.health_check.path, made.consumer_limits.bits_per_second) == (
        True,
        "/healthz",
        10**10,
    )
    assert list(made.permissions) == [f"iam:domain::{town.consumer.account}"]
    assert [(tag.key, tag.value) for tag in made.tags] == [("stage", "live"), ("team", "shop")]


async def test_what_was_typed_stays_when_it_is_refused_and_the_row_at_fault_is_marked(
    people: People, town: Town
) -> None:
    page = await people.signed_in(town.providers_key)
    await page.goto("/services/new")
    await page.locator("#name").fill("twice")
    await fill_row(page, "ports", 0, client_port="80", server_port="8080")
    await page.get_by_role("button", name="Another port").click()
    await page.get_by_role("button", name="Another port").click()
    await fill_row(page, "ports", 2, client_port="80", server_port="9090")
    await fill_row(page, "backends", 0, backend_address="10.0.0.10")
    await page.locator("#ports").get_by_role("button", name="Remove row 2").click()
    await page.get_by_role("button", name="Another port").click()
    await fill_row(page, "ports", 2, client_port="80", server_port="7070")
    await fill_row(page, "ports", 1, client_port="81")
    await page.get_by_text("Description, tags, names and more").click()
    await page.locator("#description").fill("kept")
    await page.get_by_role("button", name="Create").click()
    await expect(page.get_by_role("alert").first).to_contain_text("published already")
    wrong = page.locator(".is-invalid")
    await expect(wrong).to_have_count(1)
    await expect(wrong).to_have_attribute("aria-label", "Client port, 3")
    await expect(wrong).to_be_focused()
    await expect(page.locator("[name=server_port]").nth(2)).to_have_value("7070")
    await expect(page.locator("#description")).to_have_value("kept")
    await expect(page.locator("#description")).to_be_visible()
    assert await no_axe_violations(page)
    for row, cell, value, said in (
        (2, "client_port", "http", "A whole number from 1 to 65535"),
        (0, "backend_address", "192.168.7.7", "not in the VPC"),
        (0, "backend_weight", "1000", "A whole number from 1 to 100"),
    ):
        table = "ports" if cell == "client_port" else "backends"
        before = await page.locator(f"[name={cell}]").nth(row).input_value()
        await fill_row(page, table, row, **{cell: value})
        await page.get_by_role("button", name="Create").click()
        await expect(page.get_by_role("alert").first).to_contain_text(said)
        await expect(page.locator(".is-invalid")).to_have_attribute("name", cell)
        await expect(page.locator(".is-invalid")).to_have_value(value)
        fixed = "82" if cell == "client_port" else before
        await fill_row(page, table, row, **{cell: fixed})
    await page.get_by_role("button", name="Create").click()
    await expect(page.locator("h1")).to_have_text("twice")


async def test_without_scripts_there_are_rows_enough_and_the_ports_of_a_vpc_can_be_had(
    people: People, town: Town
) -> None:
    page = await people.signed_in(town.providers_key, java_script_enabled=False)
    await page.goto("/services/new")
    await page.locator("#name").fill("plain")
    for row, port in enumerate(("80", "81", "82")):
        await fill_row(page, "ports", row, client_port=port)
    await page.get_by_role("button", name="Show its ports").click()
    await expect(page.locator("[name=client_port]").nth(2)).to_have_value("82")
    await page.locator("[name=backend_port]").nth(1).select_option(label="10.0.0.10 · main")
    await page.get_by_role("button", name="Create").click()
    await expect(page.locator("h1")).to_have_text("plain")


async def test_a_request_appears_by_itself_and_thirty_are_accepted_in_two_clicks(people: People, town: Town) -> None:
    service = await town.publish("many")
    page = await people.signed_in(town.providers_key)
    await page.goto(f"/services/{service.id}")
    await expect(page.get_by_text("Nobody has asked")).to_be_visible()
    await town.ask(service, 30)
    await expect(page.locator("tr[data-connection]")).to_have_count(30)
    await page.get_by_label("Choose all on this page").check()
    await expect(page.get_by_text("30 chosen")).to_be_visible()
    await page.get_by_role("button", name="Accept", exact=True).first.click()
    await expect(page.get_by_text("30 connections are accepted.")).to_be_visible()
    await until("all to be accepted", lambda: town.all_are(service, *LIVE))
    await expect(page.locator("[data-state=accepted]")).to_have_count(30, timeout=30_000)
    assert await no_axe_violations(page)


async def test_who_is_second_learns_what_the_first_has_decided(people: People, town: Town) -> None:
    service = await town.publish("race")
    await town.ask(service, 2)
    slow = await people.signed_in(town.providers_key, java_script_enabled=False)
    await slow.goto(f"/services/{service.id}")
    fast = await people.signed_in(town.providers_key)
    await fast.goto(f"/services/{service.id}")
    await fast.locator("[id^=reject-]").first.click()
    await expect(fast.get_by_text("1 connection is rejected.")).to_be_visible()
    for box in await slow.locator("input[name=endpoint_ids]").all():
        await box.check()
    await slow.get_by_role("button", name="Accept", exact=True).first.click()
    await expect(slow.get_by_text("1 connection is accepted.")).to_be_visible()
    await expect(slow.get_by_text("has changed since this page was made: now it is rejected")).to_be_visible()
    found = [each.state async for each in town.provider.client.connections.list(service.id)]
    assert ConnectionState.CONNECTION_STATE_REJECTED in found


async def test_what_is_chosen_stays_chosen_when_another_request_comes(people: People, town: Town) -> None:
    service = await town.publish("chosen")
    [first] = await town.ask(service)
    page = await people.signed_in(town.providers_key)
    await page.goto(f"/services/{service.id}")
    await page.locator(f"#choose-{first.id}").check()
    [second] = await town.ask(service)
    await expect(page.locator(f"#choose-{second.id}")).to_be_visible()
    await expect(page.locator(f"#choose-{first.id}")).to_be_checked()
    await expect(page.locator(f"#choose-{second.id}")).not_to_be_checked()


async def test_a_connection_gets_a_note_an_end_and_is_tried_out_with_each_backends_answer(
    people: People, town: Town
) -> None:
    service = await town.publish("tried")
    [endpoint] = await town.ask(service)
    page = await people.signed_in(town.providers_key)
    await page.goto(f"/services/{service.id}")
    await page.get_by_role("link", name=str(endpoint.marker_id)).click()
    await page.locator("#accepted_for").fill("soon")
    await page.get_by_role("button", name="Accept").click()
    await expect(page.get_by_role("alert").first).to_contain_text("A length of time")
    await expect(page.locator("#accepted_for.is-invalid")).to_have_value("soon")
    await page.locator("#accepted_for").fill("8h")
    await page.get_by_role("button", name="Accept").click()
    await expect(page.locator("#the-connection [data-state=accepted]")).to_be_visible()
    await expect(page.locator("#the-connection")).to_contain_text("rejected by itself at")
    await page.locator("#note").fill("the shop's till")
    await page.get_by_role("button", name="Save the note").click()
    await expect(page.locator("#the-connection")).to_contain_text("the shop's till")
    await eventually_answers(town.consumer.namespace, endpoint.address, 80)
    await page.get_by_role("button", name="Try it out").click()
    await expect(page.locator("[data-reachable=true]")).to_be_visible()
    await expect(page.locator("tr[data-backend='10.0.0.10']")).to_contain_text("takes connections")
    await expect(page.locator("#happenings")).to_contain_text("Note changed")
    assert await no_axe_violations(page)
    await page.goto(f"/services/{service.id}/traffic")
    await expect(page.locator(f"tr[data-traffic='{endpoint.id}']")).to_contain_text(str(endpoint.marker_id))
    await expect(page.locator("[data-chart-of=bytes] canvas")).to_be_visible()
    await expect(page.locator("[data-chart-of=bytes] tbody tr").last).not_to_be_empty()
    assert await no_axe_violations(page)
    await page.goto(f"/services/{service.id}/events")
    await expect(page.locator("#happenings")).to_contain_text("Permissions added")
    await expect(page.locator("#happenings")).to_contain_text(f"{town.consumer.account} · {endpoint.marker_id}")
    assert await no_axe_violations(page)


async def test_a_service_is_changed_and_only_what_was_changed_is_sent(people: People, town: Town) -> None:
    service = await town.publish("edited")
    page = await people.signed_in(town.providers_key)
    await page.goto(f"/services/{service.id}/edit")
    await town.provider.client.services.update(service.id, description="by somebody else")
    await page.get_by_text("Description, tags, names and more").click()
    await page.locator("#tags").fill("a=1")
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator("#problem")).to_have_attribute("data-reason", "CHANGED_MEANWHILE")
    await expect(page.locator("[data-differs]")).to_contain_text("description, tags")
    await expect(page.locator("#tags")).to_have_value("a=1")
    await page.get_by_role("link", name="Begin again").click()
    await page.locator("#tags").fill("a=1")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_text("Changed: tags.")).to_be_visible()
    now = await town.provider.client.services.get(service.id)
    assert (now.description, [tag.key for tag in now.tags]) == ("by somebody else", ["a"])


async def test_backends_are_drained_weighed_added_and_taken_out_and_say_how_they_are(
    people: People, town: Town
) -> None:
    service = await town.publish("backed", approval=False)
    page = await people.signed_in(town.providers_key)
    await page.goto(f"/services/{service.id}/edit")
    await page.get_by_text("Health check", exact=True).click()
    await page.locator("#health_protocol").select_option("PROTOCOL_TCP")
    await page.locator("#health_interval_seconds").fill("1s")
    await page.locator("#health_timeout_seconds").fill("1s")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_text("Changed: health check.")).to_be_visible()
    await town.consumer.accepted((await town.ask(service))[0])
    await page.goto(f"/services/{service.id}/backends")
    await page.locator("#backend_address").fill("172.16.0.1")
    await page.get_by_role("button", name="Add", exact=True).click()
    await expect(page.locator("#backend_address")).to_have_class("form-control is-invalid")
    await page.locator("#backend_address").fill("10.0.0.77")
    await page.get_by_role("button", name="Add", exact=True).click()
    await expect(page.get_by_text("The backend is in.")).to_be_visible()
    await expect(page.locator("tr[data-backend='10.0.0.10'] [data-health=well]")).to_be_visible()
    await expect(page.locator("tr[data-backend='10.0.0.77'] [data-health=unhealthy]")).to_be_visible()
    await page.locator("#weight-1").fill("7")
    await page.get_by_role("button", name="Change the weights").click()
    await expect(page.locator("tr[data-backend='10.0.0.77'] td").nth(1)).to_have_text("7")
    await page.get_by_role("button", name="Drain 10.0.0.77").click()
    await expect(page.locator("tr[data-backend='10.0.0.77']")).to_contain_text("it drains")
    assert await no_axe_violations(page)
    page.on("dialog", lambda dialog: dialog.accept())
    await page.get_by_role("button", name="Take 10.0.0.77 out").click()
    await expect(page.locator("tr[data-backend='10.0.0.77']")).to_have_count(0)


async def test_permissions_are_given_and_taken_back_and_what_is_none_is_refused(people: People, town: Town) -> None:
    service = await town.provider.publish("permitted", approval=True)
    page = await people.signed_in(town.providers_key)
    await page.goto(f"/services/{service.id}/permissions")
    await page.locator("textarea#permissions").fill("who? me")
    await page.get_by_role("button", name="Permit").click()
    await expect(page.locator("textarea.is-invalid")).to_have_value("who? me")
    await page.locator("textarea.is-invalid").fill(f"{town.consumer.account} *")
    await page.get_by_role("button", name="Permit").click()
    await expect(page.locator("tr[data-permission]")).to_have_count(2)
    await page.get_by_role("button", name="Take the permission of everybody back", exact=True).click()
    await expect(page.locator("tr[data-permission]")).to_have_count(1)
    assert await no_axe_violations(page)


async def test_a_deletion_that_is_refused_leads_to_the_connections_in_the_way(people: People, town: Town) -> None:
    service = await town.publish("kept", approval=False)
    [endpoint] = await town.ask(service)
    await town.consumer.accepted(endpoint)
    page = await people.signed_in(town.providers_key)
    await page.goto(f"/services/{service.id}")
    await page.get_by_role("link", name="Delete", exact=True).click()
    await page.get_by_role("button", name="Delete", exact=True).click()
    await expect(page.locator("#problem")).to_have_attribute("data-reason", "SERVICE_IN_USE")
    await expect(page.locator("#problem a")).to_have_attribute(
        "href", f"/services/{service.id}/connections/{endpoint.id}"
    )
    assert await no_axe_violations(page)
    await page.get_by_role("button", name="End the connections and delete").click()
    await expect(page.get_by_text("is being deleted")).to_be_visible()


async def test_lists_are_filtered_and_have_pages_with_numbers(people: People, town: Town) -> None:
    service = await town.publish("paged")
    await town.publish("other")
    first = await town.provider.request(service)
    await town.ask(service, 50)
    page = await people.signed_in(town.providers_key)
    await page.goto("/services")
    await page.get_by_label("Name or id").fill("PAGED")
    await page.get_by_label("State").select_option("available")
    await page.get_by_role("button", name="Filter").click()
    await expect(page.locator("tr[data-service]")).to_have_count(1)
    await page.get_by_role("link", name="51 wait").click()
    await expect(page.locator("tr[data-connection]")).to_have_count(50)
    await expect(page.locator("[data-total='51']")).to_be_visible()
    await page.get_by_role("link", name="2", exact=True).click()
    await expect(page.locator("tr[data-connection]")).to_have_attribute("data-connection", first.id)
    await page.get_by_label("Marker id").fill(str(first.marker_id))
    await page.get_by_role("button", name="Find").click()
    await expect(page.locator("tr[data-connection]")).to_have_count(1)


async def test_tabs_can_be_heard_in_chinese_in_the_dark_and_used_on_a_phone(people: People, town: Town) -> None:
    service = await town.publish("phone")
    await town.ask(service, 2)
    page = await people.signed_in(town.providers_key, "zh-CN", dark=True, size=PHONE)
    for path in ("/services", "/services/new", "/services/public", *(f"/services/{service.id}{tab}" for tab in TABS)):
        await page.goto(path)
        assert await no_axe_violations(page)
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
    await page.goto(f"/services/{service.id}")
    await expect(page.locator("main")).to_contain_text("待接受")


async def test_whoever_only_reads_is_offered_no_button(people: People, town: Town, sidegate: Standalone) -> None:
    service = await town.publish("read")
    await town.ask(service)
    made = sidegate.answer("key", "create", town.provider.account, "--role", "viewer")
    page = await people.signed_in(Credential.of(made))
    for path in ("/services", "/services/new", *(f"/services/{service.id}{tab}" for tab in TABS)):
        await page.goto(path)
        await expect(page.locator("main form[method=post] button")).to_have_count(0)


async def test_services_of_the_platform_are_shown_to_everybody_with_a_way_to_an_endpoint(
    people: People, town: Town, sidegate: Standalone
) -> None:
    async with sidegate.client("operator") as operator:
        vpc = await operator.vpcs.create("services-platform", ["10.9.0.0/16"])
        subnet = await operator.subnets.create("main", vpc.id, "10.9.0.0/24")
        await operator.ports.create(subnet.id, "machine/store", "10.9.0.5")
    page = await people.signed_in(Credential.read(Path(sidegate.ready["credential"])))
    await page.goto(f"/services/new?vpc_id={vpc.id}")
    await page.locator("#name").fill("objects")
    await page.locator("#server_type").select_option("SERVER_TYPE_CLOUD")
    await fill_row(page, "ports", 0, client_port="443")
    await page.locator("[name=backend_port]").first.select_option(label="10.9.0.5 · store")
    await page.get_by_text("Description, tags, names and more").click()
    await page.locator("#service_type").select_option("SERVICE_TYPE_GATEWAY")
    await page.locator("#public_prefixes").fill("100.125.0.0/40")
    await page.get_by_role("button", name="Create").click()
    await expect(page.locator("#public_prefixes.is-invalid")).to_have_value("100.125.0.0/40")
    await page.locator("#public_prefixes").fill("100.125.0.0/24")
    await page.get_by_role("button", name="Create").click()
    await expect(page.locator("h1")).to_have_text("objects")
    tenant_page = await people.signed_in(town.consumers_key)
    await tenant_page.goto("/services/public")
    row = tenant_page.locator("tr[data-service]").filter(has_text=".objects.")
    await expect(row).to_contain_text("100.125.0.0/24")
    await expect(row.get_by_role("link", name="Request an endpoint")).to_be_visible()
    assert await no_axe_violations(tenant_page)
