"""The operator's automation, played: whatever VPC is attached by default gets its namespace, with one machine in it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from tests.support import namespaces
from tests.support.namespaces import DEVICE, Namespace
from tests.support.standalone import Standalone, until


@asynccontextmanager
async def plugged(sidegate: Standalone, address: str = "10.0.0.10/24") -> AsyncIterator[dict[str, Namespace]]:
    """By VPC, from the moment that the machine has its address. All are gone in the end."""
    networks: dict[str, Namespace] = {}
    made: list[Namespace] = []

    async def plug(vpc_id: str, name: str) -> None:
        namespace = Namespace(name)
        namespaces.create_again(namespace)
        made.append(namespace)

        async def attached() -> bool:
            return DEVICE in namespace.devices()

        await until(f"the gateway's device in {name}", attached)
        namespace.add_address(address)
        networks[vpc_id] = namespace

    async def follow() -> None:
        async with (
            sidegate.client("operator") as operator,
            operator.attachments.watch() as watch,
            asyncio.TaskGroup() as plugs,
        ):
            async for answer in watch:
                following.set()  # the first answer says from where on
                for change in answer.changes:
                    if change.attachment.by_default and not change.deleted:
                        plugs.create_task(plug(change.attachment.vpc_id, change.attachment.netns.namespace))

    following = asyncio.Event()
    task = asyncio.create_task(follow())
    try:
        await following.wait()
        yield networks
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        for namespace in made:
            namespaces.delete_if_there(namespace)
