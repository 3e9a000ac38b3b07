"""Use cases of subnets."""

from collections.abc import Callable

from services.common.etags import revision_of, stamped
from services.common.eventsourcing.context import CommandContext
from services.common.eventsourcing.store import LimitReached
from services.registry.application.inventory import Inventory
from services.registry.application.streams import Streams, no_answer, stream
from services.registry.domain import vpc as domain
from services.registry.domain.network import Subnet
from services.registry.domain.vpc import NAMED_BLOCKERS
from services.registry.domain.vpc_commands import ChangeSubnet, CreateSubnet, DeleteSubnet
from services.registry.projections import PORT, SUBNET, VPC, Resources
from services.registry.wire.vpcs import subnet_message
from sidegate.api.registry.v1 import vpc_pb2


class Subnets:
    def __init__(self, streams: Streams, inventory: Inventory, resources: Resources) -> None:
        self._streams, self._inventory, self._resources = streams, inventory, resources

    async def create(self, vpc_id: str, made: Subnet, context: CommandContext) -> vpc_pb2.Subnet:
        if (first := await self._streams.first_answer(context)) is not None:
            return vpc_pb2.Subnet.FromString(first)
        await self._inventory.owned(VPC, vpc_id, context.principal)
        return await self._execute(vpc_id, made.id, CreateSubnet(made), context)

    async def change(self, command: ChangeSubnet, context: CommandContext) -> vpc_pb2.Subnet:
        if (first := await self._streams.first_answer(context)) is not None:
            return vpc_pb2.Subnet.FromString(first)
        subnet = await self._inventory.owned(SUBNET, command.subnet_id, context.principal)
        return await self._execute(subnet.vpc_id, subnet.id, command, context)

    async def delete(self, id_: str, context: CommandContext) -> None:
        """Deletes a subnet of which no address is in use at the very moment."""
        if await self._streams.first_answer(context) is not None:
            return
        subnet = await self._inventory.owned(SUBNET, id_, context.principal)
        unused = domain.subnet_unused(id_)
        while True:
            try:
                await self._streams.vpcs.execute(
                    stream("vpc", subnet.vpc_id),
                    DeleteSubnet(id_),
                    context,
                    no_answer,
                    extra=unused,
                    revision=_revision_of(id_),
                )
            except LimitReached:
                ports = await self._resources.read(lambda now: now.of(PORT, id_, NAMED_BLOCKERS))
                if ports:
                    raise domain.subnet_in_use(id_, [port.id for port in ports]) from None
            else:
                return

    async def _execute(
        self, vpc_id: str, subnet_id: str, command: CreateSubnet | ChangeSubnet, context: CommandContext
    ) -> vpc_pb2.Subnet:
        def shown(state: domain.State, _version: int) -> bytes:
            (made,) = _subnets(state, subnet_id)
            return stamped(made).SerializeToString(deterministic=True)

        outcome = await self._streams.vpcs.execute(
            stream("vpc", vpc_id), command, context, shown, revision=_revision_of(subnet_id)
        )
        return vpc_pb2.Subnet.FromString(outcome.response)


def _subnets(state: domain.State, id_: str) -> list[vpc_pb2.Subnet]:
    """The VPC's subnet of this id, if it is there."""
    vpc = domain.of(state)
    return [subnet_message(each, vpc) for each in vpc.subnets if each.id == id_]


def _revision_of(id_: str) -> Callable[[domain.State, int], int]:
    """A subnet's etag counts no change of its VPC or of others."""
    return lambda state, _: sum(map(revision_of, _subnets(state, id_)))
