"""The registry in a test: real store, real gRPC, and an endpoint service that answers as it is told."""

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
from google.protobuf.field_mask_pb2 import FieldMask

from services.common.errors import Unavailable
from services.common.eventsourcing.sql_store import SqlStore
from services.common.history.history import History
from services.common.identity.access_log import AccessLog
from services.common.principal import OPERATOR, SYSTEM, Principal
from services.common.rpc.history import HistoryServicer
from services.common.rpc.server import RpcServer
from services.registry.__main__ import internal_of, public_of
from services.registry.application.access import Access
from services.registry.application.credentials import Credentials
from services.registry.application.names import LookUp, nowhere
from services.registry.application.past import PAST
from services.registry.application.registry import Registry
from services.registry.application.settings import Settings
from services.registry.credentials_servicer import CredentialsServicer
from services.registry.master_key import MasterKey
from services.registry.nonces import TakenNonces
from services.registry.projections import projections
from services.registry.vault import Vault
from sidegate import transport
from sidegate.api.registry.v1 import account_service_pb2_grpc as account_grpc
from sidegate.api.registry.v1 import endpoint_service_pb2 as service_pb2
from sidegate.api.registry.v1 import names_pb2, vpc_pb2
from sidegate.api.registry.v1 import registry_internal_service_pb2 as internal_pb2
from sidegate.api.registry.v1 import registry_internal_service_pb2_grpc as internal_grpc
from sidegate.api.registry.v1 import registry_service_pb2 as registry_pb2
from sidegate.api.registry.v1 import registry_service_pb2_grpc as registry_grpc
from sidegate.errors import SidegateError
from sidegate.transport import Caller
from tests.support import identity

PAYMENTS = Principal("payments", "payments-live")
SHOP = Principal("shop", "shop-live")
OPERATING = Principal(OPERATOR, "platform")
PROGRAM = Principal(SYSTEM, "endpoint")
STANDARD = Settings()


@dataclass
class FakeEndpoints:
    """The endpoint service as the registry meets it: what is there, what is live, and whether it answers.

    `meanwhile` is what happens just before the question of that number is answered.
    """

    there: set[str] = field(default_factory=set)
    live: dict[str, list[str]] = field(default_factory=dict)
    away: bool = False
    asked: int = 0
    meanwhile: dict[int, Callable[[], Awaitable[object]]] = field(default_factory=dict)

    async def known(self, endpoint_ids: Collection[str]) -> set[str]:
        await self._answer()
        return self.there.intersection(endpoint_ids)

    async def blockers(self, service_id: str) -> Sequence[str]:
        await self._answer()
        return list(self.live.get(service_id, ()))

    async def _answer(self) -> None:
        self.asked += 1
        if happens := self.meanwhile.pop(self.asked, None):
            await happens()
        if self.away:
            raise Unavailable("ENDPOINT_UNAVAILABLE", "the endpoint service is away")


