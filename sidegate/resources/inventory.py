"""VPCs, subnets, ports and attachments."""

from collections.abc import AsyncIterator, Sequence

from sidegate.api.registry.v1 import registry_service_pb2 as rpc
from sidegate.api.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from sidegate.api.registry.v1.vpc_pb2 import (
    Attachment,
    InterfaceTarget,
    NetnsTarget,
    Port,
    Subnet,
    Vpc,
    VxlanTarget,
)
from sidegate.api.registry.v1.watch_pb2 import (
    RESOURCE_KIND_ATTACHMENT,
    RESOURCE_KIND_PORT,
    RESOURCE_KIND_SUBNET,
    RESOURCE_KIND_VPC,
    WatchResponse,
)
from sidegate.resources.changes import watch_registry
from sidegate.transport import Caller
from sidegate.watching import Begin, Interrupted, Watch

Target = NetnsTarget | VxlanTarget | InterfaceTarget
"""What an attachment reaches."""


class Vpcs:
    """Private networks."""

    def __init__(self, caller: Caller) -> None:
        self._caller, self._stub = caller, RegistryServiceStub(caller.channel)

    async def create(self, name: str, cidrs: Sequence[str], *, request_id: str = "") -> Vpc:
        request = rpc.CreateVpcRequest(vpc=Vpc(name=name, cidrs=cidrs), request_id=request_id)
        return await self._caller.write(self._stub.CreateVpc, request)

    async def get(self, id: str) -> Vpc:
        return await self._caller.ask(self._stub.GetVpc, rpc.GetVpcRequest(id=id))

    async def list(self) -> AsyncIterator[Vpc]:
        async for page in self._caller.pages(self._stub.ListVpcs, rpc.ListVpcsRequest()):
            for vpc in page.vpcs:
                yield vpc

    async def delete(self, id: str, *, etag: str = "", request_id: str = "") -> None:
        await self._caller.write(self._stub.DeleteVpc, rpc.DeleteVpcRequest(id=id, etag=etag, request_id=request_id))

    def watch(
        self, *, id: str = "", after: Begin = None, interrupted: Interrupted | None = None
    ) -> Watch[WatchResponse]:
        """What happens to the project's VPCs, or to the one."""
        return watch_registry(self._caller, [RESOURCE_KIND_VPC], id=id, after=after, interrupted=interrupted)


class Subnets:
    """Parts of a VPC in which addresses are given out."""

    def __init__(self, caller: Caller) -> None:
        self._caller, self._stub = caller, RegistryServiceStub(caller.channel)

    async def create(self, name: str, vpc_id: str, cidr: str, *, request_id: str = "") -> Subnet:
        subnet = Subnet(name=name, vpc_id=vpc_id, cidr=cidr)
        request = rpc.CreateSubnetRequest(subnet=subnet, request_id=request_id)
        return await self._caller.write(self._stub.CreateSubnet, request)

    async def get(self, id: str) -> Subnet:
        return await self._caller.ask(self._stub.GetSubnet, rpc.GetSubnetRequest(id=id))

    async def list(self, vpc_id: str = "") -> AsyncIterator[Subnet]:
        async for page in self._caller.pages(self._stub.ListSubnets, rpc.ListSubnetsRequest(vpc_id=vpc_id)):
            for subnet in page.subnets:
                yield subnet

    async def delete(self, id: str, *, request_id: str = "") -> None:
        await self._caller.write(self._stub.DeleteSubnet, rpc.DeleteSubnetRequest(id=id, request_id=request_id))

    def watch(
        self, *, id: str = "", after: Begin = None, interrupted: Interrupted | None = None
    ) -> Watch[WatchResponse]:
        """What happens to the project's subnets, or to the one."""
        return watch_registry(self._caller, [RESOURCE_KIND_SUBNET], id=id, after=after, interrupted=interrupted)


class Ports:
    """Addresses in use. `holder` is "machine/<name>"; the lowest free address is taken where none is given."""

    def __init__(self, caller: Caller) -> None:
        self._caller, self._stub = caller, RegistryServiceStub(caller.channel)

    async def create(self, subnet_id: str, holder: str, address: str = "", *, request_id: str = "") -> Port:
        port = Port(subnet_id=subnet_id, holder=holder, address=address)
        return await self._caller.write(self._stub.CreatePort, rpc.CreatePortRequest(port=port, request_id=request_id))

    async def get(self, id: str) -> Port:
        return await self._caller.ask(self._stub.GetPort, rpc.GetPortRequest(id=id))

    async def list(self, subnet_id: str = "") -> AsyncIterator[Port]:
        async for page in self._caller.pages(self._stub.ListPorts, rpc.ListPortsRequest(subnet_id=subnet_id)):
            for port in page.ports:
                yield port

    async def delete(self, id: str, *, request_id: str = "") -> None:
        await self._caller.write(self._stub.DeletePort, rpc.DeletePortRequest(id=id, request_id=request_id))

    def watch(
        self, *, id: str = "", after: Begin = None, interrupted: Interrupted | None = None
    ) -> Watch[WatchResponse]:
        """What happens to the project's ports, or to the one."""
        return watch_registry(self._caller, [RESOURCE_KIND_PORT], id=id, after=after, interrupted=interrupted)


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

    async def delete(self, id: str, *, request_id: str = "") -> None:
        await self._caller.write(self._stub.DeleteAttachment, rpc.DeleteAttachmentRequest(id=id, request_id=request_id))

    def watch(
        self, *, id: str = "", after: Begin = None, interrupted: Interrupted | None = None
    ) -> Watch[WatchResponse]:
        """What happens to attachments, or to the one."""
        return watch_registry(self._caller, [RESOURCE_KIND_ATTACHMENT], id=id, after=after, interrupted=interrupted)
