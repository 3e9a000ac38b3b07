"""Services whose database is away or full: they say so, change nothing, and go on by themselves."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from services.common.eventsourcing.store import OutcomeUnknown
from services.endpoint.application.limits import Limits
from services.endpoint.application.service import EndpointApplication
from sidegate import errors
from sidegate.api.registry.v1 import registry_service_pb2 as registry_pb2
from tests.support import identity, nats, postgres
from tests.support.disk import files_limited_to
from tests.support.endpoint_service import endpoint_world
from tests.support.registry_service import PAYMENTS, Client, RegistryWorld, running_registry, status_of
from tests.support.standalone import ROOT, until
from tests.support.wire_cutter import WireCutter

PATIENCE = 40


def is_a_reason_to_try_again(error: errors.SidegateError) -> bool:
    code, details = status_of(error)
    kinds = {each.TypeName() for each in status_pb2.Status.FromString(details).details}
    return code is grpc.StatusCode.UNAVAILABLE and error_details_pb2.RetryInfo.DESCRIPTOR.full_name in kinds


async def names(client: Client) -> list[str]:
    return [vpc.name for vpc in (await client.ask(client.stub.ListVpcs, registry_pb2.ListVpcsRequest())).vpcs]


async def test_a_registry_whose_postgres_is_stopped_says_so_and_goes_on_when_it_is_back(tmp_path: Path) -> None:
    server = postgres.shared()
    with postgres.schema() as where:
        async with running_registry(tmp_path, where=where) as world:
            await world.payments.vpc(name="before")
            server.stop()
            for attempt in (world.payments.vpc(name="lost", request_id="r1"), names(world.payments)):
                with pytest.raises(errors.Unavailable) as refused:
                    await attempt
                assert is_a_reason_to_try_again(refused.value)
            server.start()
            assert await names(world.payments) == ["before"]
            await world.payments.vpc(name="after", request_id="r1")
            assert await names(world.payments) == ["before", "after"]


async def fill_the_disk(world: RegistryWorld) -> errors.SidegateError:
    with files_limited_to(8192), pytest.raises(errors.Unavailable) as refused:
        await world.payments.vpc("10.1.0.0/16", name="lost", request_id="r1")
    return refused.value


async def test_a_registry_whose_disk_is_full_says_so_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    async with running_registry(tmp_path) as world:
        await world.payments.vpc(name="before")
        position = (await world.store.head()).position
        assert is_a_reason_to_try_again(await fill_the_disk(world))
        assert await names(world.payments) == ["before"]
        assert (await world.store.head()).position == position
        await world.payments.vpc("10.1.0.0/16", name="lost", request_id="r1")
        assert await names(world.payments) == ["before", "lost"]


async def test_an_endpoint_that_may_be_there_keeps_its_address(tmp_path: Path) -> None:
    with postgres.database() as database:
        async with (
            WireCutter(postgres.shared()).running() as wire,
            endpoint_world(tmp_path, where=wire.url(database)) as world,
        ):

            def marker() -> int:
                wire.cut = "before" if wire.cuts == 0 else ""  # the endpoint's own append comes next
                return 7

            world.app = await EndpointApplication.open(
                world.store, world.registry, Limits(), world.clock, marker=marker
            )
            with pytest.raises(OutcomeUnknown):
                await world.create(request_id="r1")
            assert wire.cuts == 1
            assert len(world.registry.held) == 1
            created = await world.create(request_id="r1")
            assert set(world.registry.held) == {created.id}


@asynccontextmanager
async def registry_program(directory: Path, database: str, nats_url: str) -> AsyncIterator[subprocess.Popen[bytes]]:
    told = {"SIDEGATE_DATABASE": database, "SIDEGATE_NATS_URL": nats_url}
    places = ["--endpoint-address", "127.0.0.1:1", "--ready-file", str(directory / "ready.json")]
    flags = [*places, *identity.arguments(directory)]
    with (directory / "output").open("wb") as output:
        program = subprocess.Popen(
            [sys.executable, "-m", "services.registry", *flags],
            env={**os.environ, **told},
            cwd=ROOT,
            stdout=output,
            stderr=output,
        )
    try:
        yield program
    finally:
        program.send_signal(signal.SIGTERM)
        await asyncio.to_thread(program.wait, PATIENCE)


async def test_the_registrys_program_outlives_its_server_and_publishes_what_follows(tmp_path: Path) -> None:
    server, ready = postgres.shared(), tmp_path / "ready.json"

    async def serves() -> bool:
        return ready.exists()

    with postgres.database() as database:
        async with (
            nats.running(tmp_path / "nats") as broker,
            registry_program(tmp_path, server.tcp_url(database), broker.server.url) as program,
        ):
            await until("the registry to serve", serves)
            client = Client(json.loads(ready.read_text())["grpc"], PAYMENTS)
            output = (tmp_path / "output").read_text
            try:
                await client.vpc(name="before")
                server.stop()
                with pytest.raises(errors.Unavailable):
                    await client.vpc(name="lost")
                server.start()
                await client.vpc(name="after")
                assert await names(client) == ["before", "after"]
                await published(broker, 4)  # the operator's account and key, too
                assert program.poll() is None
            finally:
                await client.close()
            assert postgres.PASSWORD not in output()


async def published(broker: nats.Nats, count: int) -> None:
    """Waits until the registry's stream has so many events."""

    user = identity.nats_user("registry")

    async def has_them() -> bool:
        async with nats.connected(broker, "test", user) as connection, connection.exchange() as jetstream:
            streams = await jetstream.streams_info()
            return any(stream.state.messages >= count for stream in streams)

    await until(f"{count} events to be published", has_them)
