"""The registry, asked by gRPC."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import TypeVar

import grpc

from services.common import errors as refusals
from services.common.addressing import address_of, networks_of
from services.common.clock import SECOND
from services.common.principal import Principal
from services.common.rpc.service_settings import health_check_of, settings_of
from services.common.service_settings import HealthCheck
from services.endpoint.application.registry import (
    PublishedService,
    Removal,
    Reservation,
    Rules,
    Sources,
    Tables,
)
from services.endpoint.domain.forwarding import UNKNOWN_LOG, Backend, Protocol, RegistryLog
from services.endpoint.domain.routes import Place
from services.endpoint.domain.targets import Target
from services.endpoint.wire.forwarding import limits_of, port_mapping
from services.endpoint.wire.labels import read_tags
from services.endpoint.wire.resolvers import resolver_of
from services.endpoint.wire.targets import target_of
from sidegate import errors, transport
from sidegate.api.registry.v1 import endpoint_service_pb2 as service_pb
from sidegate.api.registry.v1 import registry_internal_service_pb2 as internal_pb
from sidegate.api.registry.v1 import registry_internal_service_pb2_grpc as internal_grpc
from sidegate.api.registry.v1 import vpc_pb2 as vpc_pb

GONE = {service_pb.EndpointService.STATE_DELETING, service_pb.EndpointService.STATE_DELETED}
REFUSALS: Mapping[type[errors.SidegateError], type[refusals.Refused]] = {
    errors.InvalidRequest: refusals.Invalid,
    errors.AlreadyExists: refusals.AlreadyExists,
    errors.WrongState: refusals.WrongState,
    errors.QuotaReached: refusals.QuotaReached,
}
FIELDS = {name: f"endpoint.{name}" for name in ("service", "subnet_id", "address", "vpc_id", "route_tables")}
"""Fields of a reservation by the names that the caller of CreateEndpoint knows."""

Q = TypeVar("Q")
A = TypeVar("A")


class RegistryClient:
    """A Registry at "host:port"."""

    def __init__(self, address: str, access: transport.Access, region: str = "local") -> None:
        self._region = region
        self._caller = transport.Caller(address, access)
        self._stub = internal_grpc.RegistryInternalServiceStub(self._caller.channel)

    async def reserve(
        self,
        *,
        endpoint: str,
        owner: Principal,
        service: str,
        place: Place,
        validate_only: bool = False,
    ) -> Reservation:
        request = internal_pb.ReserveEndpointPortRequest(
            endpoint_id=endpoint,
            account=owner.account,
            project=owner.project,
            service=service,
            subnet_id=place.subnet,
            address=place.address,
            validate_only=validate_only,
            vpc_id=place.vpc,
            route_tables=place.tables,
        )
        return reservation_of(await self._ask(self._stub.ReserveEndpointPort, request))

    async def hold(
        self, endpoint: str, owner: Principal, vpc: str, tables: Collection[str], *, validate_only: bool = False
    ) -> Tables:
        request = internal_pb.HoldRouteTablesRequest(
            endpoint_id=endpoint,
            account=owner.account,
            project=owner.project,
            vpc_id=vpc,
            route_tables=tables,
            validate_only=validate_only,
        )
        answer = await self._ask(self._stub.HoldRouteTables, request)
        return _tables(answer.route_tables, answer.subnets)

    async def tables(self, ids: Collection[str]) -> Mapping[str, Tables]:
        request = internal_pb.GetForwardingSourcesRequest(route_table_ids=ids)
        answer = await self._ask(self._stub.GetForwardingSources, request)
        return {table.id: _tables([table], answer.subnets) for table in answer.route_tables}

    async def release(self, endpoint: str) -> None:
        await self._ask(self._stub.ReleaseEndpointPort, internal_pb.ReleaseEndpointPortRequest(endpoint_id=endpoint))

    async def sources(self, services: Collection[str], vpcs: Collection[str]) -> Sources:
        request = internal_pb.GetForwardingSourcesRequest(service_ids=services, vpc_ids=vpcs)
        answer = await self._ask(self._stub.GetForwardingSources, request)
        log = RegistryLog(answer.log_id, answer.log_epoch)
        return Sources(
            services={service.id: service_of(service, log) for service in answer.services},
            targets={(each.vpc_id, each.cell): target_of(each) for each in answer.attachments},
            log=log,
            resolvers={vpc.id: resolver_of(vpc, self._region) for vpc in answer.resolving_vpcs},
        )

    async def attached(self) -> Collection[str]:
        request = internal_pb.GetForwardingSourcesRequest(every_vpc=True)
        answer = await self._ask(self._stub.GetForwardingSources, request)
        return {attachment.vpc_id for attachment in answer.attachments}

    async def trust(self) -> internal_pb.GetTokenTrustResponse:
        """How tokens are verified, and which have ended."""
        return await self._ask(self._stub.GetTokenTrust, internal_pb.GetTokenTrustRequest())

    async def close(self) -> None:
        await self._caller.close()

    async def _ask(self, method: grpc.aio.UnaryUnaryMultiCallable[Q, A], request: Q) -> A:
        try:
            return await self._caller.ask(method, request)
        except errors.SidegateError as error:
            raise _refusal(error) from error


def service_of(stored: service_pb.EndpointService, log: RegistryLog = UNKNOWN_LOG) -> PublishedService:
    return PublishedService(
        id=stored.id,
        full_name=stored.full_name,
        owner=Principal(stored.account, stored.project),
        vpc=stored.vpc_id,
        version=stored.version,
        backends=tuple(map(backend_of, stored.backends)),
        ports=tuple(port_mapping(each, stored.client_identity) for each in stored.port_mappings),
        approval_required=stored.approval_required,
        gone=stored.state in GONE,
        permissions=frozenset(stored.permissions),
        rules=rules_of(stored),
        endpoints_per_account=stored.consumer_limits.endpoints_per_account,
        limits=limits_of(stored.consumer_limits),
        ended={each.permission: Removal(each.time.ToNanoseconds(), each.version) for each in stored.ended_permissions},
        log=log,
        session_settings=settings_of(stored.session_settings),
        health_check=check_of(stored),
        private_name=private_name_of(stored),
        public_prefixes=networks_of(stored.public_prefixes),
    )


def private_name_of(stored: service_pb.EndpointService) -> str:
    """A name that is yet to be verified is none."""
    verified = stored.private_name.state == service_pb.PrivateName.STATE_VERIFIED
    return stored.private_name.name if verified else ""


def check_of(stored: service_pb.EndpointService) -> HealthCheck | None:
    """With the port that is asked, which is that of the first mapping for TCP where none is named."""
    if not stored.HasField("health_check"):
        return None
    check = health_check_of(stored.health_check)
    ports = [
        mapping.server_port for mapping in map(port_mapping, stored.port_mappings) if mapping.protocol is Protocol.TCP
    ]
    port = check.port or next(iter(ports), 0)
    return replace(check, port=port) if port else None


def rules_of(stored: service_pb.EndpointService) -> Rules:
    """They count only where the owner decides."""
    if not stored.approval_required:
        return Rules()
    rules = stored.approval_rules
    return Rules(
        accounts=frozenset(rules.accept_accounts),
        tags=frozenset(read_tags(rules.accept_tags)),
        pending_for=rules.pending_seconds * SECOND,
        accepted_for=rules.accepted_seconds * SECOND,
    )


def backend_of(stored: service_pb.Backend) -> Backend:
    """A service that was written before there were weights has none."""
    return Backend(address_of(stored.address), stored.weight or 1, stored.draining)


def reservation_of(answer: internal_pb.ReserveEndpointPortResponse) -> Reservation:
    service = service_of(answer.service, RegistryLog(answer.log_id, answer.log_epoch))
    if answer.route_tables:
        return Reservation(
            port="",
            vpc=answer.route_tables[0].vpc_id,
            subnet="",
            address=service.public_prefixes[0].network_address,
            service=service,
            consumer=_by_cell(answer.consumer_attachments),
            provider=_by_cell(answer.provider_attachments),
            tables=_tables(answer.route_tables, answer.subnets),
        )
    return Reservation(
        port=answer.port.id,
        vpc=answer.port.vpc_id,
        subnet=answer.port.subnet_id,
        address=address_of(answer.port.address),
        service=service,
        consumer=_by_cell(answer.consumer_attachments),
        provider=_by_cell(answer.provider_attachments),
    )


def _tables(tables: Iterable[vpc_pb.RouteTable], subnets: Iterable[vpc_pb.Subnet]) -> Tables:
    known = tuple(tables)
    inside = {subnet for table in known for subnet in table.subnet_ids}
    return Tables(
        tuple(table.id for table in known), networks_of(subnet.cidr for subnet in subnets if subnet.id in inside)
    )


def _by_cell(attachments: Iterable[vpc_pb.Attachment]) -> Mapping[str, Target]:
    return {attachment.cell: target_of(attachment) for attachment in attachments}


def _refusal(error: errors.SidegateError) -> refusals.Refused:
    """The registry's refusal as ours. Whatever is not about the request means that the registry cannot help now."""
    if isinstance(error, errors.NotFound):
        return refusals.NotFound(error.metadata.get("kind", "resource"), error.metadata.get("id", ""))
    kind = REFUSALS.get(type(error))
    if kind is None:
        text = "the registry does not answer as it should: nothing was changed, try again"
        return refusals.Unavailable("REGISTRY_UNAVAILABLE", text)
    field = FIELDS.get(error.field, error.field)
    return kind(error.reason, error.text, field=field, metadata=error.metadata, blockers=error.blockers)
