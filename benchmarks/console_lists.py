"""A page of the console's list of 10,000 endpoints, as a browser asks for it: how long until all of it is there."""

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

from benchmarks.figures import Figure, quantile, rounded
from benchmarks.plan import Plan, Step
from tests.support.at_once import crowded_console
from tests.support.signed_in import signed_in

MANY = 10_000
PAGES: Mapping[str, str] = {
    "first": "/endpoints",
    "last": "/endpoints?page=200",
    "middle": "/endpoints?page=100",
    "by_name": "/endpoints?name=r-077",
    "by_state": "/endpoints?state=pendingAcceptance&page=150",
}
"""What is asked for, by turns."""

METHOD = (
    "A page of 50 rows out of 10,000 endpoints and their number: first, middle, last, by name and by state, by turns. "
    "Asked for over HTTPS on a connection that is kept, one after another; until all of it is there"
)


def steps(_plan: Plan) -> int:
    return 2


async def measure(plan: Plan, step: Step) -> Sequence[Figure]:
    step(f"a console with {MANY:,} endpoints")
    with TemporaryDirectory(prefix="sidegate-bench-") as directory:
        async with crowded_console(Path(directory), MANY) as (sidegate, key):
            step("pages")
            async with signed_in(sidegate, key) as browser:
                return list(_figures(await _times(browser, plan.samples)))


async def _times(client: httpx.AsyncClient, samples: int) -> Sequence[float]:
    """In milliseconds; the first of each kind counts, too."""
    taken = []
    for number in range(samples):
        path = list(PAGES.values())[number % len(PAGES)]
        began = time.perf_counter()
        answer = await client.get(path)
        taken.append((time.perf_counter() - began) * 1e3)
        answer.raise_for_status()
        assert answer.text.count("data-id=") == 50, path  # noqa: S101 # it would be no measurement
    return taken


def _figures(taken: Sequence[float]) -> Iterator[Figure]:
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        yield Figure(f"console_list_{name}", rounded(quantile(taken, share)), "ms", "", None, len(taken), METHOD)
