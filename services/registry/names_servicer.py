"""The public interface of names in DNS: the resolvers of VPCs, and the private names of services."""

from services.common.rpc.calls import Context
from services.common.rpc.command import command_context
from services.registry.application.registry import Registry
from services.registry.application.resolvers import Draft
from sidegate.api.registry.v1 import endpoint_service_pb2 as service_pb2
from sidegate.api.registry.v1 import names_pb2, vpc_pb2


class NamesMethods:
    """A part of the RegistryService."""

    _registry: Registry

    async def SetResolver(self, request: names_pb2.SetResolverRequest, context: Context) -> vpc_pb2.Vpc:
        wanted, told = request.resolver, command_context(request, "SetResolver", request.etag)
        draft = Draft(wanted.subnet_id, wanted.address, tuple(wanted.forwarders))
        return await self._registry.resolvers.set(request.vpc_id, draft, told)

    async def DeleteResolver(self, request: names_pb2.DeleteResolverRequest, context: Context) -> vpc_pb2.Vpc:
        told = command_context(request, "DeleteResolver", request.etag)
        return await self._registry.resolvers.delete(request.vpc_id, told)

    async def VerifyPrivateName(
        self, request: names_pb2.VerifyPrivateNameRequest, context: Context
    ) -> service_pb2.EndpointService:
        told = command_context(request, "VerifyPrivateName", request.etag)
        return await self._registry.names.verify(request.id, told)
