"""The program in the kernel against the model of the forwarding: the same verdict and the same bytes for every frame.

What a test run does not show is left to tests with packets: segmentation and checksums that a device completes, and
that a frame really leaves by the device that it is meant for.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from services.gateway_agent.dataplane import kernel
from services.gateway_agent.dataplane.build import OBJECTS
from services.gateway_agent.dataplane.maps import Counter
from tests.support.chaos.run import SHARE
from tests.support.differential import Bench, bench
from tests.support.differential_run import run, shortened
from tests.support.differential_steps import Restore

pytestmark = pytest.mark.root

SECONDS = 6.0
NOT_MET = {
    Counter.FLOW_RECORD_LOST,  # no flows are logged
    Counter.RESET_SENT,  # the program does none of these yet
    Counter.ICMP_SENT,
    Counter.ICMP_FORWARDED,
    Counter.FRAGMENT_FORWARDED,
}


@dataclass(frozen=True, slots=True)
class Tried:
    """A bench, and the loop that it lives in."""

    bench: Bench
    runner: asyncio.Runner


@pytest.fixture(params=OBJECTS, ids=lambda path: path.name)
def tried(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tried]:
    """With each of the objects in turn."""
    monkeypatch.setattr(kernel, "OBJECTS", [request.param])
    with asyncio.Runner() as runner:
        around = bench(tmp_path)
        made = runner.run(around.__aenter__())
        try:
            yield Tried(made, runner)
        finally:
            runner.run(around.__aexit__(None, None, None))


def test_the_program_does_what_the_model_says(tried: Tried) -> None:
    histories = run(tried.bench, tried.runner, SECONDS)
    print(f"{histories} histories with {tried.bench.frames} frames")
    assert tried.bench.frames > 100


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_the_program_does_what_the_model_says_for_long(tried: Tried) -> None:
    histories = run(tried.bench, tried.runner, SHARE / len(OBJECTS))
    print(f"{histories} histories with {tried.bench.frames} frames")
    assert set(Counter) - tried.bench.met == NOT_MET


def test_a_model_that_is_wrong_is_found_out(tried: Tried, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the few steps that it takes."""
    monkeypatch.setattr("tests.support.models.forwarding.NOBODYS", ())
    with pytest.raises(AssertionError) as found:
        run(tried.bench, tried.runner, SECONDS)
    script = str(found.value)
    assert all(each in script for each in ("PutService(", "PutEndpoint(", "Opening("))
    assert script.count("\n") < 8


def test_a_history_is_shortened_to_what_it_takes() -> None:
    steps = [Restore(number) for number in range(40)]
    needed = {Restore(7), Restore(8), Restore(31)}
    failure = AssertionError()
    short = shortened(steps, lambda some: failure if needed <= set(some) else None, ends=float("inf"))
    assert short == sorted(needed, key=lambda step: step.vpc)
