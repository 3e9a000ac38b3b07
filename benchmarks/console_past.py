"""The console's time slider with a log of 100,000 events: how soon a moment is there, over HTTPS and in a browser."""

import asyncio
import random
import ssl
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
from playwright.async_api import Page

from benchmarks import past
from benchmarks.commands import cpu_seconds
from benchmarks.figures import Figure, quantile, rounded
from benchmarks.plan import Plan, Step
from services.common.eventsourcing.sql_store import SqlStore
from services.endpoint.projections import TABLE
from sidegate.credentials import Credential
from sidegate.evidence import RecordedEvent
from tests.support.browser import People, chromium_runs
from tests.support.endpoint_service import CONSUMER, SHOP_VPC, SUBNET
from tests.support.standalone import Standalone, until

EVENTS = 100_000
APART = 1_000_000_000
"""Nanoseconds from one event to the next: a day and a little in all."""

FEWEST = 30
CELL = "default"
PATIENCE = 900
QUIET, QUIET_SECONDS = 0.2, 2.0
OF = f"{CONSUMER.account}/{CONSUMER.project}"
WHERE = (
    f"A whole Sidegate whose endpoint service has a log of {EVENTS:,} events of {EVENTS // past.LIFE:,} endpoints, a "
    f"second apart, {past.OURS} of them in the project that is looked at, and all in one cell; browser and Sidegate "
    "share two processors. Moments anywhere in the log, one after another, as the operator: that project's picture and "
    "list, and the first page of the cell's forwarding table"
)
METHODS = {
    "answer": "From the request over HTTPS, on a connection that is open, to the whole answer",
    "first": "The same of the first moment that is asked for in each quarter of the log, when nothing is kept of it",
    "redraw": "In Debian's Chromium without a window, from the slider's `input` event to the frame in which picture, "
    "list and table are those of the moment",
    "tenant": "The answer to the project itself, which has no forwarding table, paced as its limit allows",
}
REDRAWN = """place => new Promise(done => {
    const canvas = document.querySelector(".topology-picture"), slider = document.getElementById("past-slider");
    const part = document.getElementById("past"), before = part.dataset.shown, drawn = canvas.dataset.drawn;
    const began = performance.now();
    slider.value = place;
    slider.dispatchEvent(new Event("input", { bubbles: true }));
    const there = () => part.dataset.shown !== before && canvas.dataset.drawn !== drawn;
    const look = () => requestAnimationFrame(() => there() ? done(performance.now() - began) : look());
    look();
})"""
SETTLED = "document.getElementById('past-slider').dispatchEvent(new Event('change', { bubbles: true }))"


@dataclass
class Scene:
    sidegate: Standalone
    tenant: Credential
    ends: int

    def moment(self, share: float) -> str:
        """So far into the log."""
        at = (self.ends - (1 - share) * EVENTS * APART) / APART
        return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")

    @property
    def operator(self) -> Credential:
        return Credential.read(Path(self.sidegate.ready["credential"]))


def steps(_plan: Plan) -> int:
    return 4


