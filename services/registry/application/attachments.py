"""Use cases of attachments: the operator's."""

from services.common.eventsourcing.context import CommandContext
from services.registry.application.defaults import FIRST_CELL
from services.registry.application.inventory import Inventory, require_operator
from services.registry.application.streams import Streams, explained, new_id, no_answer, stream
from services.registry.domain import attachment as domain
from services.registry.domain.attachment import Create, Delete
from services.registry.domain.reach import Attachment
from services.registry.domain.targets import Target
from services.registry.domain.vpc_commands import Detach
from services.registry.wire.attachments import attachment_message
from sidegate.api.registry.v1 import vpc_pb2


class Attachments:
    def __init__(self, streams: Streams, inventory: Inventory) -> None:
        self._streams, self._inventory = streams, inventory

    async def create(self, vpc_id: str, cell: str, target: Target, context: CommandContext) -> vpc_pb2.Attachment:
        require_operator(context.principal)
        if (first := await self._streams.first_answer(context)) is not None:
            return vpc_pb2.Attachment.FromString(first)
        await self._inventory.vpc(vpc_id, context.principal)
        made = Attachment(new_id(context), vpc_id, cell or FIRST_CELL, target, context.at_ns)
        with explained():
            outcome = await self._streams.attachments.execute(
                stream("attachment", made.id), Create(made), context, lambda state, _: _shown(state)
            )
        return vpc_pb2.Attachment.FromString(outcome.response)

    async def delete(self, id_: str, context: CommandContext) -> None:
        require_operator(context.principal)
        if await self._streams.first_answer(context) is not None:
            return
        attached = await self._inventory.attachment(id_, context.principal)
        if attached.by_default:
            await self._streams.vpcs.execute(stream("vpc", attached.vpc_id), Detach(id_), context, no_answer)
        else:
            await self._streams.attachments.execute(stream("attachment", id_), Delete(), context, no_answer)


def _shown(state: domain.State) -> bytes:
    return attachment_message(domain.of(state)).SerializeToString(deterministic=True)
