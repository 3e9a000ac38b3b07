"""Everything of a whole Sidegate breaks at random under load: nothing acknowledged is lost, no packet is wrong.

What is done and checked, and how a run is repeated, is told in docs/design/chaos.md.
"""

import asyncio
import contextlib
import random
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import namespaces, postgres
from tests.support.chaos.accidents import Accidents, fixed_ports
from tests.support.chaos.disk import small_disk
from tests.support.chaos.judges import Judges
from tests.support.chaos.postgres import PostgresAccidents
from tests.support.chaos.run import SHARE, Course, dice, told
from tests.support.chaos.traffic import Traffic
from tests.support.standalone import Standalone, require_root
from tests.support.world import Conversation, Site, call, machine, site

pytestmark = pytest.mark.root

SHORT = 12.0
PROGRAMS = ("registry", "endpoint")
PATIENCE = 30.0
"""Seconds within which an answer comes over an established connection, on a machine that has much else to do."""


@dataclass
class Play:
    """Two sites of one Sidegate, what is going on between them, and a connection that was there before it began."""

    sidegate: Standalone
    consumer: Site
    provider: Site
    traffic: Traffic
    accidents: Accidents
    conversation: Conversation


@contextlib.asynccontextmanager
async def play(directory: Path, chance: random.Random, *, on_postgres: bool) -> AsyncIterator[Play]:
    async with contextlib.AsyncExitStack() as stack:
        anna_net, pia_net = stack.enter_context(namespaces.make("anna", "pia"))
        disk = stack.enter_context(small_disk(directory / "data"))
        stack.callback(_keep_logs, directory)
        names = [stack.enter_context(postgres.database()) for _ in PROGRAMS] if on_postgres else []
        databases = {each: postgres.shared().tcp_url(name) for each, name in zip(PROGRAMS, names, strict=False)}
        sidegate = await stack.enter_async_context(Standalone(directory, *fixed_ports(), databases=databases))
        anna = await stack.enter_async_context(site(sidegate, "anna", anna_net))
        pia = await stack.enter_async_context(site(sidegate, "pia", pia_net))
        await stack.enter_async_context(machine(pia_net, "pia"))
        bystander = await stack.enter_async_context(sidegate.client("load", timeout=5))
        first = await pia.publish("always", approval=False)
        await pia.client.services.permit(first.id, ["iam:domain::anna"])
        service = await pia.publish("web", approval=True)
        await pia.client.services.permit(service.id, ["iam:domain::anna"])
        endpoint = await anna.accepted(await anna.request(first))
        conversation = await call(anna_net, endpoint.address, 80, patience=PATIENCE)
        assert conversation is not None
        stack.callback(conversation.close)
        traffic = Traffic(anna, pia, bystander, service, chance)
        to_postgres = PostgresAccidents(postgres.shared(), names) if on_postgres else None
        accidents = Accidents(sidegate, disk, directory, chance, to_postgres)
        yield Play(sidegate, anna, pia, traffic, accidents, conversation)


def _keep_logs(directory: Path) -> None:
    """The disk goes away with what the programs have said; a run that failed is read here."""
    shutil.copytree(directory / "data" / "logs", directory / "logs")
    shutil.copy(directory / "data" / "nats" / "nats.log", directory / "logs")


async def keep_talking(conversation: Conversation, stop: asyncio.Event) -> None:
    """Fails when the connection is cut, or nothing comes back over it."""
    while not stop.is_set():
        assert await conversation.goes_on(PATIENCE), "an established connection was cut"
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("on_postgres", [False, True], ids=["sqlite", "postgresql"])
@pytest.mark.parametrize(
    "seconds",
    [
        pytest.param(SHORT, id="short", marks=pytest.mark.timeout(300)),
        pytest.param(SHARE, id="soak", marks=[pytest.mark.soak, pytest.mark.timeout(SHARE + 300)]),
    ],
)
async def test_nothing_acknowledged_is_lost_and_no_packet_is_wrong_whatever_breaks(
    tmp_path: Path, seconds: float, on_postgres: bool
) -> None:
    require_root()
    chance = dice()
    async with play(tmp_path, chance, on_postgres=on_postgres) as on:
        answered, stop = on.traffic.answered, asyncio.Event()
        course = Course(seconds, lambda: f"{answered.commands} commands, {answered.faults} faults")
        async with told(course), asyncio.TaskGroup() as going_on:
            going_on.create_task(keep_talking(on.conversation, stop))
            going_on.create_task(on.traffic.run(stop))
            try:
                await on.accidents.happen(course)
            finally:
                stop.set()  # and nothing is cancelled: before Python 3.12, wait_for loses a cancellation now and then
        judges = Judges(on.sidegate, on.consumer, answered)
        await judges.look()
        assert await on.sidegate.stop() == 0
        await judges.rebuild()
