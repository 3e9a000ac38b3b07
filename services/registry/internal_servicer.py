"""What our other programs ask."""

from google.protobuf.empty_pb2 import Empty

from services.common.identity.tokens import to_pem
from services.common.principal import Principal
from services.common.rpc.auth import NotProved
from services.common.rpc.calls import Context
from services.common.rpc.command import command_context
from services.common.rpc.recognition import Tokens as CarriedTokens
from services.registry.application.inventory import Inventory
from services.registry.application.reservations import Reservations, Wanted
from services.registry.application.resolvers import Resolvers
from services.registry.application.route_reservations import RouteReservations
from services.registry.application.tokens import Signed, Tokens
from services.registry.wire.accounts import ROLES
from sidegate.api.registry.v1 import registry_internal_service_pb2 as internal_pb2
from sidegate.api.registry.v1 import registry_internal_service_pb2_grpc as internal_grpc


class RegistryInternalServicer(internal_grpc.RegistryInternalServiceServicer):
    def __init__(
        self,
        reservations: Reservations,
        routes: RouteReservations,
        inventory: Inventory,
        tokens: Tokens,
        carried: CarriedTokens,
        *,
        resolvers: Resolvers,
    ) -> None:
        self._reservations, self._routes, self._inventory, self._tokens = reservations, routes, inventory, tokens
        self._carried, self._resolvers = carried, resolvers

    async def ReserveEndpointPort(
        self, request: internal_pb2.ReserveEndpointPortRequest, context: Context
    ) -> internal_pb2.ReserveEndpointPortResponse:
        owner = Principal(request.account, request.project)
        wanted = Wanted(
            request.endpoint_id,
            owner,
            request.service,
            request.subnet_id,
            request.address,
            request.vpc_id.lower(),
            request.route_tables,
        )
        made = await self._reservations.reserve(wanted, command_context(request, "ReserveEndpointPort"))
        log, terms = await self._inventory.log(), made.terms
        return internal_pb2.ReserveEndpointPortResponse(
            port=made.port,
            service=terms.service,
            consumer_attachments=terms.consumer,
            provider_attachments=terms.provider,
            log_id=log.log_id,
            log_epoch=log.epoch,
            route_tables=made.routes.tables,
            subnets=made.routes.subnets,
        )

    async def HoldRouteTables(
        self, request: internal_pb2.HoldRouteTablesRequest, context: Context
    ) -> internal_pb2.HoldRouteTablesResponse:
        owner = Principal(request.account, request.project)
        held = await self._routes.hold(
            request.endpoint_id,
            owner,
            request.vpc_id,
            request.route_tables,
            command_context(request, "HoldRouteTables"),
        )
        return internal_pb2.HoldRouteTablesResponse(route_tables=held.tables, subnets=held.subnets)

    async def ReleaseEndpointPort(self, request: internal_pb2.ReleaseEndpointPortRequest, context: Context) -> Empty:
        await self._reservations.release(request.endpoint_id, command_context(request, "ReleaseEndpointPort"))
        return Empty()

    async def GetForwardingSources(
        self, request: internal_pb2.GetForwardingSourcesRequest, context: Context
    ) -> internal_pb2.GetForwardingSourcesResponse:
        services, attachments = await self._inventory.forwarding(
            request.service_ids, None if request.every_vpc else request.vpc_ids
        )
        tables, subnets = await self._inventory.routed(request.route_table_ids)
        log = await self._inventory.log()
        return internal_pb2.GetForwardingSourcesResponse(
            services=services,
            attachments=attachments,
            log_id=log.log_id,
            log_epoch=log.epoch,
            route_tables=tables,
            subnets=subnets,
            resolving_vpcs=await self._resolvers.of(request.vpc_ids),
        )

    async def GetTokenTrust(
        self, request: internal_pb2.GetTokenTrustRequest, context: Context
    ) -> internal_pb2.GetTokenTrustResponse:
        issuer = self._tokens.issuer
        ended = [
            internal_pb2.EndedTokens(access_key=each.access_key, before_generation=each.before, at=each.at)
            for each in self._tokens.ended
        ]
        keys = [internal_pb2.TokenKey(id=kid, public_key=to_pem(key)) for kid, key in issuer.keys.items()]
        return internal_pb2.GetTokenTrustResponse(issuer=issuer.issuer, keys=keys, ended=ended)

    async def VerifySignature(
        self, request: internal_pb2.VerifySignatureRequest, context: Context
    ) -> internal_pb2.VerifySignatureResponse:
        signed = Signed(request.access_key, request.string_to_sign, request.signature, request.peer)
        found = await self._tokens.verify(signed)
        answer = internal_pb2.VerifySignatureResponse(
            account=found.key.account, project=found.key.project, role=ROLES[found.key.role], token=found.token
        )
        answer.expire_time.FromSeconds(found.ends)
        return answer

    async def VerifyToken(
        self, request: internal_pb2.VerifyTokenRequest, context: Context
    ) -> internal_pb2.VerifyTokenResponse:
        try:
            found = await self._carried.bearer(request.token, request.peer)
        except NotProved as error:
            raise NotProved(error.why, error.claimed, request.peer) from None
        return internal_pb2.VerifyTokenResponse(
            access_key=found.access_key, account=found.account, project=found.project, role=ROLES[found.role]
        )
