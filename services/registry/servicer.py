"""The public interface: requests to use cases, and back."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import TypeVar

from google.protobuf.empty_pb2 import Empty

from services.common.eventsourcing.selection import Selection
from services.common.labels import description_of
from services.common.rpc import paging
from services.common.rpc.auth import principal
from services.common.rpc.calls import Context
from services.common.rpc.command import command_context
from services.common.rpc.guard import check_changed
from services.common.rpc.listing import tags_shown
from services.common.rpc.service_settings import settings_of
from services.common.rpc.watch import place_of, watch_of
from services.common.watching.sight import Wish
from services.registry.application.publishing import Draft, Revision
from services.registry.application.registry import Registry
from services.registry.application.streams import new_id, stream
from services.registry.application.vpcs import Draft as VpcDraft
from services.registry.domain import public_prefixes
from services.registry.domain.service import CHANGEABLE
from services.registry.names_servicer import NamesMethods
from services.registry.projections import (
    ATTACHMENT,
    DEFAULT_ATTACHMENT,
    PORT,
    ROUTE_TABLE,
    SERVICE,
    SUBNET,
    VPC,
    Kind,
)
from services.registry.route_tables_servicer import RouteTableMethods
from services.registry.wire import selections
from services.registry.wire.default_attachments import parse_template
from services.registry.wire.networks import (
    SUBNET_FIELDS,
    VPC_FIELDS,
    parse_change,
    parse_cidrs,
    parse_subnet,
    parse_subnet_change,
    paths_of,
)
from services.registry.wire.permissions import parse_permissions
from services.registry.wire.private_names import parse_private_name
from services.registry.wire.profiles import (
    identity_of,
    ip_version_of,
    limits_of,
    parse_health_check,
    parse_rules,
    parse_tags,
    server_type_of,
    service_type_of,
)
from services.registry.wire.publications import parse_backends, parse_mappings
from services.registry.wire.services import connectable
from services.registry.wire.targets import parse_target
from sidegate.api.registry.v1 import endpoint_service_pb2 as service_pb2
from sidegate.api.registry.v1 import quota_pb2, vpc_pb2, watch_pb2
from sidegate.api.registry.v1 import registry_service_pb2 as registry_pb2
from sidegate.api.registry.v1 import registry_service_pb2_grpc as registry_grpc

KINDS = {
    watch_pb2.RESOURCE_KIND_VPC: VPC.name,
    watch_pb2.RESOURCE_KIND_SUBNET: SUBNET.name,
    watch_pb2.RESOURCE_KIND_PORT: PORT.name,
    watch_pb2.RESOURCE_KIND_ATTACHMENT: ATTACHMENT.name,
    watch_pb2.RESOURCE_KIND_SERVICE: SERVICE.name,
    watch_pb2.RESOURCE_KIND_ROUTE_TABLE: ROUTE_TABLE.name,
}
DESCRIPTION = "endpoint_service.description"
SAID_BY_THE_CONTRACT = frozenset(
    {"name", "approval_rules", "consumer_limits", "session_settings", "health_check", "private_name"}
)
"""Fields whose limits the contract has, and nobody else. Of what is created it is asked before we are."""

R = TypeVar("R")
ListRequest = (
    registry_pb2.ListVpcsRequest
    | registry_pb2.ListSubnetsRequest
    | registry_pb2.ListPortsRequest
    | registry_pb2.ListAttachmentsRequest
    | registry_pb2.ListDefaultAttachmentsRequest
    | registry_pb2.ListEndpointServicesRequest
)


class RegistryServicer(NamesMethods, RouteTableMethods, registry_grpc.RegistryServiceServicer):
    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def CreateVpc(self, request: registry_pb2.CreateVpcRequest, context: Context) -> vpc_pb2.Vpc:
        vpc, told = request.vpc, command_context(request, "CreateVpc")
        said, tags = description_of(vpc.description, "vpc.description"), parse_tags(vpc.tags, "vpc.tags")
        return await self._registry.vpcs.create(VpcDraft(vpc.name, parse_cidrs(vpc.cidrs), said, tags), told)

    async def GetVpc(self, request: registry_pb2.GetVpcRequest, context: Context) -> vpc_pb2.Vpc:
        return await self._registry.inventory.vpc(request.id, principal())

    async def ListVpcs(self, request: registry_pb2.ListVpcsRequest, context: Context) -> registry_pb2.ListVpcsResponse:
        vpcs, token, total = await self._page(VPC, request, selections.named(request))
        return registry_pb2.ListVpcsResponse(vpcs=vpcs, next_page_token=token, total_size=total)

    async def UpdateVpc(self, request: registry_pb2.UpdateVpcRequest, context: Context) -> vpc_pb2.Vpc:
        told = command_context(request, "UpdateVpc", request.vpc.etag)
        change = parse_change(request.vpc, paths_of(request.update_mask, VPC_FIELDS))
        return await self._registry.vpcs.change(request.vpc.id, change, told)

    async def DeleteVpc(self, request: registry_pb2.DeleteVpcRequest, context: Context) -> Empty:
        await self._registry.vpcs.delete(request.id, command_context(request, "DeleteVpc", request.etag))
        return Empty()

    async def CreateSubnet(self, request: registry_pb2.CreateSubnetRequest, context: Context) -> vpc_pb2.Subnet:
        subnet, told = request.subnet, command_context(request, "CreateSubnet")
        made = parse_subnet(subnet, new_id(told), told.at_ns)
        return await self._registry.subnets.create(subnet.vpc_id, made, told)

    async def GetSubnet(self, request: registry_pb2.GetSubnetRequest, context: Context) -> vpc_pb2.Subnet:
        return await self._registry.inventory.owned(SUBNET, request.id, principal())

    async def ListSubnets(
        self, request: registry_pb2.ListSubnetsRequest, context: Context
    ) -> registry_pb2.ListSubnetsResponse:
        subnets, token, total = await self._page(SUBNET, request, selections.named(request), request.vpc_id)
        return registry_pb2.ListSubnetsResponse(subnets=subnets, next_page_token=token, total_size=total)

    async def UpdateSubnet(self, request: registry_pb2.UpdateSubnetRequest, context: Context) -> vpc_pb2.Subnet:
        told = command_context(request, "UpdateSubnet", request.subnet.etag)
        change = parse_subnet_change(request.subnet, paths_of(request.update_mask, SUBNET_FIELDS))
        return await self._registry.subnets.change(change, told)

    async def DeleteSubnet(self, request: registry_pb2.DeleteSubnetRequest, context: Context) -> Empty:
        await self._registry.subnets.delete(request.id, command_context(request, "DeleteSubnet", request.etag))
        return Empty()

    async def CreatePort(self, request: registry_pb2.CreatePortRequest, context: Context) -> vpc_pb2.Port:
        port, told = request.port, command_context(request, "CreatePort")
        return await self._registry.ports.create(port.subnet_id, port.address, port.holder, told)

    async def GetPort(self, request: registry_pb2.GetPortRequest, context: Context) -> vpc_pb2.Port:
        return await self._registry.inventory.owned(PORT, request.id, principal())

    async def ListPorts(
        self, request: registry_pb2.ListPortsRequest, context: Context
    ) -> registry_pb2.ListPortsResponse:
        ports, token, total = await self._page(PORT, request, selections.ports(request), request.subnet_id)
        return registry_pb2.ListPortsResponse(ports=ports, next_page_token=token, total_size=total)

    async def DeletePort(self, request: registry_pb2.DeletePortRequest, context: Context) -> Empty:
        await self._registry.ports.delete(request.id, command_context(request, "DeletePort"))
        return Empty()

    async def CreateAttachment(
        self, request: registry_pb2.CreateAttachmentRequest, context: Context
    ) -> vpc_pb2.Attachment:
        wanted, told = request.attachment, command_context(request, "CreateAttachment")
        target = parse_target(wanted)
        return await self._registry.attachments.create(wanted.vpc_id, wanted.cell, target, told)

    async def GetAttachment(self, request: registry_pb2.GetAttachmentRequest, context: Context) -> vpc_pb2.Attachment:
        return await self._registry.inventory.attachment(request.id, principal())

    async def ListAttachments(
        self, request: registry_pb2.ListAttachmentsRequest, context: Context
    ) -> registry_pb2.ListAttachmentsResponse:
        attachments, token, total = await self._page(
            ATTACHMENT, request, selections.attachments(request), request.vpc_id, request.cell
        )
        return registry_pb2.ListAttachmentsResponse(attachments=attachments, next_page_token=token, total_size=total)

    async def DeleteAttachment(self, request: registry_pb2.DeleteAttachmentRequest, context: Context) -> Empty:
        await self._registry.attachments.delete(request.id, command_context(request, "DeleteAttachment"))
        return Empty()

    async def SetDefaultAttachment(
        self, request: registry_pb2.SetDefaultAttachmentRequest, context: Context
    ) -> vpc_pb2.DefaultAttachment:
        wanted, told = (
            request.default_attachment,
            command_context(request, "SetDefaultAttachment", request.default_attachment.etag),
        )
        return await self._registry.defaults.set(wanted.cell, parse_template(wanted), told)

    async def ListDefaultAttachments(
        self, request: registry_pb2.ListDefaultAttachmentsRequest, context: Context
    ) -> registry_pb2.ListDefaultAttachmentsResponse:
        defaults, token, total = await self._page(DEFAULT_ATTACHMENT, request, selections.defaults(request))
        return registry_pb2.ListDefaultAttachmentsResponse(
            default_attachments=defaults, next_page_token=token, total_size=total
        )

    async def DeleteDefaultAttachment(
        self, request: registry_pb2.DeleteDefaultAttachmentRequest, context: Context
    ) -> Empty:
        told = command_context(request, "DeleteDefaultAttachment", request.etag)
        await self._registry.defaults.delete(request.cell, told)
        return Empty()

    async def CreateEndpointService(
        self, request: registry_pb2.CreateEndpointServiceRequest, context: Context
    ) -> service_pb2.EndpointService:
        wanted, told = request.endpoint_service, command_context(request, "CreateEndpointService")
        return await self._registry.publishing.create(_draft(wanted), told)

    async def GetEndpointService(
        self, request: registry_pb2.GetEndpointServiceRequest, context: Context
    ) -> service_pb2.EndpointService:
        return await self._registry.inventory.owned(SERVICE, request.id, principal())

    async def ListEndpointServices(
        self, request: registry_pb2.ListEndpointServicesRequest, context: Context
    ) -> registry_pb2.ListEndpointServicesResponse:
        services, token, total = await self._page(SERVICE, request, selections.services(request))
        return registry_pb2.ListEndpointServicesResponse(
            endpoint_services=services, next_page_token=token, total_size=total
        )

    async def UpdateEndpointService(
        self, request: registry_pb2.UpdateEndpointServiceRequest, context: Context
    ) -> service_pb2.EndpointService:
        told = command_context(request, "UpdateEndpointService", request.endpoint_service.etag)
        return await self._registry.publishing.change(request.endpoint_service.id, _revision(request), told)

    async def DeleteEndpointService(
        self, request: registry_pb2.DeleteEndpointServiceRequest, context: Context
    ) -> service_pb2.EndpointService:
        told = command_context(request, "DeleteEndpointService", request.etag)
        return await self._registry.deletions.delete(request.id, request.force, told)

    async def AddPermissions(
        self, request: registry_pb2.AddPermissionsRequest, context: Context
    ) -> service_pb2.EndpointService:
        told = command_context(request, "AddPermissions", request.etag)
        permissions, said = parse_permissions(request)
        return await self._registry.publishing.add_permissions(request.service_id, permissions, said, told)

    async def RemovePermissions(
        self, request: registry_pb2.RemovePermissionsRequest, context: Context
    ) -> service_pb2.EndpointService:
        told = command_context(request, "RemovePermissions", request.etag)
        permissions, end = request.permissions, request.end_connections
        return await self._registry.publishing.remove_permissions(request.service_id, permissions, end, told)

    async def LookupEndpointService(
        self, request: registry_pb2.LookupEndpointServiceRequest, context: Context
    ) -> service_pb2.ConnectableService:
        return await self._registry.publishing.find(request.service, principal())

    async def ListPlatformServices(
        self, request: registry_pb2.ListPlatformServicesRequest, context: Context
    ) -> registry_pb2.ListPlatformServicesResponse:
        asked, selection = paging.asked(request), selections.platform_services(request)
        found = await self._registry.inventory.platform(asked.window, selection)
        services, token = asked.cut(found)
        return registry_pb2.ListPlatformServicesResponse(
            services=map(connectable, services), next_page_token=token, total_size=found.total
        )

    async def ListEndpointServiceTags(
        self, request: registry_pb2.ListEndpointServiceTagsRequest, context: Context
    ) -> registry_pb2.ListEndpointServiceTagsResponse:
        asked = paging.asked_of_tags(request)
        found = await self._registry.inventory.tags(SERVICE, principal(), asked.after, asked.size + 1)
        tags, token = asked.cut(found)
        return registry_pb2.ListEndpointServiceTagsResponse(tags=tags_shown(tags), next_page_token=token)

    async def GetServiceQuota(self, request: registry_pb2.GetServiceQuotaRequest, context: Context) -> quota_pb2.Quota:
        used, limit = await self._registry.publishing.quota(principal())
        return quota_pb2.Quota(used=used, limit=limit)

    async def Watch(self, request: watch_pb2.WatchRequest, context: Context) -> AsyncIterator[watch_pb2.WatchResponse]:
        kinds = frozenset(KINDS[kind] for kind in request.kinds)
        alone = stream("service", request.id) if request.id and kinds == {SERVICE.name} else ""
        watch = watch_of(principal(), Wish(kinds, request.id, stream=alone))
        async with aclosing(self._registry.watching.watch(watch, place_of(request))) as answers:
            async for told in answers:
                yield watch_pb2.WatchResponse(
                    position=told.position, log_id=told.log_id, epoch=told.epoch, changes=told.changes
                )

    async def _page(
        self, kind: Kind[R], request: ListRequest, selection: Selection, parent: str = "", cell: str = ""
    ) -> tuple[list[R], str, int]:
        """One page of the caller's resources, the token of the next, and how many there are if that is asked."""
        asked = paging.asked(request)
        found = await self._registry.inventory.listed(
            kind, principal(), asked.window, parent=parent.lower(), cell=cell, selection=selection
        )
        return *asked.cut(found), found.total


