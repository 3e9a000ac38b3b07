"""Use cases of VPCs and subnets."""

from collections.abc import Sequence

from services.common.eventsourcing.context import CommandContext
from services.common.eventsourcing.store import LimitReached
from services.registry.application.inventory import Inventory
from services.registry.application.streams import Streams, explained, new_id, no_answer, stream
from services.registry.domain import vpc as domain
from services.registry.domain.addresses import parse_cidr
from services.registry.domain.vpc import NAMED_BLOCKERS, Create, CreateSubnet, Delete, DeleteSubnet, Subnet, Vpc
from services.registry.projections import ATTACHMENT, PORT, SERVICE, SUBNET, VPC, Resources, Snapshot
from services.registry.wire.vpcs import subnet_message, vpc_message
from sidegate.api.registry.v1 import vpc_pb2


class Vpcs:
    def __init__(self, streams: Streams, inventory: Inventory, resources: Resources) -> None:
        self._streams, self._inventory, self._resources = streams, inventory, resources

    async def create(self, name: str, cidrs: Sequence[str], context: CommandContext) -> vpc_pb2.Vpc:
        ranges = tuple(parse_cidr(cidr, f"vpc.cidrs[{index}]") for index, cidr in enumerate(cidrs))
        made = Vpc(new_id(context), context.principal, name, ranges, context.at_ns)
        with explained():
            outcome = await self._streams.vpcs.execute(
                stream("vpc", made.id), Create(made), context, lambda state, _: _shown(state)
            )
        return vpc_pb2.Vpc.FromString(outcome.response)

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

    async def create_subnet(self, vpc_id: str, name: str, cidr: str, context: CommandContext) -> vpc_pb2.Subnet:
        if (first := await self._streams.first_answer(context)) is not None:
            return vpc_pb2.Subnet.FromString(first)
        await self._inventory.owned(VPC, vpc_id, context.principal)
        made = Subnet(new_id(context), name, parse_cidr(cidr, "subnet.cidr"), context.at_ns)
        outcome = await self._streams.vpcs.execute(
            stream("vpc", vpc_id),
            CreateSubnet(made),
            context,
            lambda state, _: subnet_message(made, domain.of(state)).SerializeToString(deterministic=True),
        )
        return vpc_pb2.Subnet.FromString(outcome.response)

    async def delete_subnet(self, id_: str, context: CommandContext) -> None:
        """Deletes a subnet of which no address is in use at the very moment."""
        if await self._streams.first_answer(context) is not None:
            return
        subnet = await self._inventory.owned(SUBNET, id_, context.principal)
        unused = domain.subnet_unused(id_)
        while True:
            try:
                await self._streams.vpcs.execute(
                    stream("vpc", subnet.vpc_id), DeleteSubnet(id_), context, no_answer, extra=unused
                )
            except LimitReached:
                ports = await self._resources.read(lambda now: now.of(PORT, id_, NAMED_BLOCKERS))
                if ports:
                    raise domain.subnet_in_use(id_, [port.id for port in ports]) from None
            else:
                return


def _shown(state: domain.State) -> bytes:
    return vpc_message(domain.of(state)).SerializeToString(deterministic=True)


def _users(now: Snapshot, vpc_id: str) -> list[str]:
    services = [service.id for service in now.of(SERVICE, vpc_id, NAMED_BLOCKERS)]
    return services + [attachment.id for attachment in now.of(ATTACHMENT, vpc_id, NAMED_BLOCKERS)]