class Client:
    """A principal that calls the registry."""

    def __init__(self, address: str, who: Principal, access: transport.Access | None = None) -> None:
        self.who = who
        self._caller = Caller(address, access or identity.access_of(who))
        self.ask, self.pages = self._caller.ask, self._caller.pages
        self.stub = registry_grpc.RegistryServiceStub(self._caller.channel)
        self.accounts = account_grpc.AccountsServiceStub(self._caller.channel)
        self.tokens = account_grpc.TokenServiceStub(self._caller.channel)
        self.internal = internal_grpc.RegistryInternalServiceStub(self._caller.channel)
        self.close = self._caller.close

    async def vpc(self, *cidrs: str, name: str = "main", request_id: str = "") -> vpc_pb2.Vpc:
        wanted = vpc_pb2.Vpc(name=name, cidrs=cidrs or ("10.0.0.0/24",))
        return await self.ask(self.stub.CreateVpc, registry_pb2.CreateVpcRequest(vpc=wanted, request_id=request_id))

    async def subnet(
        self, vpc: vpc_pb2.Vpc, cidr: str = "10.0.0.0/24", name: str = "all", request_id: str = ""
    ) -> vpc_pb2.Subnet:
        wanted = vpc_pb2.Subnet(vpc_id=vpc.id, name=name, cidr=cidr)
        request = registry_pb2.CreateSubnetRequest(subnet=wanted, request_id=request_id)
        return await self.ask(self.stub.CreateSubnet, request)

    async def port(
        self, subnet: vpc_pb2.Subnet, address: str = "", holder: str = "machine/web", request_id: str = ""
    ) -> vpc_pb2.Port:
        wanted = vpc_pb2.Port(subnet_id=subnet.id, address=address, holder=holder)
        return await self.ask(self.stub.CreatePort, registry_pb2.CreatePortRequest(port=wanted, request_id=request_id))

    async def attachment(
        self, vpc_id: str, namespace: str = "payments", cell: str = "", request_id: str = ""
    ) -> vpc_pb2.Attachment:
        wanted = vpc_pb2.Attachment(vpc_id=vpc_id, cell=cell, netns=vpc_pb2.NetnsTarget(namespace=namespace))
        request = registry_pb2.CreateAttachmentRequest(attachment=wanted, request_id=request_id)
        return await self.ask(self.stub.CreateAttachment, request)

    async def service(
        self,
        vpc: vpc_pb2.Vpc,
        name: str = "web",
        backends: Iterable[service_pb2.Backend] = (service_pb2.Backend(address="10.0.0.10"),),
        approval: bool = False,
        request_id: str = "",
    ) -> service_pb2.EndpointService:
        wanted = service_pb2.EndpointService(
            name=name,
            vpc_id=vpc.id,
            backends=backends,
            port_mappings=[service_pb2.PortMapping(client_port=80, server_port=8080)],
            approval_required=approval,
        )
        request = registry_pb2.CreateEndpointServiceRequest(endpoint_service=wanted, request_id=request_id)
        return await self.ask(self.stub.CreateEndpointService, request)

    async def get_service(self, id_: str) -> service_pb2.EndpointService:
        return await self.ask(self.stub.GetEndpointService, registry_pb2.GetEndpointServiceRequest(id=id_))

    async def change_service(
        self, wanted: service_pb2.EndpointService, *paths: str, request_id: str = ""
    ) -> service_pb2.EndpointService:
        request = registry_pb2.UpdateEndpointServiceRequest(
            endpoint_service=wanted, update_mask=FieldMask(paths=paths), request_id=request_id
        )
        return await self.ask(self.stub.UpdateEndpointService, request)

    async def delete_service(
        self, id_: str, force: bool = False, etag: str = "", request_id: str = ""
    ) -> service_pb2.EndpointService:
        request = registry_pb2.DeleteEndpointServiceRequest(id=id_, force=force, etag=etag, request_id=request_id)
        return await self.ask(self.stub.DeleteEndpointService, request)

    async def permit(self, service_id: str, *accounts: str, request_id: str = "") -> service_pb2.EndpointService:
        permissions = [f"iam:domain::{account}" for account in accounts]
        request = registry_pb2.AddPermissionsRequest(
            service_id=service_id, permissions=permissions, request_id=request_id
        )
        return await self.ask(self.stub.AddPermissions, request)

    async def forbid(self, service_id: str, *accounts: str) -> service_pb2.EndpointService:
        permissions = [f"iam:domain::{account}" for account in accounts]
        request = registry_pb2.RemovePermissionsRequest(service_id=service_id, permissions=permissions)
        return await self.ask(self.stub.RemovePermissions, request)

    async def look_up(self, named: str) -> service_pb2.ConnectableService:
        request = registry_pb2.LookupEndpointServiceRequest(service=named)
        return await self.ask(self.stub.LookupEndpointService, request)

    async def set_resolver(
        self, subnet: vpc_pb2.Subnet, address: str = "", *forwarders: str, request_id: str = "", etag: str = ""
    ) -> vpc_pb2.Vpc:
        resolver = vpc_pb2.Resolver(subnet_id=subnet.id, address=address, forwarders=forwarders)
        request = names_pb2.SetResolverRequest(
            vpc_id=subnet.vpc_id, resolver=resolver, request_id=request_id, etag=etag
        )
        return await self.ask(self.stub.SetResolver, request)

    async def delete_resolver(self, vpc_id: str) -> vpc_pb2.Vpc:
        return await self.ask(self.stub.DeleteResolver, names_pb2.DeleteResolverRequest(vpc_id=vpc_id))

    async def name_service(self, id_: str, name: str) -> service_pb2.EndpointService:
        wanted = service_pb2.EndpointService(id=id_, private_name=service_pb2.PrivateName(name=name))
        return await self.change_service(wanted, "private_name")

    async def verify(self, id_: str) -> service_pb2.EndpointService:
        return await self.ask(self.stub.VerifyPrivateName, names_pb2.VerifyPrivateNameRequest(id=id_))

    async def reserve(
        self,
        service: str,
        subnet: vpc_pb2.Subnet,
        *,
        owner: Principal = SHOP,
        endpoint: str = "",
        address: str = "",
    ) -> internal_pb2.ReserveEndpointPortResponse:
        request = internal_pb2.ReserveEndpointPortRequest(
            endpoint_id=endpoint or str(uuid.uuid4()),
            account=owner.account,
            project=owner.project,
            service=service,
            subnet_id=subnet.id,
            address=address,
        )
        return await self.ask(self.internal.ReserveEndpointPort, request)

    async def release(self, endpoint: str) -> None:
        request = internal_pb2.ReleaseEndpointPortRequest(endpoint_id=endpoint)
        await self.ask(self.internal.ReleaseEndpointPort, request)