def _draft(wanted: service_pb2.EndpointService) -> Draft:
    return Draft(
        name=wanted.name,
        vpc_id=wanted.vpc_id,
        backends=parse_backends(wanted.backends),
        port_mappings=parse_mappings(wanted.port_mappings),
        approval_required=wanted.approval_required,
        description=description_of(wanted.description, DESCRIPTION),
        tags=parse_tags(wanted.tags),
        client_identity=identity_of(wanted.client_identity),
        service_type=service_type_of(wanted.service_type),
        server_type=server_type_of(wanted.server_type),
        approval_rules=parse_rules(wanted.approval_rules),
        consumer_limits=limits_of(wanted.consumer_limits),
        policy_enabled=wanted.policy_enabled,
        session_settings=settings_of(wanted.session_settings),
        health_check=parse_health_check(wanted),
        ip_version=ip_version_of(wanted.ip_version),
        private_name=parse_private_name(wanted),
        public_prefixes=public_prefixes.parse(wanted.public_prefixes),
    )


def _revision(request: registry_pb2.UpdateEndpointServiceRequest) -> Revision:
    wanted, paths = request.endpoint_service, paths_of(request.update_mask, CHANGEABLE)
    check_changed(wanted, paths & SAID_BY_THE_CONTRACT, "endpoint_service")
    return Revision(
        backends=parse_backends(wanted.backends) if "backends" in paths else None,
        port_mappings=parse_mappings(wanted.port_mappings) if "port_mappings" in paths else None,
        approval_required=wanted.approval_required if "approval_required" in paths else None,
        description=description_of(wanted.description, DESCRIPTION) if "description" in paths else None,
        tags=parse_tags(wanted.tags) if "tags" in paths else None,
        client_identity=identity_of(wanted.client_identity) if "client_identity" in paths else None,
        approval_rules=parse_rules(wanted.approval_rules) if "approval_rules" in paths else None,
        consumer_limits=limits_of(wanted.consumer_limits) if "consumer_limits" in paths else None,
        name=wanted.name if "name" in paths else None,
        session_settings=settings_of(wanted.session_settings) if "session_settings" in paths else None,
        health_check=parse_health_check(wanted) if "health_check" in paths else None,
        private_name=parse_private_name(wanted) if "private_name" in paths else None,
    )
