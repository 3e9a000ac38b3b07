"""The only allocator of addresses."""

from dataclasses import dataclass

from services.common.addressing import Address, Network, address_of, network_of
from services.common.errors import AlreadyExists, QuotaReached
from services.common.eventsourcing.context import CommandContext
from services.common.eventsourcing.store import AlreadyClaimed, Constraints
from services.common.principal import Principal
from services.registry.application.streams import Streams, explained, stream
from services.registry.domain import port as domain
from services.registry.domain.addresses import ADDRESS, address_claim, check_assignable, free_address, parse_address
from services.registry.domain.port import Holder, Port, Reserve
from services.registry.wire.ports import port_message
from sidegate.api.registry.v1 import vpc_pb2

IPV4 = 4


@dataclass(frozen=True, slots=True)
class Wish:
    """A port to be made. An empty address is any that is free; `field` is the one that the caller gave it in."""

    port_id: str
    subnet: vpc_pb2.Subnet
    owner: Principal
    holder: Holder
    address: str
    field: str


class Allocator:
    """An address is one's own when its claim is stored, never before.

    What this program is about to claim is left out when it chooses, so that many requests at once seldom choose the
    same; that saves attempts and decides nothing.
    """

    def __init__(self, streams: Streams) -> None:
        self._streams = streams
        self._chosen: set[tuple[str, Address]] = set()

    async def reserve(self, wish: Wish, context: CommandContext, conditions: Constraints | None = None) -> vpc_pb2.Port:
        """Takes the address wished for, or a free one: in IPv4 the lowest, in IPv6 any. Raises AlreadyExists,
        QuotaReached.
        """
        if wish.address:
            return await self._reserve_wanted(wish, context, conditions)
        subnet = network_of(wish.subnet.cidr)
        # What is drawn of a /64 is free: those who hold the others are asked for only if it is not.
        held: set[Address] = await self._held(wish) if subnet.version == IPV4 else set()
        while True:
            try:
                return await self._reserve_free(wish, subnet, held, context, conditions)
            except AlreadyClaimed as clash:
                if clash.claim.kind != ADDRESS:
                    raise
                held = await self._held(wish)

    async def _reserve_wanted(
        self, wish: Wish, context: CommandContext, conditions: Constraints | None
    ) -> vpc_pb2.Port:
        address = parse_address(wish.address, wish.field)
        check_assignable(address, network_of(wish.subnet.cidr), wish.field)
        try:
            return await self._take(wish, address, context, conditions)
        except AlreadyClaimed as clash:
            if clash.claim.kind != ADDRESS:
                raise
            text = f"{address} is in use: give another address, or none for one that is free"
            raise AlreadyExists("ADDRESS_TAKEN", text, field=wish.field) from clash

    async def _held(self, wish: Wish) -> set[Address]:
        """The addresses of the subnet that somebody has."""
        held = await self._streams.holders(address_claim(wish.subnet.id, ""))
        return {address_of(key.rpartition("/")[2]) for key in held}

    async def _reserve_free(
        self, wish: Wish, subnet: Network, held: set[Address], context: CommandContext, conditions: Constraints | None
    ) -> vpc_pb2.Port:
        chosen_here = {address for subnet_id, address in self._chosen if subnet_id == wish.subnet.id}
        address = free_address(subnet, held | chosen_here, wish.port_id)
        if address is None:
            text = f"no address of subnet {wish.subnet.id} is free: delete a port of it, or use another subnet"
            raise QuotaReached("SUBNET_FULL", text)
        chosen = (wish.subnet.id, address)
        self._chosen.add(chosen)
        try:
            return await self._take(wish, address, context, conditions)
        finally:
            self._chosen.discard(chosen)

    async def _take(
        self, wish: Wish, address: Address, context: CommandContext, conditions: Constraints | None
    ) -> vpc_pb2.Port:
        port = Port(wish.port_id, wish.subnet.id, wish.subnet.vpc_id, wish.owner, address, wish.holder, context.at_ns)
        with explained():
            outcome = await self._streams.ports.execute(
                stream("port", port.id), Reserve(port), context, rendered, extra=conditions
            )
        return vpc_pb2.Port.FromString(outcome.response)


def rendered(state: domain.State, _version: int) -> bytes:
    return port_message(domain.of(state)).SerializeToString(deterministic=True)
