"""What the endpoint service asks."""

from google.protobuf.empty_pb2 import Empty

from services.common.principal import Principal
from services.common.rpc.auth import require_system
from services.common.rpc.calls import Context
from services.common.rpc.command import command_context
from services.registry.application.inventory import Inventory
from services.registry.application.reservations import Reservations, Wanted
from sidegate.api.registry.v1 import registry_internal_service_pb2 as internal_pb2
from sidegate.api.registry.v1 import registry_internal_service_pb2_grpc as internal_grpc


class RegistryInternalServicer(internal_grpc.RegistryInternalServiceServicer):
    def __init__(self, reservations: Reservations, inventory: Inventory) -> None:
        self._reservations, self._inventory = reservations, inventory

    async def ReserveEndpointPort(
        self, request: internal_pb2.ReserveEndpointPortRequest, context: Context
    ) -> internal_pb2.ReserveEndpointPortResponse:
        require_system()
        owner = Principal(request.account, request.project)
        wanted = Wanted(request.endpoint_id, owner, request.service, request.subnet_id, request.address)
        port, terms = await self._reservations.reserve(wanted, command_context(request, "ReserveEndpointPort"))
        return internal_pb2.ReserveEndpointPortResponse(
            port=port,
            service=terms.service,
            consumer_attachments=terms.consumer,
            provider_attachments=terms.provider,
        )

    async def ReleaseEndpointPort(self, request: internal_pb2.ReleaseEndpointPortRequest, context: Context) -> Empty:
        require_system()
        await self._reservations.release(request.endpoint_id, command_context(request, "ReleaseEndpointPort"))
        return Empty()

    async def GetForwardingSources(
        self, request: internal_pb2.GetForwardingSourcesRequest, context: Context
    ) -> internal_pb2.GetForwardingSourcesResponse:
        require_system()
        services, attachments = await self._inventory.forwarding(
            request.service_ids, None if request.every_vpc else request.vpc_ids
        )
        return internal_pb2.GetForwardingSourcesResponse(services=services, attachments=attachments)
