"""The registry's public interface, in memory."""

from typing import Any

from google.protobuf.empty_pb2 import Empty

from sidegate.api.registry.v1 import names_pb2, registry_service_pb2, registry_service_pb2_grpc, watch_pb2
from sidegate.api.registry.v1.endpoint_service_pb2 import ConnectableService, EndpointService, PortMapping, PrivateName
from sidegate.api.registry.v1.vpc_pb2 import Attachment, DefaultAttachment, Port, RouteTable, Subnet, Vpc
from tests.support.fake_sidegate.shelf import Context, Feed, Shelf, page, replace


class FakeRegistry(registry_service_pb2_grpc.RegistryServiceServicer):
    def __init__(self) -> None:
        self.vpcs: Shelf[Vpc] = Shelf("vpc")
        self.subnets: Shelf[Subnet] = Shelf("subnet")
        self.route_tables: Shelf[RouteTable] = Shelf("route_table")
        self.ports: Shelf[Port] = Shelf("port")
        self.attachments: Shelf[Attachment] = Shelf("attachment")
        self.defaults: dict[str, DefaultAttachment] = {}
        self.services: Shelf[EndpointService] = Shelf("service")
        self.ended: list[str] = []
        self.forced: list[str] = []
        self.seconds_left: list[float] = []
        self.deletions: list[registry_service_pb2.DeleteVpcRequest] = []
        self.watched: Feed[watch_pb2.WatchResponse] = Feed()

    async def Watch(self, request: watch_pb2.WatchRequest, context: Context) -> Any:
        async for answer in self.watched.tell(request, context):
            yield answer

    async def CreateVpc(self, request: registry_service_pb2.CreateVpcRequest, context: Context) -> Vpc:
        vpc = request.vpc
        vpc.create_time.FromSeconds(1_700_000_000)
        return self.vpcs.add(vpc, request.request_id)

    async def GetVpc(self, request: registry_service_pb2.GetVpcRequest, context: Context) -> Vpc:
        self.seconds_left.append(context.time_remaining())
        return await self.vpcs.find(request.id, context)

    async def ListVpcs(
        self, request: registry_service_pb2.ListVpcsRequest, context: Context
    ) -> registry_service_pb2.ListVpcsResponse:
        vpcs, token = page(self.vpcs.values(), request)
        return registry_service_pb2.ListVpcsResponse(vpcs=vpcs, next_page_token=token)

    async def UpdateVpc(self, request: registry_service_pb2.UpdateVpcRequest, context: Context) -> Vpc:
        vpc = await self.vpcs.find(request.vpc.id, context)
        replace(vpc, request.vpc, request.update_mask.paths)
        return vpc

    async def DeleteVpc(self, request: registry_service_pb2.DeleteVpcRequest, context: Context) -> Empty:
        self.deletions.append(request)
        return Empty() if request.validate_only else await self.vpcs.take(request.id, context)

    async def SetResolver(self, request: names_pb2.SetResolverRequest, context: Context) -> Vpc:
        vpc = await self.vpcs.find(request.vpc_id, context)
        vpc.resolver.CopyFrom(request.resolver)
        vpc.resolver.address = vpc.resolver.address or "10.0.0.2"
        return vpc

    async def DeleteResolver(self, request: names_pb2.DeleteResolverRequest, context: Context) -> Vpc:
        vpc = await self.vpcs.find(request.vpc_id, context)
        vpc.ClearField("resolver")
        return vpc

    async def VerifyPrivateName(self, request: names_pb2.VerifyPrivateNameRequest, context: Context) -> EndpointService:
        service = await self.services.find(request.id, context)
        service.private_name.state = PrivateName.STATE_VERIFIED
        return service

    async def CreateSubnet(self, request: registry_service_pb2.CreateSubnetRequest, context: Context) -> Subnet:
        return self.subnets.add(request.subnet, request.request_id)

    async def GetSubnet(self, request: registry_service_pb2.GetSubnetRequest, context: Context) -> Subnet:
        return await self.subnets.find(request.id, context)

    async def ListSubnets(
        self, request: registry_service_pb2.ListSubnetsRequest, context: Context
    ) -> registry_service_pb2.ListSubnetsResponse:
        wanted = [each for each in self.subnets.values() if request.vpc_id in ("", each.vpc_id)]
        subnets, token = page(wanted, request)
        return registry_service_pb2.ListSubnetsResponse(subnets=subnets, next_page_token=token)

    async def UpdateSubnet(self, request: registry_service_pb2.UpdateSubnetRequest, context: Context) -> Subnet:
        subnet = await self.subnets.find(request.subnet.id, context)
        replace(subnet, request.subnet, request.update_mask.paths)
        return subnet

    async def DeleteSubnet(self, request: registry_service_pb2.DeleteSubnetRequest, context: Context) -> Empty:
        return await self.subnets.take(request.id, context)

    async def CreateRouteTable(
        self, request: registry_service_pb2.CreateRouteTableRequest, context: Context
    ) -> RouteTable:
        return self.route_tables.add(request.route_table, request.request_id)

    async def GetRouteTable(self, request: registry_service_pb2.GetRouteTableRequest, context: Context) -> RouteTable:
        return await self.route_tables.find(request.id, context)

    async def ListRouteTables(
        self, request: registry_service_pb2.ListRouteTablesRequest, context: Context
    ) -> registry_service_pb2.ListRouteTablesResponse:
        wanted = [each for each in self.route_tables.values() if request.vpc_id in ("", each.vpc_id)]
        tables, token = page(wanted, request)
        return registry_service_pb2.ListRouteTablesResponse(route_tables=tables, next_page_token=token)

    async def UpdateRouteTable(
        self, request: registry_service_pb2.UpdateRouteTableRequest, context: Context
    ) -> RouteTable:
        table = await self.route_tables.find(request.route_table.id, context)
        replace(table, request.route_table, request.update_mask.paths)
        return table

    async def DeleteRouteTable(self, request: registry_service_pb2.DeleteRouteTableRequest, context: Context) -> Empty:
        return await self.route_tables.take(request.id, context)

    async def CreatePort(self, request: registry_service_pb2.CreatePortRequest, context: Context) -> Port:
        port = request.port
        port.address = port.address or "10.0.0.2"
        return self.ports.add(port, request.request_id)

    async def GetPort(self, request: registry_service_pb2.GetPortRequest, context: Context) -> Port:
        return await self.ports.find(request.id, context)

    async def ListPorts(
        self, request: registry_service_pb2.ListPortsRequest, context: Context
    ) -> registry_service_pb2.ListPortsResponse:
        wanted = [each for each in self.ports.values() if request.subnet_id in ("", each.subnet_id)]
        ports, token = page(wanted, request)
        return registry_service_pb2.ListPortsResponse(ports=ports, next_page_token=token)

    async def DeletePort(self, request: registry_service_pb2.DeletePortRequest, context: Context) -> Empty:
        return await self.ports.take(request.id, context)

    async def CreateAttachment(
        self, request: registry_service_pb2.CreateAttachmentRequest, context: Context
    ) -> Attachment:
        return self.attachments.add(request.attachment, request.request_id)

    async def GetAttachment(self, request: registry_service_pb2.GetAttachmentRequest, context: Context) -> Attachment:
        return await self.attachments.find(request.id, context)

    async def ListAttachments(
        self, request: registry_service_pb2.ListAttachmentsRequest, context: Context
    ) -> registry_service_pb2.ListAttachmentsResponse:
        wanted = [each for each in self.attachments.values() if request.vpc_id in ("", each.vpc_id)]
        attachments, token = page(wanted, request)
        return registry_service_pb2.ListAttachmentsResponse(attachments=attachments, next_page_token=token)

    async def DeleteAttachment(self, request: registry_service_pb2.DeleteAttachmentRequest, context: Context) -> Empty:
        return await self.attachments.take(request.id, context)

    async def SetDefaultAttachment(
        self, request: registry_service_pb2.SetDefaultAttachmentRequest, context: Context
    ) -> DefaultAttachment:
        default = request.default_attachment
        default.cell = default.cell or "default"
        self.defaults[default.cell] = default
        return default

    async def ListDefaultAttachments(
        self, request: registry_service_pb2.ListDefaultAttachmentsRequest, context: Context
    ) -> registry_service_pb2.ListDefaultAttachmentsResponse:
        return registry_service_pb2.ListDefaultAttachmentsResponse(default_attachments=self.defaults.values())

    async def DeleteDefaultAttachment(
        self, request: registry_service_pb2.DeleteDefaultAttachmentRequest, context: Context
    ) -> Empty:
        del self.defaults[request.cell or "default"]
        return Empty()

    async def CreateEndpointService(
        self, request: registry_service_pb2.CreateEndpointServiceRequest, context: Context
    ) -> EndpointService:
        service = self.services.add(request.endpoint_service, request.request_id)
        service.full_name = f"region-1.{service.name}.{service.id}"
        service.state = EndpointService.STATE_AVAILABLE
        return service

    async def GetEndpointService(
        self, request: registry_service_pb2.GetEndpointServiceRequest, context: Context
    ) -> EndpointService:
        return await self.services.find(request.id, context)

    async def ListEndpointServices(
        self, request: registry_service_pb2.ListEndpointServicesRequest, context: Context
    ) -> registry_service_pb2.ListEndpointServicesResponse:
        self.listed = request
        services, token = page(self.services.values(), request)
        return registry_service_pb2.ListEndpointServicesResponse(endpoint_services=services, next_page_token=token)

    async def UpdateEndpointService(
        self, request: registry_service_pb2.UpdateEndpointServiceRequest, context: Context
    ) -> EndpointService:
        service = await self.services.find(request.endpoint_service.id, context)
        replace(service, request.endpoint_service, request.update_mask.paths)
        return service

    async def DeleteEndpointService(
        self, request: registry_service_pb2.DeleteEndpointServiceRequest, context: Context
    ) -> EndpointService:
        service = await self.services.find(request.id, context)
        service.state = EndpointService.STATE_DELETED
        self.forced += [request.id] * request.force
        return service

    async def AddPermissions(
        self, request: registry_service_pb2.AddPermissionsRequest, context: Context
    ) -> EndpointService:
        service = await self.services.find(request.service_id, context)
        service.permissions.extend([*request.permissions, *(each.permission for each in request.details)])
        service.permission_details.extend(request.details)
        return service

    async def RemovePermissions(
        self, request: registry_service_pb2.RemovePermissionsRequest, context: Context
    ) -> EndpointService:
        service = await self.services.find(request.service_id, context)
        self.ended += list(request.permissions) * request.end_connections
        left = [each for each in service.permissions if each not in request.permissions]
        service.permissions[:] = left
        return service

    async def LookupEndpointService(
        self, request: registry_service_pb2.LookupEndpointServiceRequest, context: Context
    ) -> ConnectableService:
        return connectable(await self.services.find(request.service.rpartition(".")[2], context))

    async def ListPlatformServices(
        self, request: registry_service_pb2.ListPlatformServicesRequest, context: Context
    ) -> registry_service_pb2.ListPlatformServicesResponse:
        ours = [each for each in self.services.values() if each.server_type == EndpointService.SERVER_TYPE_CLOUD]
        named = [each for each in ours if request.full_name_contains in each.full_name]
        found, token = page(named, request)
        return registry_service_pb2.ListPlatformServicesResponse(
            services=map(connectable, found), next_page_token=token
        )


def connectable(service: EndpointService) -> ConnectableService:
    """What its consumers may know of it."""
    ports = [PortMapping(client_port=each.client_port, protocol=each.protocol) for each in service.port_mappings]
    return ConnectableService(id=service.id, full_name=service.full_name, port_mappings=ports)
