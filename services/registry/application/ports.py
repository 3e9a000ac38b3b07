"""Use cases of ports: the addresses of a project's machines."""

from services.common.errors import Invalid, WrongState
from services.common.eventsourcing.context import CommandContext
from services.registry.application.allocation import Allocator, Wish
from services.registry.application.inventory import Inventory
from services.registry.application.streams import Streams, new_id, no_answer, stream
from services.registry.domain.port import Delete, Endpoint, Gateway, Machine
from services.registry.projections import PORT, SUBNET
from services.registry.wire.ports import holder_of
from sidegate.api.registry.v1 import vpc_pb2


class Ports:
    def __init__(self, streams: Streams, inventory: Inventory, allocator: Allocator) -> None:
        self._streams, self._inventory, self._allocator = streams, inventory, allocator

    async def create(self, subnet_id: str, address: str, holder: str, context: CommandContext) -> vpc_pb2.Port:
        """Takes an address for a machine: the one given, or the lowest free one."""
        if (first := await self._streams.first_answer(context)) is not None:
            return vpc_pb2.Port.FromString(first)
        machine = holder_of(holder)
        if not isinstance(machine, Machine):
            whose = "of endpoints" if isinstance(machine, Endpoint) else "that gateways answer for"
            text = f"addresses {whose} are reserved by the platform: give a holder such as machine/web-1"
            raise Invalid("HOLDER_RESERVED", text, field="port.holder")
        subnet = await self._inventory.owned(SUBNET, subnet_id, context.principal)
        wish = Wish(new_id(context), subnet, context.principal, machine, address, "port.address")
        return await self._allocator.reserve(wish, context)

    async def delete(self, id_: str, context: CommandContext) -> None:
        if await self._streams.first_answer(context) is not None:
            return
        port = await self._inventory.owned(PORT, id_, context.principal)
        if isinstance(holder_of(port.holder), Gateway):
            text = (
                f"port {id_} is the resolver's of its VPC: `sidegate vpc resolver delete {port.vpc_id}` gives it back"
            )
            raise WrongState("PORT_OF_RESOLVER", text, blockers=[port.vpc_id])
        await self._streams.ports.execute(stream("port", id_), Delete(), context, no_answer)
