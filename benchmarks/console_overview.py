"""The console's overview with 1,000 endpoints: how soon its picture is there, what is sent, how soon news are shown."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from playwright.async_api import Page

from benchmarks.figures import Figure, quantile, rounded
from benchmarks.plan import Plan, Step
from benchmarks.processes import Failed
from sidegate.api.endpoint.v1.endpoint_pb2 import ConnectionState
from sidegate.api.registry.v1.endpoint_service_pb2 import EndpointService
from sidegate.api.registry.v1.vpc_pb2 import NetnsTarget
from sidegate.client import Client
from sidegate.credentials import Credential
from tests.support import namespaces
from tests.support.browser import People, chromium_runs
from tests.support.standalone import Standalone, until
from tests.support.world import Site, machine, site

ENDPOINTS = 1000
FEWEST = 5
"""Pages that are opened, and requests that are made, at least."""

IN_FLIGHT = 16
PATIENCE = 300.0
UNBOUNDED = {
    "SIDEGATE_ENDPOINT_QUOTA": "-1",
    "SIDEGATE_RATE_PER_KEY": "100000",
    "SIDEGATE_RATE_PER_ADDRESS": "100000",
    "SIDEGATE_IN_FLIGHT_PER_KEY": "256",
    "SIDEGATE_SESSIONS_PER_KEY": "1000",
}
WHERE = (
    "Debian's Chromium without a window, in a network namespace, through a forwarder on the loopback, to a whole "
    f"Sidegate whose tenant has {ENDPOINTS:,} accepted endpoints; browser and Sidegate share two processors. "
)
METHODS = {
    "first": "From the start of navigation to the first frame with the picture, by the browser's clock: signed in a "
    "moment ago, with nothing in the browser's cache and nothing asked for before in this session",
    "again": "The same, of the next visits: scripts come from the cache, and the session knows what it saw",
    "sent": "Bytes of a first visit, head and body, compressed as they are sent, until the picture is there",
    "news": "From before an endpoint is requested, by gRPC, to the frame in which its request is on the open overview "
    "of the service's owner, ready to be accepted",
}
DRAWN = "() => performance.getEntriesByName('topology:drawn')[0].startTime"
SENT = (
    "() => [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]"
    ".reduce((sum, each) => sum + each.transferSize, 0)"
)
APPEARS = """() => new Promise(done => {
    const now = () => performance.timeOrigin + performance.now();
    const there = () => document.querySelector("[data-waits^=request]");
    const look = () => requestAnimationFrame(() => there() ? done(now()) : look());
    look();
})"""


@dataclass
class Tenant:
    """Has the endpoints; and what they lead to is another's."""

    key: Credential
    owners_key: Credential
    asked: EndpointService
    subnet: str
    client: Client


def steps(_plan: Plan) -> int:
    return 3


async def measure(plan: Plan, step: Step) -> Sequence[Figure]:
    """Of each figure as many samples as there are rounds, and five at least."""
    samples = max(FEWEST, plan.rounds)
    with TemporaryDirectory(prefix="sidegate-bench-") as directory:
        async with AsyncExitStack() as stack:
            step(f"a system with {ENDPOINTS:,} endpoints")
            sidegate = await stack.enter_async_context(_unbounded(Path(directory)))
            tenant = await _peopled(sidegate, stack)
            chromium = await stack.enter_async_context(chromium_runs(Path(directory)))
            people = await stack.enter_async_context(People(chromium, sidegate.console_url))
            step("pages")
            visits = [await _visit(people, tenant.key) for _ in range(samples)]
            step("news")
            news = await _news(people, tenant, samples)
    taken = {name: [each[name] for each in visits] for name in ("first", "again", "sent")}
    return list(_figures({**taken, "news": news}))


def _figures(taken: Mapping[str, Sequence[float]]) -> Iterator[Figure]:
    for name, found in taken.items():
        unit, method = "kB" if name == "sent" else "ms", f"{WHERE}{METHODS[name]}. The median."
        yield Figure(f"console_overview_{name}", rounded(median(found)), unit, "", None, len(found), method)
    worst = f"{WHERE}{METHODS['first']}. The slowest but one in ten."
    yield Figure(
        "console_overview_first_p90", rounded(quantile(taken["first"], 0.9)), "ms", "", None, len(taken["first"]), worst
    )


async def _visit(people: People, key: Credential) -> Mapping[str, float]:
    page = await people.signed_in(key)
    found = {"first": await _drawn(page), "sent": float(await page.evaluate(SENT)) / 1000}
    await page.goto("/")
    found["again"] = await _drawn(page)
    await page.context.close()
    return found


async def _drawn(page: Page) -> float:
    await page.wait_for_selector("[data-drawn]")
    return float(await page.evaluate(DRAWN))


async def _news(people: People, tenant: Tenant, samples: int) -> Sequence[float]:
    page = await people.signed_in(tenant.owners_key)
    await _drawn(page)
    await page.wait_for_selector("#waiting ul")
    taken = []
    for _ in range(samples):
        coming = asyncio.ensure_future(page.evaluate(APPEARS))
        began = float(await page.evaluate("() => performance.timeOrigin + performance.now()"))
        endpoint = await tenant.client.endpoints.create(tenant.asked.id, tenant.subnet)
        taken.append(await coming - began)
        await tenant.client.endpoints.delete(endpoint.id)
        await page.locator(f'[data-waits="request:{endpoint.id}"]').wait_for(state="detached")
    await page.context.close()
    return taken


@asynccontextmanager
async def _unbounded(directory: Path) -> AsyncIterator[Standalone]:
    """A running system that hinders nobody."""
    before = dict(os.environ)
    os.environ.update(UNBOUNDED)
    try:
        async with Standalone(directory, console=True) as sidegate:
            yield sidegate
    finally:
        os.environ.clear()
        os.environ.update(before)


async def _peopled(sidegate: Standalone, stack: AsyncExitStack) -> Tenant:
    keys = [Credential.of(sidegate.answer("account", "create", name)) for name in ("bank", "shop")]
    theirs, ours = stack.enter_context(namespaces.make("bank", "shop"))
    provider = await stack.enter_async_context(site(sidegate, keys[0].account, theirs))
    await stack.enter_async_context(machine(theirs, "bank"))
    services = [await provider.publish(name, approval=name == "asked") for name in ("open", "asked")]
    for service in services:
        await provider.client.services.permit(service.id, ["iam:domain::*"])
    client = await stack.enter_async_context(sidegate.client(keys[1].account, timeout=30))
    vpc = await client.vpcs.create("shop-net", ["10.1.0.0/16"])
    subnet = await client.subnets.create("many", vpc.id, "10.1.0.0/16")
    async with sidegate.client("operator") as operator:
        await operator.attachments.create(vpc.id, NetnsTarget(namespace=ours.name))
    await _many(provider, client, services[0], subnet.id)
    return Tenant(keys[1], keys[0], services[1], subnet.id, client)


async def _many(provider: Site, client: Client, service: EndpointService, subnet: str) -> None:
    turn = asyncio.Semaphore(IN_FLIGHT)

    async def one(number: int) -> None:
        async with turn:
            await client.endpoints.create(service.id, subnet, name=f"e{number}")

    await asyncio.gather(*map(one, range(ENDPOINTS)))

    async def all_accepted() -> bool:
        found = await provider.client.connections.page(
            service.id, size=1, states=[ConnectionState.CONNECTION_STATE_ACCEPTED]
        )
        return found.total == ENDPOINTS

    try:
        await until("all endpoints to be accepted", all_accepted, PATIENCE)
    except AssertionError as late:
        raise Failed(str(late)) from late