async def measure(plan: Plan, step: Step) -> Sequence[Figure]:
    samples = max(FEWEST, plan.samples // 2)
    with TemporaryDirectory(prefix="sidegate-bench-") as made:
        directory = Path(made)
        async with AsyncExitStack() as stack:
            step(f"a log of {EVENTS:,} events")
            scene = await stack.enter_async_context(remembering(directory))
            step("moments over HTTPS")
            taken = await _answers(scene, samples)
            step("moments of a project's own")
            taken["tenant"] = await _tenants(scene, min(samples, FEWEST))
            step("the slider in a browser")
            chromium = await stack.enter_async_context(chromium_runs(directory))
            people = await stack.enter_async_context(People(chromium, scene.sidegate.console_url))
            taken["redraw"] = await _redraws(await people.signed_in(scene.operator), samples)
    return [
        Figure(
            f"console_past_{name}_{quantity}",
            rounded(quantile(found, share)),
            "ms",
            "",
            None,
            len(found),
            f"{WHERE}. {METHODS[name]}.",
        )
        for name, found in taken.items()
        for quantity, share in (("p50", 0.5), ("p99", 0.99))
    ]


@asynccontextmanager
async def remembering(directory: Path) -> AsyncIterator[Scene]:
    """A running system with the log, and with the VPC of the project that is looked at."""
    sidegate = Standalone(directory, rootless=True, console=True, start_seconds=PATIENCE)
    async with sidegate:
        ids, tenant = await _project(sidegate)
    life = [_within(event, ids) for event in await past.a_life(_emptied(directory, sidegate.database("endpoint")))]
    ends = time.time_ns()
    await _write(sidegate.database("endpoint"), life, ends)
    async with sidegate:
        await until("the log to be published", lambda: _is_published(sidegate), PATIENCE)
        await until("the endpoint service to have nothing to do", lambda: _is_quiet(sidegate), PATIENCE)
        yield Scene(sidegate, tenant, ends)


def _emptied(directory: Path, log: str) -> Path:
    """Room for a life; the log is made anew."""
    for ending in ("", "-wal", "-shm"):
        Path(log + ending).unlink(missing_ok=True)
    (directory / "life").mkdir()
    return directory / "life"


async def _write(log: str, life: Sequence[RecordedEvent], ends: int) -> None:
    await (await SqlStore.open(log)).close()
    await asyncio.to_thread(past.write, log, past.lives(life, EVENTS), ends - EVENTS * APART, APART)
    store = await SqlStore.open(log, projections=[TABLE])
    await store.rebuild()
    await store.close()


async def _project(sidegate: Standalone) -> tuple[Mapping[bytes, bytes], Credential]:
    """Makes it; gives what stands in the log for its VPC and its subnet, by what it is to be."""
    sidegate.answer("account", "create", CONSUMER.account)
    sidegate.answer("account", "create-project", CONSUMER.account, CONSUMER.project)
    key = sidegate.answer("key", "create", CONSUMER.account, "--of", CONSUMER.project)
    async with sidegate.client(CONSUMER.account, CONSUMER.project) as client:
        vpc = await client.vpcs.create("net", ["10.0.0.0/16"])
        subnet = await client.subnets.create("all", vpc.id, "10.0.0.0/16")
    return {SHOP_VPC.encode(): vpc.id.encode(), SUBNET.encode(): subnet.id.encode()}, Credential.of(key)


def _within(event: RecordedEvent, ids: Mapping[bytes, bytes]) -> RecordedEvent:
    data = event.data
    for before, after in ids.items():
        data = data.replace(before, after)
    return event._replace(data=data)


async def _is_published(sidegate: Standalone) -> bool:
    async with sidegate.client("operator") as operator:
        status = await operator.program("endpoint").status()
    return status.position >= EVENTS and status.lag == 0


async def _is_quiet(sidegate: Standalone) -> bool:
    """Snapshots of the log have been made, and all else that begins with it."""
    before = cpu_seconds(sidegate.pid_of("endpoint"))
    await asyncio.sleep(QUIET_SECONDS)
    return cpu_seconds(sidegate.pid_of("endpoint")) - before < QUIET * QUIET_SECONDS


async def _answers(scene: Scene, samples: int) -> dict[str, Sequence[float]]:
    draw = random.Random(1)  # noqa: S311 - it hides nothing
    async with _browsing(scene, scene.operator) as client:
        query = {"of": OF, "cell": CELL}
        first = [await _asked(client, scene.moment(share), query) for share in (0.95, 0.7, 0.45, 0.2)]
        answers = [await _asked(client, scene.moment(draw.random()), query) for _ in range(samples)]
    return {"first": first, "answer": answers}


async def _tenants(scene: Scene, samples: int) -> Sequence[float]:
    draw, taken = random.Random(2), list[float]()  # noqa: S311 - it hides nothing
    async with _browsing(scene, scene.tenant) as client:
        for _ in range(samples):
            taken.append(await _asked(client, scene.moment(draw.random()), {}))
            await asyncio.sleep(0.5)
    return taken


@asynccontextmanager
async def _browsing(scene: Scene, key: Credential) -> AsyncIterator[httpx.AsyncClient]:
    trusted = ssl.create_default_context(cadata=scene.sidegate.ca.decode())
    async with httpx.AsyncClient(base_url=scene.sidegate.console_url, verify=trusted, timeout=60) as client:
        page = (await client.get("/sign-in")).text
        token = page.partition('name="csrf" value="')[2].partition('"')[0]
        form = {"csrf": token, "access_key": key.access_key, "secret_key": key.secret_key}
        assert (await client.post("/sign-in", data=form)).status_code == httpx.codes.SEE_OTHER  # noqa: S101 # or nothing is measured
        yield client


async def _asked(client: httpx.AsyncClient, at: str, query: Mapping[str, str]) -> float:
    """Milliseconds."""
    began = time.perf_counter()
    answer = await client.get("/past/moment.json", params={"at": at, **query}, headers={"HX-Request": "true"})
    taken = (time.perf_counter() - began) * 1000
    answer.raise_for_status()
    return taken


async def _redraws(page: Page, samples: int) -> Sequence[float]:
    draw = random.Random(3)  # noqa: S311 - it hides nothing
    await page.goto(f"/past?of={OF}&cell={CELL}")
    await page.wait_for_selector("#past[data-shown=now]")
    taken = []
    for _ in range(samples):
        taken.append(float(await page.evaluate(REDRAWN, draw.randint(1, 990))))
        await page.evaluate(SETTLED)
        await page.wait_for_timeout(100)
    return taken
