"""A service's database goes back to an earlier state: everybody notices, and goes on from what is there."""

import contextlib
import shutil
import sqlite3
from pathlib import Path

import pytest

from sidegate import errors
from sidegate.api.gateway.v1.gateway_service_pb2 import GetTableRequest
from sidegate.cli.comparison import differences
from sidegate.resources.history import When
from sidegate.resources.logs import LogName
from tests.support import namespaces
from tests.support.standalone import Standalone, require_root, until
from tests.support.world import eventually_answers, machine, site, tcp, who_answers

pytestmark = pytest.mark.root


def back_up(database: Path, copy: Path) -> None:
    """As an operator does while the program runs."""
    with contextlib.closing(sqlite3.connect(database)) as live, contextlib.closing(sqlite3.connect(copy)) as kept:
        live.backup(kept)


def restore(database: Path, copy: Path) -> None:
    """As an operator does while the program is stopped."""
    for ending in ("", "-wal", "-shm"):
        database.with_name(database.name + ending).unlink(missing_ok=True)
    shutil.copy(copy, database)


async def test_a_restored_database_is_a_fork_that_gateways_watchers_and_historians_notice(tmp_path: Path) -> None:
    require_root()
    copy = tmp_path / "copy.sqlite"
    async with contextlib.AsyncExitStack() as stack:
        anna_net, pia_net = stack.enter_context(namespaces.make("anna", "pia"))
        sidegate = await stack.enter_async_context(Standalone(tmp_path))
        async with site(sidegate, "anna", anna_net) as anna, site(sidegate, "pia", pia_net) as pia:
            await stack.enter_async_context(machine(pia_net, "pia"))
            service = await pia.publish("web", approval=False)
            await pia.client.services.permit(service.id, ["iam:domain::anna"])
            kept = await anna.accepted(await anna.request(service))
            subnet = anna.subnet_id
        back_up(Path(sidegate.database("endpoint")), copy)
        async with sidegate.client("operator") as operator, sidegate.client("anna") as consumer:
            log = operator.audit.log(LogName.ENDPOINT)
            copied = await log.head()
            table = (await operator.history.cell("default", When(copied.position))).states
            assert kept.id in {entry.id for entry in table}
            lost = await consumer.endpoints.create(service.id, subnet)
            assert await eventually_answers(anna_net, lost.address, 80) == "pia"
            async with consumer.endpoints.watch() as watch:
                await anext(watch)
                place = watch.place
            before = await log.head()
            (then,) = (await operator.history.resource("endpoint", lost.id)).states
            assert then.endpoint.id == lost.id
        assert await sidegate.stop() == 0

        restore(Path(sidegate.database("endpoint")), copy)
        await sidegate.start()
        async with sidegate.client("operator") as operator, sidegate.client("anna") as consumer:
            history, log = operator.history, operator.audit.log(LogName.ENDPOINT)

            async def is_another_epoch() -> bool:
                return (await log.head()).epoch > before.epoch

            await until("the fork to be noticed", is_another_epoch)
            assert await eventually_answers(anna_net, kept.address, 80) == "pia"
            assert await who_answers(anna_net, lost.address, 80) is None

            async def is_replayed() -> bool:
                kernel = await operator.gateway.table()
                replayed = await operator.gateway.table(GetTableRequest.SOURCE_REPLAY, position=kernel.position)
                return bool(kernel.entries) and not differences(replayed, kernel)

            await until("the kernel to have what the log replays to", is_replayed, 60)
            assert (await history.cell("default", When(copied.position))).states == table
            assert (await history.resource("endpoint", lost.id)).states == []
            with pytest.raises(errors.OutOfRange, match="has been restored to an earlier state"):
                await history.resource("endpoint", lost.id, When(before.position + 1000))
            with pytest.raises(errors.WrongState, match="is a position of another"):
                await history.resource(
                    "endpoint", lost.id, When(before.position, log_id=before.log_id, epoch=before.epoch)
                )
            with pytest.raises((errors.WrongState, errors.OutOfRange), match=r"the log is (now|at)"):
                async with consumer.endpoints.watch(after=place) as watch:
                    await anext(watch)


async def test_gateways_forward_what_a_restored_registry_says_and_what_it_says_after_that(tmp_path: Path) -> None:
    """Its versions count again from what they were: they are lower than those that gateways know."""
    require_root()
    copy = tmp_path / "copy.sqlite"
    async with contextlib.AsyncExitStack() as stack:
        anna_net, pia_net = stack.enter_context(namespaces.make("anna", "pia"))
        sidegate = await stack.enter_async_context(Standalone(tmp_path))
        async with site(sidegate, "anna", anna_net) as anna, site(sidegate, "pia", pia_net) as pia:
            await stack.enter_async_context(machine(pia_net, "pia"))
            service = await pia.publish("web", approval=False)
            await pia.client.services.permit(service.id, ["iam:domain::anna"])
            address = (await anna.accepted(await anna.request(service))).address
            back_up(Path(sidegate.database("registry")), copy)
            for port in (81, 82, 83):
                await pia.client.services.update(service.id, port_mappings=[tcp(port, 8080)])
        assert await eventually_answers(anna_net, address, 83) == "pia"
        assert await sidegate.stop() == 0

        restore(Path(sidegate.database("registry")), copy)
        await sidegate.start()
        assert await eventually_answers(anna_net, address, 80) == "pia"
        assert await who_answers(anna_net, address, 83) is None
        async with sidegate.client("pia") as provider:
            await provider.services.update(service.id, port_mappings=[tcp(84, 8080)])
        assert await eventually_answers(anna_net, address, 84) == "pia"
        assert await who_answers(anna_net, address, 80) is None
