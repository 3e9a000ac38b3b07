"""Use cases of VPCs."""

from dataclasses import dataclass

from services.common.addressing import Network
from services.common.errors import QuotaReached
from services.common.eventsourcing.context import CommandContext
from services.common.eventsourcing.store import AlreadyClaimed, LimitReached
from services.common.labels import Tag
from services.registry.application.defaults import Defaults
from services.registry.application.inventory import Inventory
from services.registry.application.streams import Streams, explained, new_id, no_answer, stream
from services.registry.domain import vpc as domain
from services.registry.domain.network import Vpc
from services.registry.domain.reach import TARGET
from services.registry.domain.vpc import NAMED_BLOCKERS
from services.registry.domain.vpc_commands import Change, Create, Delete
from services.registry.projections import ATTACHMENT, SERVICE, VPC, Resources, Snapshot
from services.registry.wire.vpcs import vpc_message
from sidegate.api.registry.v1 import vpc_pb2

ATTEMPTS = 20
"""How often a new VPC tries to get networks that others take at the same moment."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A VPC as its owner wants it."""

    name: str
    cidrs: tuple[Network, ...]
    description: str = ""
    tags: tuple[Tag, ...] = ()


class Vpcs:
    def __init__(self, streams: Streams, inventory: Inventory, resources: Resources, defaults: Defaults) -> None:
        self._streams, self._inventory, self._resources, self._defaults = streams, inventory, resources, defaults

    async def create(self, draft: Draft, context: CommandContext) -> vpc_pb2.Vpc:
        """Makes a VPC, attached by each cell's default attachment in the same append."""
        made = Vpc(
            id=new_id(context),
            owner=context.principal,
            name=draft.name,
            cidrs=draft.cidrs,
            created_at=context.at_ns,
            description=draft.description,
            tags=draft.tags,
        )
        if (first := await self._streams.first_answer(context)) is not None:
            return vpc_pb2.Vpc.FromString(first)
        with explained():
            for _ in range(ATTEMPTS):
                attachments = await self._defaults.of_new_vpc(made.id, context)
                try:
                    return await self._execute(made.id, Create(made, attachments), context)
                except AlreadyClaimed as clash:
                    if clash.claim.kind != TARGET:
                        raise
        raise QuotaReached("NETWORKS_TAKEN", "others took the networks that were left: try again, or ask the operator")

    async def change(self, id_: str, change: Change, context: CommandContext) -> vpc_pb2.Vpc:
        if (first := await self._streams.first_answer(context)) is not None:
            return vpc_pb2.Vpc.FromString(first)
        await self._inventory.owned(VPC, id_, context.principal)
        with explained():
            return await self._execute(id_, change, context)

    async def delete(self, id_: str, context: CommandContext) -> None:
        """Deletes a VPC that nothing uses at the very moment."""
        if await self._streams.first_answer(context) is not None:
            return
        await self._inventory.owned(VPC, id_, context.principal)
        while True:
            try:
                unused = domain.unused(id_)
                await self._streams.vpcs.execute(stream("vpc", id_), Delete(), context, no_answer, extra=unused)
            except LimitReached:
                if users := await self._resources.read(lambda now: _users(now, id_)):
                    raise domain.in_use(id_, users) from None
            else:
                return

    async def _execute(self, id_: str, command: Create | Change, context: CommandContext) -> vpc_pb2.Vpc:
        outcome = await self._streams.vpcs.execute(stream("vpc", id_), command, context, lambda state, _: _shown(state))
        return vpc_pb2.Vpc.FromString(outcome.response)


def _shown(state: domain.State) -> bytes:
    return vpc_message(domain.of(state)).SerializeToString(deterministic=True)


def _users(now: Snapshot, vpc_id: str) -> list[str]:
    services = [service.id for service in now.of(SERVICE, vpc_id, NAMED_BLOCKERS)]
    return services + [attachment.id for attachment in now.of(ATTACHMENT, vpc_id, NAMED_BLOCKERS)]
