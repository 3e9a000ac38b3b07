"""Whoever ends a connection in the console says how long its sessions go on, and both sides see until when."""

import pytest
from playwright.async_api import expect

from sidegate.api.endpoint.v1.endpoint_pb2 import Endpoint
from sidegate.api.registry.v1.endpoint_service_pb2 import EndpointService
from tests.support.browser import People
from tests.support.world import Conversation, call
from tests.system.console.town import Town

pytestmark = [pytest.mark.root, pytest.mark.asyncio(loop_scope="package")]

PATIENCE = 30.0


async def talking(town: Town, service: EndpointService) -> tuple[Endpoint, Conversation]:
    """An endpoint with a session."""
    endpoint = await town.connected(service, "till")
    talk = await call(town.consumer.namespace, endpoint.address, 80, patience=PATIENCE)
    assert talk is not None
    return endpoint, talk


async def goes_on_alone(town: Town, endpoint: Endpoint, talk: Conversation) -> None:
    assert await talk.goes_on(PATIENCE)
    assert await call(town.consumer.namespace, endpoint.address, 80) is None
    talk.close()


async def test_a_rejected_connections_sessions_go_on_for_as_long_as_was_said(people: People, town: Town) -> None:
    service = await town.publish("drained", approval=False)
    endpoint, talk = await talking(town, service)
    page, theirs = await people.signed_in(town.providers_key), await people.signed_in(town.consumers_key)
    await theirs.goto(f"/endpoints/{endpoint.id}")
    await page.goto(f"/services/{service.id}")
    await page.get_by_role("link", name=str(endpoint.marker_id)).click()
    await page.locator("#drain").fill("2h")
    await page.get_by_role("button", name="Reject").click()
    await expect(page.locator("#drain.is-invalid")).to_have_value("2h")
    await page.locator("#drain").fill("10m")
    await page.get_by_role("button", name="Reject").click()
    await expect(page.locator("#the-connection")).to_contain_text("drains until")
    await expect(theirs.locator("#state")).to_contain_text("Sessions that were established before go on until")
    await goes_on_alone(town, endpoint, talk)


async def test_a_deleted_endpoints_sessions_go_on_for_as_long_as_was_said(people: People, town: Town) -> None:
    endpoint, talk = await talking(town, await town.publish("left", approval=False))
    page = await people.signed_in(town.consumers_key)
    await page.goto(f"/endpoints/{endpoint.id}/delete")
    await page.locator("#drain").fill("soon")
    await page.locator("#delete").click()
    await expect(page.locator("#drain.is-invalid")).to_have_value("soon")
    await page.locator("#drain").fill("10m")
    await page.locator("#delete").click()
    await expect(page).to_have_url(f"{people.url}/endpoints/{endpoint.id}")
    await expect(page.locator("#state")).to_contain_text("Sessions that were established before go on until")
    await goes_on_alone(town, endpoint, talk)
