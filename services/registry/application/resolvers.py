"""Use cases of resolvers: the DNS servers of VPCs."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.common.addressing import Address, address_of, network_of
from services.common.errors import AlreadyExists, NotFound, QuotaReached
from services.common.eventsourcing.context import CommandContext
from services.common.eventsourcing.store import AlreadyClaimed
from services.common.name_servers import NameServer
from services.registry.application.inventory import Inventory, owned
from services.registry.application.settings import Settings
from services.registry.application.streams import Streams, explained, new_id, stream
from services.registry.domain import vpc as domain
from services.registry.domain.addresses import ADDRESS, address_claim, free_address, parse_address
from services.registry.domain.network import Place, Resolver
from services.registry.domain.resolver import parse_forwarder
from services.registry.domain.vpc_commands import DeleteResolver, SetResolver
from services.registry.projections import SUBNET, VPC, Resources
from services.registry.wire.vpcs import vpc_message
from sidegate.api.registry.v1 import vpc_pb2


@dataclass(frozen=True, slots=True)
class Draft:
    """A resolver as its VPC's owner wants it. An empty address is the one that it has in this subnet, or a free one."""

    subnet_id: str
    address: str = ""
    forwarders: Sequence[str] = ()


class Resolvers:
    def __init__(self, streams: Streams, inventory: Inventory, resources: Resources, settings: Settings) -> None:
        self._streams, self._inventory, self._resources = streams, inventory, resources
        self._settings = settings

    async def set(self, vpc_id: str, draft: Draft, context: CommandContext) -> vpc_pb2.Vpc:
        """Gives the VPC a resolver, or changes the one that it has. Raises NotFound, Invalid, AlreadyExists."""
        if (first := await self._streams.first_answer(context)) is not None:
            return vpc_pb2.Vpc.FromString(first)
        vpc = await self._inventory.owned(VPC, vpc_id, context.principal)
        subnet = owned(SUBNET, draft.subnet_id, await self._subnet(draft.subnet_id), context.principal)
        if subnet.vpc_id != vpc.id:
            raise NotFound(SUBNET.name, draft.subnet_id)
        forwarders = tuple(parse_forwarder(text, self._settings.allowed_forwarders) for text in draft.forwarders)
        while True:
            address = await self._address(draft, vpc, subnet)
            place = Place(new_id(context), subnet.id, address, context.at_ns)
            try:
                return await self._execute(vpc.id, SetResolver(Resolver(place, forwarders)), context)
            except AlreadyClaimed as clash:
                if clash.claim.kind != ADDRESS:
                    raise
                if draft.address:
                    text = f"{address} is in use: give another address, or none for one that is free"
                    raise AlreadyExists("ADDRESS_TAKEN", text, field="resolver.address") from clash

    async def delete(self, vpc_id: str, context: CommandContext) -> vpc_pb2.Vpc:
        """Takes the resolver away, and gives its address back; again is not an error."""
        if (first := await self._streams.first_answer(context)) is not None:
            return vpc_pb2.Vpc.FromString(first)
        await self._inventory.owned(VPC, vpc_id, context.principal)
        return await self._execute(vpc_id, DeleteResolver(), context)

    async def of(self, vpc_ids: Sequence[str]) -> list[vpc_pb2.Vpc]:
        """Of these VPCs, those that have a resolver, as gateways are to answer: forwarders that the operator does not
        allow any more are left out."""
        vpcs = await self._resources.read(
            lambda now: [vpc for id_ in vpc_ids if (vpc := now.get(VPC, id_)) is not None and vpc.HasField("resolver")]
        )
        for vpc in vpcs:
            forwarders = [each for each in vpc.resolver.forwarders if self._admits(each)]
            vpc.resolver.ClearField("forwarders")
            vpc.resolver.forwarders.extend(forwarders)
        return vpcs

    def _admits(self, forwarder: str) -> bool:
        return self._settings.allowed_forwarders.admits(NameServer.of(forwarder))

    async def _subnet(self, id_: str) -> vpc_pb2.Subnet | None:
        return await self._resources.get(SUBNET, id_)

    async def _address(self, draft: Draft, vpc: vpc_pb2.Vpc, subnet: vpc_pb2.Subnet) -> Address:
        if draft.address:
            return parse_address(draft.address, "resolver.address")
        if vpc.HasField("resolver") and vpc.resolver.subnet_id == subnet.id:
            return address_of(vpc.resolver.address)
        held = {address_of(key.rpartition("/")[2]) for key in await self._streams.holders(address_claim(subnet.id, ""))}
        address = free_address(network_of(subnet.cidr), held, vpc.id)
        if address is None:
            text = f"no address of subnet {subnet.id} is free: delete a port of it, or use another subnet"
            raise QuotaReached("SUBNET_FULL", text)
        return address

    async def _execute(
        self, vpc_id: str, command: SetResolver | DeleteResolver, context: CommandContext
    ) -> vpc_pb2.Vpc:
        with explained():
            outcome = await self._streams.vpcs.execute(stream("vpc", vpc_id), command, context, _shown)
        return vpc_pb2.Vpc.FromString(outcome.response)


def _shown(state: domain.State, _version: int) -> bytes:
    return vpc_message(domain.of(state)).SerializeToString(deterministic=True)
