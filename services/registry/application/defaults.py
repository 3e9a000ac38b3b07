"""Use cases of default attachments: the operator's; and what a new VPC gets by them."""

import uuid

from services.common.errors import NotFound
from services.common.etags import revision_of, stamped
from services.common.eventsourcing.context import CommandContext
from services.common.eventsourcing.selection import Window
from services.registry.application.inventory import MOST_CELLS, require_operator
from services.registry.application.streams import NAMES, Streams, no_answer, on_our_own, stream
from services.registry.domain import default_attachment as domain
from services.registry.domain.default_attachment import Delete, Set, SetFirst
from services.registry.domain.reach import (
    Attachment,
    DefaultAttachment,
    NetnsPattern,
    Template,
    VxlanRange,
    target_claim,
    target_for,
)
from services.registry.domain.targets import FIRST_DEVICE
from services.registry.projections import DEFAULT_ATTACHMENT, Resources
from services.registry.wire.default_attachments import default_message, default_of
from sidegate.api.registry.v1 import vpc_pb2

FIRST_CELL = "default"


class Defaults:
    def __init__(self, streams: Streams, resources: Resources) -> None:
        self._streams, self._resources = streams, resources

    async def set(self, cell: str, template: Template, context: CommandContext) -> vpc_pb2.DefaultAttachment:
        require_operator(context.principal)
        wanted = DefaultAttachment(cell or FIRST_CELL, template, context.at_ns)
        outcome = await self._streams.defaults.execute(
            _stream(wanted.cell), Set(wanted), context, lambda state, _: _shown(state), revision=_revision
        )
        return vpc_pb2.DefaultAttachment.FromString(outcome.response)

    async def begin(self, cell: str, namespaces: str, at: int) -> None:
        """Sets a pattern of namespaces for a cell that never had a default attachment."""
        first = DefaultAttachment(cell, NetnsPattern(namespaces, FIRST_DEVICE), at)
        context = on_our_own("BeginDefaultAttachment", at)
        await self._streams.defaults.execute(_stream(cell), SetFirst(first), context, no_answer)

    async def delete(self, cell: str, context: CommandContext) -> None:
        require_operator(context.principal)
        if await self._streams.first_answer(context) is not None:
            return
        named = cell or FIRST_CELL
        if await self._resources.get(DEFAULT_ATTACHMENT, named) is None:
            raise NotFound("default attachment of cell", named)
        await self._streams.defaults.execute(_stream(named), Delete(), context, no_answer, revision=_revision)

    async def of_new_vpc(self, vpc_id: str, context: CommandContext) -> tuple[Attachment, ...]:
        """What a VPC gets that a tenant makes; the operator attaches his own and those that he makes for others.

        What is chosen is the VPC's when its claims are stored, never before. Raises QuotaReached.
        """
        if context.principal.is_operator or context.principal.acting:
            return ()
        defaults = await self._resources.read(lambda now: now.listed(DEFAULT_ATTACHMENT, Window(MOST_CELLS)).items)
        return tuple([await self._attachment(default_of(each), vpc_id, context.at_ns) for each in defaults])

    async def _attachment(self, default: DefaultAttachment, vpc_id: str, at: int) -> Attachment:
        taken = {}
        if isinstance(default.template, VxlanRange):
            taken = await self._streams.holders(target_claim(default.cell, "vxlan/"))
        target = target_for(default, vpc_id, taken)
        return Attachment(_id(default.cell, vpc_id), vpc_id, default.cell, target, at)


def _stream(cell: str) -> str:
    return stream("default_attachment", cell)


def _id(cell: str, vpc_id: str) -> str:
    return str(uuid.uuid5(NAMES, f"{cell}/{vpc_id}"))


def _shown(state: domain.State) -> bytes:
    return stamped(default_message(domain.of(state))).SerializeToString(deterministic=True)


def _revision(state: domain.State, _version: int) -> int:
    """None that is there has the etag of one that is not."""
    return revision_of(default_message(state.default)) if isinstance(state, domain.Present) else 0
