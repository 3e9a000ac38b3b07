"""Endpoint services: the provider's side."""

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from ipaddress import ip_address
from types import MappingProxyType
from typing import TypeAlias

from google.protobuf.field_mask_pb2 import FieldMask

from sidegate.api.registry.v1 import registry_service_pb2 as rpc
from sidegate.api.registry.v1 import watch_pb2
from sidegate.api.registry.v1.endpoint_service_pb2 import (
    ApprovalRules,
    Backend,
    ConnectableService,
    ConsumerLimits,
    EndpointService,
    HealthCheck,
    Permission,
    PortMapping,
    PrivateName,
    SessionSettings,
)
from sidegate.api.registry.v1.listing_pb2 import LIST_ORDER_CREATE_TIME, ListOrder, TagFilter
from sidegate.api.registry.v1.names_pb2 import VerifyPrivateNameRequest
from sidegate.api.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from sidegate.api.registry.v1.tag_pb2 import Tag
from sidegate.conditions import current
from sidegate.errors import NotFound, Outdated
from sidegate.resources.changes import watch_registry
from sidegate.resources.paging import Page
from sidegate.resources.service_changes import Changes, Identity
from sidegate.transport import Caller
from sidegate.watching import Begin, Interrupted, Watch

State: TypeAlias = EndpointService.State.ValueType
Order: TypeAlias = ListOrder.ValueType
ServiceType: TypeAlias = EndpointService.ServiceType.ValueType
ServerType: TypeAlias = EndpointService.ServerType.ValueType

NONE: Mapping[str, str] = MappingProxyType({})
ATTEMPTS = 5
"""How often a change of single backends is tried, if somebody else changes the service in between."""


def _one_form(address: str) -> str:
    """As services show it: an IPv6 address can be written in many ways."""
    try:
        return str(ip_address(address))
    except ValueError:
        return address


