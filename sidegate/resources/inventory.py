"""VPCs, subnets and ports."""

from collections.abc import AsyncIterator, Mapping, Sequence

from google.protobuf.field_mask_pb2 import FieldMask

from sidegate.api.registry.v1 import registry_service_pb2 as rpc
from sidegate.api.registry.v1.names_pb2 import DeleteResolverRequest, SetResolverRequest
from sidegate.api.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from sidegate.api.registry.v1.tag_pb2 import Tag
from sidegate.api.registry.v1.vpc_pb2 import Port, Resolver, Subnet, Vpc
from sidegate.api.registry.v1.watch_pb2 import (
    RESOURCE_KIND_PORT,
    RESOURCE_KIND_SUBNET,
    RESOURCE_KIND_VPC,
    WatchResponse,
)
from sidegate.resources.changes import watch_registry
from sidegate.resources.paging import SIZE, Page
from sidegate.transport import Caller
from sidegate.watching import Begin, Interrupted, Watch


class Vpcs:
    """Private networks."""

    def __init__(self, caller: Caller) -> None:
        self._caller, self._stub = caller, RegistryServiceStub(caller.channel)

    async def create(
        self,
        name: str,
        cidrs: Sequence[str],
        *,
        description: str = "",
        tags: Sequence[Tag] = (),
        request_id: str = "",
    ) -> Vpc:
        vpc = Vpc(name=name, cidrs=cidrs, description=description, tags=tags)
        return await self._caller.write(self._stub.CreateVpc, rpc.CreateVpcRequest(vpc=vpc, request_id=request_id))

    async def get(self, id: str) -> Vpc:
        return await self._caller.ask(self._stub.GetVpc, rpc.GetVpcRequest(id=id))

    async def list(self) -> AsyncIterator[Vpc]:
        async for page in self._caller.pages(self._stub.ListVpcs, rpc.ListVpcsRequest()):
            for vpc in page.vpcs:
                yield vpc

    async def page(
        self, *, skip: int = 0, size: int = SIZE, name_contains: str = "", ids: Sequence[str] = ()
    ) -> Page[Vpc]:
        """So many of those with this in their name, behind as many others, and how many there are."""
        request = rpc.ListVpcsRequest(page_size=size, skip=skip, want_total=True, name_contains=name_contains, ids=ids)
        answer = await self._caller.ask(self._stub.ListVpcs, request)
        return Page(answer.vpcs, answer.total_size)

    async def update(
        self,
        id: str,
        *,
        name: str | None = None,
        cidrs: Sequence[str] | None = None,
        description: str | None = None,
        tags: Sequence[Tag] | None = None,
        etag: str = "",
        request_id: str = "",
    ) -> Vpc:
        """Changes what is given; what is None stays."""
        changes = {"name": name, "cidrs": cidrs, "description": description, "tags": tags}
        vpc = Vpc(id=id, etag=etag, name=name or "", cidrs=cidrs or (), description=description or "", tags=tags or ())
        request = rpc.UpdateVpcRequest(vpc=vpc, update_mask=_mask(changes), request_id=request_id)
        return await self._caller.write(self._stub.UpdateVpc, request)

    async def delete(self, id: str, *, etag: str = "", request_id: str = "") -> None:
        await self._caller.write(self._stub.DeleteVpc, rpc.DeleteVpcRequest(id=id, etag=etag, request_id=request_id))

    async def set_resolver(
        self,
        id: str,
        subnet_id: str,
        *,
        address: str = "",
        forwarders: Sequence[str] = (),
        etag: str = "",
        request_id: str = "",
    ) -> Vpc:
        """Gives the VPC a DNS server of its own, or changes the one that it has. Without an address it keeps the one
        that it has in this subnet, or gets a free one; without forwarders, names that are not Sidegate's are refused.
        """
        resolver = Resolver(subnet_id=subnet_id, address=address, forwarders=forwarders)
        request = SetResolverRequest(vpc_id=id, resolver=resolver, etag=etag, request_id=request_id)
        return await self._caller.write(self._stub.SetResolver, request)

    async def delete_resolver(self, id: str, *, etag: str = "", request_id: str = "") -> Vpc:
        """Takes the VPC's DNS server away; again is not an error."""
        request = DeleteResolverRequest(vpc_id=id, etag=etag, request_id=request_id)
        return await self._caller.write(self._stub.DeleteResolver, request)

    def watch(
        self, *, id: str = "", after: Begin = None, interrupted: Interrupted | None = None
    ) -> Watch[WatchResponse]:
        """What happens to the project's VPCs, or to the one."""
        return watch_registry(self._caller, [RESOURCE_KIND_VPC], id=id, after=after, interrupted=interrupted)


