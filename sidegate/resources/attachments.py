"""Attachments, and how cells attach VPCs by default: the operator's."""

from collections.abc import AsyncIterator, Sequence

from sidegate.api.registry.v1 import registry_service_pb2 as rpc
from sidegate.api.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from sidegate.api.registry.v1.vpc_pb2 import (
    Attachment,
    DefaultAttachment,
    InterfaceTarget,
    NetnsPattern,
    NetnsTarget,
    VxlanRange,
    VxlanTarget,
)
from sidegate.api.registry.v1.watch_pb2 import RESOURCE_KIND_ATTACHMENT, WatchResponse
from sidegate.resources.changes import watch_registry
from sidegate.resources.paging import SIZE, Page
from sidegate.transport import Caller
from sidegate.watching import Begin, Interrupted, Watch

Target = NetnsTarget | VxlanTarget | InterfaceTarget
"""What an attachment reaches."""


class Attachments:
    """How gateways reach VPCs: the operator's."""

    def __init__(self, caller: Caller) -> None:
        self._caller, self._stub = caller, RegistryServiceStub(caller.channel)

    async def create(self, vpc_id: str, target: Target, cell: str = "", *, request_id: str = "") -> Attachment:
        attachment = Attachment(vpc_id=vpc_id, cell=cell)
        match target:
            case NetnsTarget():
                attachment.netns.CopyFrom(target)
            case VxlanTarget():
                attachment.vxlan.CopyFrom(target)
            case InterfaceTarget():
                attachment.interface.CopyFrom(target)
        request = rpc.CreateAttachmentRequest(attachment=attachment, request_id=request_id)
        return await self._caller.write(self._stub.CreateAttachment, request)

    async def get(self, id: str) -> Attachment:
        return await self._caller.ask(self._stub.GetAttachment, rpc.GetAttachmentRequest(id=id))

    async def list(self, vpc_id: str = "") -> AsyncIterator[Attachment]:
        async for page in self._caller.pages(self._stub.ListAttachments, rpc.ListAttachmentsRequest(vpc_id=vpc_id)):
            for attachment in page.attachments:
                yield attachment

    async def page(
        self, *, skip: int = 0, size: int = SIZE, vpc_id: str = "", cell: str = "", ids: Sequence[str] = ()
    ) -> Page[Attachment]:
        """So many of those of the VPC and cell, behind as many others, and how many there are."""
        request = rpc.ListAttachmentsRequest(
            page_size=size, skip=skip, want_total=True, vpc_id=vpc_id, cell=cell, ids=ids
        )
        answer = await self._caller.ask(self._stub.ListAttachments, request)
        return Page(answer.attachments, answer.total_size)

    async def delete(self, id: str, *, request_id: str = "") -> None:
        await self._caller.write(self._stub.DeleteAttachment, rpc.DeleteAttachmentRequest(id=id, request_id=request_id))

    async def set_default(
        self, target: NetnsPattern | VxlanRange, cell: str = "", *, request_id: str = ""
    ) -> DefaultAttachment:
        """Says how VPCs are attached in a cell that tenants make from now on."""
        default = DefaultAttachment(cell=cell)
        match target:
            case NetnsPattern():
                default.netns.CopyFrom(target)
            case VxlanRange():
                default.vxlan.CopyFrom(target)
        request = rpc.SetDefaultAttachmentRequest(default_attachment=default, request_id=request_id)
        return await self._caller.write(self._stub.SetDefaultAttachment, request)

    async def list_defaults(self) -> AsyncIterator[DefaultAttachment]:
        request = rpc.ListDefaultAttachmentsRequest()
        async for page in self._caller.pages(self._stub.ListDefaultAttachments, request):
            for default in page.default_attachments:
                yield default

    async def delete_default(self, cell: str = "", *, request_id: str = "") -> None:
        request = rpc.DeleteDefaultAttachmentRequest(cell=cell, request_id=request_id)
        await self._caller.write(self._stub.DeleteDefaultAttachment, request)

    def watch(
        self, *, id: str = "", after: Begin = None, interrupted: Interrupted | None = None
    ) -> Watch[WatchResponse]:
        """What happens to attachments, or to the one."""
        return watch_registry(self._caller, [RESOURCE_KIND_ATTACHMENT], id=id, after=after, interrupted=interrupted)
