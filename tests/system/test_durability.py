"""kill -9 of everything at random points: what was acknowledged is there, what was not is whole or absent."""

import asyncio
import contextlib
import os
import random
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import pytest

from sidegate import errors
from sidegate.api.endpoint.v1.endpoint_pb2 import ConnectionState
from tests.support import namespaces
from tests.support.standalone import Standalone, children, require_root, until
from tests.support.world import Site, call, eventually_answers, machine, site, who_answers

pytestmark = pytest.mark.root

PROGRAMS = ("registry", "endpoint", "gateway", "nats")
KILLS = 6

R = TypeVar("R")


@dataclass
class Acknowledged:
    """What the services said that they had done."""

    vpcs: dict[str, str] = field(default_factory=dict)
    endpoints: dict[str, str] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)


async def _insistently(command: Callable[[], Awaitable[R]]) -> R:
    """Repeats one command with its request id until it is answered."""
    async with asyncio.timeout(60):
        while True:
            try:
                return await command()
            except errors.Unavailable:
                await asyncio.sleep(0.05)


async def _make_vpcs(sidegate: Standalone, done: Acknowledged, stop: asyncio.Event) -> None:
    async with sidegate.client("load", timeout=5) as client:
        number = 0
        while not stop.is_set():
            number += 1
            name, request = f"vpc-{number}", str(uuid4())
            made = await _insistently(partial(client.vpcs.create, name, ["10.0.0.0/24"], request_id=request))
            done.vpcs[name] = made.id


async def _make_endpoints(consumer: Site, service: str, done: Acknowledged, stop: asyncio.Event) -> None:
    """Creates endpoints and deletes every other one, within the project's quota."""
    client, kept = consumer.client, 0
    while not stop.is_set() and kept < 40:
        request = str(uuid4())
        made = await _insistently(partial(client.endpoints.create, service, consumer.subnet_id, request_id=request))
        if kept % 2:
            request = str(uuid4())
            await _insistently(partial(client.endpoints.delete, made.id, request_id=request))
            done.deleted.add(made.id)
        else:
            done.endpoints[made.id] = made.address
        kept += 1


@pytest.mark.timeout(300)
async def test_nothing_acknowledged_is_lost_when_programs_are_killed_at_random(tmp_path: Path) -> None:
    require_root()
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    done, stop = Acknowledged(), asyncio.Event()
    async with contextlib.AsyncExitStack() as stack:
        anna_net, pia_net = stack.enter_context(namespaces.make("anna", "pia"))
        sidegate = await stack.enter_async_context(Standalone(tmp_path))
        anna = await stack.enter_async_context(site(sidegate, "anna", anna_net))
        pia = await stack.enter_async_context(site(sidegate, "pia", pia_net))
        await stack.enter_async_context(machine(pia_net, "pia"))
        service = await pia.publish("web", approval=False)
        await pia.client.services.permit(service.id, ["iam:domain::anna"])
        first = await anna.accepted(await anna.request(service))
        conversation = await call(anna_net, first.address, 80)
        assert conversation is not None
        load = asyncio.gather(_make_vpcs(sidegate, done, stop), _make_endpoints(anna, service.full_name, done, stop))
        for program in [*PROGRAMS, *dice.choices(PROGRAMS, k=KILLS - len(PROGRAMS))]:
            before = len(done.vpcs) + len(done.endpoints)
            target = before + dice.randrange(1, 6)

            async def moved(target: int = target) -> bool:
                return len(done.vpcs) + len(done.endpoints) >= target or load.done()

            await until("commands to be acknowledged", moved, 60)
            await sidegate.kill_program(program)
            assert await conversation.goes_on(5), f"an established connection was lost with {program}"
        stop.set()
        await load
        conversation.close()
        await _everything_is_there(sidegate, anna, done)


async def _everything_is_there(sidegate: Standalone, anna: Site, done: Acknowledged) -> None:
    async with sidegate.client("load") as client:
        assert {vpc.name: vpc.id async for vpc in client.vpcs.list()} == done.vpcs

    async def settled() -> bool:
        states = {each.id: each.state async for each in anna.client.endpoints.list()}
        accepted = {each for each, state in states.items() if state == ConnectionState.CONNECTION_STATE_ACCEPTED}
        return done.endpoints.keys() <= accepted and not done.deleted & states.keys()

    await until("every endpoint to be accepted or gone", settled, 60)
    for address in done.endpoints.values():
        assert await eventually_answers(anna.namespace, address, 80) == "pia"
    compared = sidegate.cli("audit", "replay", "--compare")
    assert compared.returncode == 0, compared.stdout
    verified = sidegate.cli("audit", "verify")
    assert verified.returncode == 0, verified.stdout


async def test_a_data_directory_can_be_stopped_killed_and_started_again(tmp_path: Path) -> None:
    require_root()
    async with contextlib.AsyncExitStack() as stack:
        anna_net, pia_net = stack.enter_context(namespaces.make("anna", "pia"))
        sidegate = Standalone(tmp_path)
        await stack.enter_async_context(sidegate)
        async with site(sidegate, "anna", anna_net) as anna, site(sidegate, "pia", pia_net) as pia:
            await stack.enter_async_context(machine(pia_net, "pia"))
            service = await pia.publish("web", approval=False)
            await pia.client.services.permit(service.id, ["iam:domain::anna"])
            endpoint = await anna.accepted(await anna.request(service))
        conversation = await call(anna_net, endpoint.address, 80)
        assert conversation is not None

        await sidegate.kill()
        assert await conversation.goes_on(), "the kernel forwards without any of our programs"
        await sidegate.start()
        assert await conversation.goes_on(5), "sessions survive the programs"
        conversation.close()
        assert await eventually_answers(anna_net, endpoint.address, 80) == "pia"

        assert await sidegate.stop() == 0
        assert await who_answers(anna_net, endpoint.address, 80) is None, "told to end, it forwards nothing more"
        await sidegate.start()
        assert await eventually_answers(anna_net, endpoint.address, 80) == "pia"
        verified = sidegate.cli("audit", "verify")
        assert verified.returncode == 0, verified.stdout


async def test_a_program_that_is_being_started_ends_with_standalone_too(tmp_path: Path) -> None:
    """One that lived on would hold its port: the next start would say that the address is in use."""
    sidegate = Standalone(tmp_path, rootless=True)
    async with sidegate:
        before = children(sidegate.pid)
        os.kill(sidegate.pid_of("registry"), signal.SIGKILL)

        async def begun() -> bool:
            return any(pid not in before for pid in children(sidegate.pid))

        await until("standalone to start the registry again", begun)
        await sidegate.kill()
        await sidegate.start()


async def test_who_is_told_again_and_again_to_end_leaves_nothing_that_forwards(tmp_path: Path) -> None:
    """As by somebody who presses Ctrl-C until it has ended."""
    async with Standalone(tmp_path) as sidegate:
        pins = Path(sidegate.data / "bpf" / "sidegate" / sidegate.ready["gateway"]["id"])
        assert any(pins.iterdir())
        process = sidegate._process
        assert process is not None

        async def ended() -> bool:
            if process.poll() is None:
                process.terminate()
            return process.poll() is not None

        await until("standalone to end", ended)
        assert not pins.exists(), sidegate.output