class Subnets:
    """Parts of a VPC in which addresses are given out."""

    def __init__(self, caller: Caller) -> None:
        self._caller, self._stub = caller, RegistryServiceStub(caller.channel)

    async def create(
        self,
        name: str,
        vpc_id: str,
        cidr: str,
        *,
        description: str = "",
        tags: Sequence[Tag] = (),
        dns_servers: Sequence[str] = (),
        dhcp_enabled: bool = False,
        availability_zone: str = "",
        request_id: str = "",
    ) -> Subnet:
        subnet = Subnet(
            name=name,
            vpc_id=vpc_id,
            cidr=cidr,
            description=description,
            tags=tags,
            dns_servers=dns_servers,
            dhcp_enabled=dhcp_enabled,
            availability_zone=availability_zone,
        )
        request = rpc.CreateSubnetRequest(subnet=subnet, request_id=request_id)
        return await self._caller.write(self._stub.CreateSubnet, request)

    async def get(self, id: str) -> Subnet:
        return await self._caller.ask(self._stub.GetSubnet, rpc.GetSubnetRequest(id=id))

    async def list(self, vpc_id: str = "") -> AsyncIterator[Subnet]:
        async for page in self._caller.pages(self._stub.ListSubnets, rpc.ListSubnetsRequest(vpc_id=vpc_id)):
            for subnet in page.subnets:
                yield subnet

    async def page(self, *, skip: int = 0, size: int = SIZE, vpc_id: str = "", ids: Sequence[str] = ()) -> Page[Subnet]:
        """So many, behind as many others, and how many there are."""
        request = rpc.ListSubnetsRequest(page_size=size, skip=skip, want_total=True, vpc_id=vpc_id, ids=ids)
        answer = await self._caller.ask(self._stub.ListSubnets, request)
        return Page(answer.subnets, answer.total_size)

    async def update(
        self,
        id: str,
        *,
        name: str | None = None,
        description: str | None = None,
        tags: Sequence[Tag] | None = None,
        dns_servers: Sequence[str] | None = None,
        dhcp_enabled: bool | None = None,
        request_id: str = "",
    ) -> Subnet:
        """Changes what is given; what is None stays."""
        changes = {
            "name": name,
            "description": description,
            "tags": tags,
            "dns_servers": dns_servers,
            "dhcp_enabled": dhcp_enabled,
        }
        subnet = Subnet(
            id=id,
            name=name or "",
            description=description or "",
            tags=tags or (),
            dns_servers=dns_servers or (),
            dhcp_enabled=dhcp_enabled or False,
        )
        request = rpc.UpdateSubnetRequest(subnet=subnet, update_mask=_mask(changes), request_id=request_id)
        return await self._caller.write(self._stub.UpdateSubnet, request)

    async def delete(self, id: str, *, request_id: str = "") -> None:
        await self._caller.write(self._stub.DeleteSubnet, rpc.DeleteSubnetRequest(id=id, request_id=request_id))

    def watch(
        self, *, id: str = "", after: Begin = None, interrupted: Interrupted | None = None
    ) -> Watch[WatchResponse]:
        """What happens to the project's subnets, or to the one."""
        return watch_registry(self._caller, [RESOURCE_KIND_SUBNET], id=id, after=after, interrupted=interrupted)


class Ports:
    """Addresses in use. `holder` is "machine/<name>"; a free address is taken where none is given."""

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

    async def page(
        self,
        *,
        skip: int = 0,
        size: int = SIZE,
        vpc_id: str = "",
        subnet_id: str = "",
        holder_contains: str = "",
        ids: Sequence[str] = (),
    ) -> Page[Port]:
        """So many of those that fit, behind as many others, and how many there are."""
        request = rpc.ListPortsRequest(
            page_size=size,
            skip=skip,
            want_total=True,
            vpc_id=vpc_id,
            subnet_id=subnet_id,
            holder_contains=holder_contains,
            ids=ids,
        )
        answer = await self._caller.ask(self._stub.ListPorts, request)
        return Page(answer.ports, answer.total_size)

    async def delete(self, id: str, *, request_id: str = "") -> None:
        await self._caller.write(self._stub.DeletePort, rpc.DeletePortRequest(id=id, request_id=request_id))

    def watch(
        self, *, id: str = "", after: Begin = None, interrupted: Interrupted | None = None
    ) -> Watch[WatchResponse]:
        """What happens to the project's ports, or to the one."""
        return watch_registry(self._caller, [RESOURCE_KIND_PORT], id=id, after=after, interrupted=interrupted)


def _mask(changes: Mapping[str, object]) -> FieldMask:
    return FieldMask(paths=[path for path, value in changes.items() if value is not None])