class Services:
    """What providers publish."""

    def __init__(self, caller: Caller) -> None:
        self._caller, self._stub = caller, RegistryServiceStub(caller.channel)

    async def create(
        self,
        name: str,
        vpc_id: str,
        backends: Sequence[Backend],
        port_mappings: Sequence[PortMapping],
        *,
        approval_required: bool = False,
        description: str = "",
        tags: Sequence[Tag] = (),
        client_identity: Identity = EndpointService.CLIENT_IDENTITY_UNSPECIFIED,
        service_type: ServiceType = EndpointService.SERVICE_TYPE_UNSPECIFIED,
        server_type: ServerType = EndpointService.SERVER_TYPE_UNSPECIFIED,
        approval_rules: ApprovalRules | None = None,
        consumer_limits: ConsumerLimits | None = None,
        session_settings: SessionSettings | None = None,
        health_check: HealthCheck | None = None,
        private_name: str = "",
        public_prefixes: Sequence[str] = (),
        policy_enabled: bool = False,
        request_id: str = "",
    ) -> EndpointService:
        """With a `private_name`, the answer says which TXT record shows it to be its owner's: see `verify_name`."""
        service = EndpointService(
            name=name,
            vpc_id=vpc_id,
            backends=backends,
            port_mappings=port_mappings,
            approval_required=approval_required,
            description=description,
            tags=tags,
            client_identity=client_identity,
            service_type=service_type,
            server_type=server_type,
            approval_rules=approval_rules,
            consumer_limits=consumer_limits,
            session_settings=session_settings,
            health_check=health_check,
            private_name=PrivateName(name=private_name) if private_name else None,
            public_prefixes=public_prefixes,
            policy_enabled=policy_enabled,
        )
        request = rpc.CreateEndpointServiceRequest(endpoint_service=service, request_id=request_id)
        return await self._caller.write(self._stub.CreateEndpointService, request)

    async def get(self, id: str) -> EndpointService:
        return await self._caller.ask(self._stub.GetEndpointService, rpc.GetEndpointServiceRequest(id=id))

    async def list(
        self,
        *,
        states: Collection[State] = (),
        name_contains: str = "",
        vpc_id: str = "",
        tags: TagFilter | None = None,
        newest_first: bool = False,
        order: Order = LIST_ORDER_CREATE_TIME,
    ) -> AsyncIterator[EndpointService]:
        """Those in one of the states, with this in their name, whatever the case; all where nothing is said."""
        request = rpc.ListEndpointServicesRequest(
            states=states,
            name_contains=name_contains,
            vpc_id=vpc_id,
            tags=tags,
            newest_first=newest_first,
            order=order,
        )
        async for page in self._caller.pages(self._stub.ListEndpointServices, request):
            for service in page.endpoint_services:
                yield service

    async def page(
        self,
        *,
        skip: int = 0,
        size: int = 50,
        states: Collection[State] = (),
        full_name_contains: str = "",
        server_type: ServerType = EndpointService.SERVER_TYPE_UNSPECIFIED,
        vpc_id: str = "",
        ids: Collection[str] = (),
        tags: TagFilter | None = None,
        newest_first: bool = False,
    ) -> Page[EndpointService]:
        """So many of those that match behind the first `skip`, and how many match in all."""
        request = rpc.ListEndpointServicesRequest(
            page_size=size,
            skip=skip,
            want_total=True,
            states=states,
            full_name_contains=full_name_contains,
            server_type=server_type,
            vpc_id=vpc_id,
            ids=ids,
            tags=tags,
            newest_first=newest_first,
        )
        answer = await self._caller.ask(self._stub.ListEndpointServices, request)
        return Page(answer.endpoint_services, answer.total_size)

    async def update(
        self,
        id: str,
        *,
        backends: Sequence[Backend] | None = None,
        port_mappings: Sequence[PortMapping] | None = None,
        approval_required: bool | None = None,
        description: str | None = None,
        tags: Sequence[Tag] | None = None,
        client_identity: Identity | None = None,
        approval_rules: ApprovalRules | None = None,
        consumer_limits: ConsumerLimits | None = None,
        name: str | None = None,
        session_settings: SessionSettings | None = None,
        health_check: HealthCheck | None = None,
        no_health_check: bool = False,
        private_name: str | None = None,
        etag: str = "",
        request_id: str = "",
    ) -> EndpointService:
        """Changes what is given, each as a whole; what is None stays. An empty `private_name` takes it away."""
        changes = {
            "backends": backends,
            "port_mappings": port_mappings,
            "approval_required": approval_required,
            "description": description,
            "tags": tags,
            "client_identity": client_identity,
            "approval_rules": approval_rules,
            "consumer_limits": consumer_limits,
            "name": name,
            "session_settings": session_settings,
            "health_check": health_check or no_health_check or None,
            "private_name": private_name,
        }
        service = EndpointService(
            id=id,
            etag=etag,
            backends=backends or (),
            port_mappings=port_mappings or (),
            approval_required=approval_required or False,
            description=description or "",
            tags=tags or (),
            client_identity=client_identity or EndpointService.CLIENT_IDENTITY_UNSPECIFIED,
            approval_rules=approval_rules,
            consumer_limits=consumer_limits,
            name=name or "",
            session_settings=session_settings,
            health_check=None if no_health_check else health_check,
            private_name=PrivateName(name=private_name) if private_name else None,
        )
        request = rpc.UpdateEndpointServiceRequest(
            endpoint_service=service,
            update_mask=FieldMask(paths=[path for path, value in changes.items() if value is not None]),
            request_id=request_id,
        )
        return await self._caller.write(self._stub.UpdateEndpointService, request)

    async def verify_name(self, id: str, *, etag: str = "", request_id: str = "") -> EndpointService:
        """Has the TXT record of its private name looked up. Raises WrongState that says what was found instead."""
        request = VerifyPrivateNameRequest(id=id, etag=etag, request_id=request_id)
        return await self._caller.write(self._stub.VerifyPrivateName, request)

    async def drain(self, id: str, addresses: Collection[str]) -> EndpointService:
        """The backends of these addresses get no new sessions; those that are open stay. Again is not an error."""
        return await self._adjust(id, addresses, _draining(True))

    async def undrain(self, id: str, addresses: Collection[str]) -> EndpointService:
        """The backends of these addresses get new sessions again."""
        return await self._adjust(id, addresses, _draining(False))

    async def weigh(self, id: str, weights: Mapping[str, int]) -> EndpointService:
        """The backends of these addresses get new sessions in proportion to these weights, 1 to 100."""
        wanted = {_one_form(address): weight for address, weight in weights.items()}

        def weigh(backend: Backend) -> None:
            backend.weight = wanted[backend.address]

        return await self._adjust(id, wanted, weigh)

    async def revise(self, id: str, changes: Callable[[EndpointService], Changes]) -> EndpointService:
        """Changes the service from what it is, and nothing that somebody else changes at the same moment.

        `changes` says what is to be another in a service that was read just before. It is asked again where the service
        changed in between, but not where the caller's own etag fits no more.
        """
        attempts = 1 if current().etag else ATTEMPTS
        for attempt in range(1, attempts + 1):
            service = await self.get(id)
            try:
                return await self.update(id, etag=service.etag, **changes(service))
            except Outdated:
                if attempt == attempts:
                    raise
        raise AssertionError("the last attempt returns or raises")

    async def _adjust(self, id: str, addresses: Collection[str], change: Callable[[Backend], None]) -> EndpointService:
        """Changes some backends. Raises NotFound for an address that is none of a backend's."""

        def changes(service: EndpointService) -> Changes:
            known = {backend.address: backend for backend in service.backends}
            for address in map(_one_form, addresses):
                if address not in known:
                    text = f"service {service.name} has no backend {address}"
                    raise NotFound(text, reason="NOT_FOUND", metadata={"kind": "backend", "id": address})
                change(known[address])
            return {"backends": service.backends}

        return await self.revise(id, changes)

    async def delete(self, id: str, *, force: bool = False, etag: str = "", request_id: str = "") -> EndpointService:
        """With `force`, live connections are ended instead of standing in the way."""
        request = rpc.DeleteEndpointServiceRequest(id=id, force=force, etag=etag, request_id=request_id)
        return await self._caller.write(self._stub.DeleteEndpointService, request)

    async def permit(
        self,
        id: str,
        permissions: Sequence[str],
        *,
        description: str | None = None,
        etag: str = "",
        request_id: str = "",
    ) -> EndpointService:
        """Lets accounts connect: "iam:domain::<account>" or "iam:domain::*"; with a description, of all of them."""
        if description is None:
            request = rpc.AddPermissionsRequest(
                service_id=id, permissions=permissions, etag=etag, request_id=request_id
            )
        else:
            details = [Permission(permission=each, description=description) for each in permissions]
            request = rpc.AddPermissionsRequest(service_id=id, details=details, etag=etag, request_id=request_id)
        return await self._caller.write(self._stub.AddPermissions, request)

    async def forbid(
        self,
        id: str,
        permissions: Sequence[str],
        *,
        end_connections: bool = False,
        etag: str = "",
        request_id: str = "",
    ) -> EndpointService:
        """Takes permissions back; connections that exist stay, unless they are to end."""
        request = rpc.RemovePermissionsRequest(
            service_id=id, permissions=permissions, end_connections=end_connections, etag=etag, request_id=request_id
        )
        return await self._caller.write(self._stub.RemovePermissions, request)

    async def lookup(self, service: str) -> ConnectableService:
        """Finds a service that the caller may connect to, by id or full name."""
        return await self._caller.ask(
            self._stub.LookupEndpointService, rpc.LookupEndpointServiceRequest(service=service)
        )

    async def list_platform(self, *, full_name_contains: str = "") -> AsyncIterator[ConnectableService]:
        """The operator's services (CLOUD, and gateway-type ones), which everybody may connect to."""
        request = rpc.ListPlatformServicesRequest(full_name_contains=full_name_contains)
        async for page in self._caller.pages(self._stub.ListPlatformServices, request):
            for service in page.services:
                yield service

    async def page_platform(
        self, *, skip: int = 0, size: int = 50, full_name_contains: str = "", newest_first: bool = False
    ) -> Page[ConnectableService]:
        """So many of those behind the first `skip`, and how many match in all."""
        request = rpc.ListPlatformServicesRequest(
            page_size=size,
            skip=skip,
            want_total=True,
            full_name_contains=full_name_contains,
            newest_first=newest_first,
        )
        answer = await self._caller.ask(self._stub.ListPlatformServices, request)
        return Page(answer.services, answer.total_size)

    def watch(
        self, *, id: str = "", after: Begin = None, interrupted: Interrupted | None = None
    ) -> Watch[watch_pb2.WatchResponse]:
        """What happens to the project's services, or to the one."""
        kinds = [watch_pb2.RESOURCE_KIND_SERVICE]
        return watch_registry(self._caller, kinds, id=id, after=after, interrupted=interrupted)


def _draining(draining: bool) -> Callable[[Backend], None]:
    def change(backend: Backend) -> None:
        backend.draining = draining

    return change