@dataclass
class RegistryWorld:
    store: SqlStore
    registry: Registry
    endpoints: FakeEndpoints
    address: str
    internal_address: str
    access_log: AccessLog
    access: Access
    payments: Client
    shop: Client
    operator: Client
    program: Client


def issued_by(registry: Registry) -> CredentialsServicer:
    """The credentials of a registry that talks to no NATS."""
    return CredentialsServicer(Credentials(registry.streams, registry.resources, identity.office()), lambda: None)


@asynccontextmanager
async def running_registry(
    directory: Path,
    settings: Settings = STANDARD,
    where: str = "",
    opened: SqlStore | None = None,
    endpoints: FakeEndpoints | None = None,
    *,
    look_up: LookUp = nowhere,
) -> AsyncIterator[RegistryWorld]:
    """A registry that serves on a free port, and four who call it.

    `where` is its log, if not in the directory; or it is `opened` already. `look_up` says what the DNS does.
    """
    where = where or str(directory / "registry.sqlite")
    store = opened or await SqlStore.open(where, projections=projections(), synchronous="NORMAL")
    endpoints = endpoints or FakeEndpoints()
    registry = Registry(store, endpoints, settings, look_up=look_up)
    past = HistoryServicer(store, "registry", History(store, PAST.reducer), PAST)
    access_log, access = AccessLog(), await access_to(store)
    public = RpcServer(
        identity.public(log=access_log, verified_by=access.verifier),
        [*public_of(registry, access, issued_by(registry)), past.hosted()],
    )
    internal = RpcServer(identity.internal(log=access_log), internal_of(registry, access))
    address, internal_address = await public.start(), await internal.start()
    clients = [Client(address, who) for who in (PAYMENTS, SHOP, OPERATING)]
    clients.append(Client(internal_address, PROGRAM))
    try:
        yield RegistryWorld(store, registry, endpoints, address, internal_address, access_log, access, *clients)
    finally:
        for client in clients:
            await client.close()
        await public.stop(0)
        await internal.stop(0)
        await store.close()


async def access_to(store: SqlStore) -> Access:
    """Accounts and tokens of the registry; its tokens are signed with the test's key."""
    return Access(store, await Vault.open(store, MasterKey(identity.MASTER)), identity.issuer(), TakenNonces(store))


def status_of(error: SidegateError) -> tuple[grpc.StatusCode, bytes]:
    """The code and the google.rpc.Status of a refusal, as they came over the wire."""
    cause = error.__cause__
    assert isinstance(cause, grpc.aio.AioRpcError)
    status = dict(cause.trailing_metadata() or ())["grpc-status-details-bin"]
    assert isinstance(status, bytes)
    return cause.code(), status
