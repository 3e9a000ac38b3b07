"""`python -m services.registry`: the composition root of the registry."""

import asyncio
import sys

from services.common.clock import now
from services.common.config import RegistrySettings
from services.common.eventsourcing.sql_store import SqlStore
from services.common.eventsourcing.store import StoreError
from services.common.evidence.archive import Unfit
from services.common.history.history import History
from services.common.hosting import Interfaces, host, watch_limits
from services.common.identity.certificates import Certificates, NoCertificate
from services.common.identity.nats.authority import OFFICE_FILE, NoOffice, Office
from services.common.identity.tokens import Issuer
from services.common.messaging.connection import Connection, NoCredential
from services.common.messaging.stream import ENDPOINT, REGISTRY
from services.common.messaging.views import SERVICE_VIEWS
from services.common.name_servers import AllowedServers, name_servers_of
from services.common.program import CannotListen, run
from services.common.rpc.following import FollowRemote
from services.common.rpc.recognition import Tokens
from services.common.rpc.server import Hosted
from services.common.telemetry import tracing
from services.common.telemetry.logs import configure_logging
from services.registry.accounts_servicer import AccountsServicer, TokenServicer
from services.registry.application.access import Access
from services.registry.application.accounts import owners_of_secrets
from services.registry.application.credentials import Credentials
from services.registry.application.past import PAST
from services.registry.application.registry import Registry
from services.registry.application.settings import Settings
from services.registry.credentials_servicer import CredentialsServicer
from services.registry.endpoint_client import EndpointClient
from services.registry.internal_servicer import RegistryInternalServicer
from services.registry.master_key import BadMasterKey, MasterKey
from services.registry.nonces import TakenNonces
from services.registry.policies import EndpointPolicy, Upkeep
from services.registry.projections import Resources, projections
from services.registry.servicer import RegistryServicer
from services.registry.subscribers import Subscribers
from services.registry.txt_records import TxtRecords
from services.registry.vault import Vault
from services.registry.wire.envelope import subject_of
from services.registry.wire.views import VIEWS
from sidegate.access import Certified
from sidegate.api.registry.v1 import account_service_pb2_grpc as account_grpc
from sidegate.api.registry.v1 import credential_service_pb2_grpc as credential_grpc
from sidegate.api.registry.v1 import registry_internal_service_pb2_grpc as internal_grpc
from sidegate.api.registry.v1 import registry_service_pb2_grpc as registry_grpc
from sidegate.credentials import BadCredential
from sidegate.transport import Caller

UNPROVED = (NoCertificate, NoCredential, NoOffice, BadMasterKey, BadCredential)


def public_of(registry: Registry, access: Access, issued: CredentialsServicer) -> list[Hosted]:
    public, accounts, tokens = (
        RegistryServicer(registry),
        AccountsServicer(access.accounts),
        TokenServicer(access.tokens),
    )
    api = "sidegate.api.registry.v1"
    return [
        Hosted(
            f"{api}.RegistryService",
            lambda server: registry_grpc.add_RegistryServiceServicer_to_server(public, server),
            registry.watching.close,
        ),
        Hosted(
            f"{api}.AccountsService",
            lambda server: account_grpc.add_AccountsServiceServicer_to_server(accounts, server),
        ),
        Hosted(
            f"{api}.CredentialsService",
            lambda server: credential_grpc.add_CredentialsServiceServicer_to_server(issued, server),
        ),
        Hosted(f"{api}.TokenService", lambda server: account_grpc.add_TokenServiceServicer_to_server(tokens, server)),
    ]


def internal_of(registry: Registry, access: Access) -> list[Hosted]:
    carried = Tokens(access.verifier)
    internal = RegistryInternalServicer(
        registry.reservations, registry.routes, registry.inventory, access.tokens, carried, resolvers=registry.resolvers
    )
    return [
        Hosted(
            "sidegate.api.registry.v1.RegistryInternalService",
            lambda server: internal_grpc.add_RegistryInternalServiceServicer_to_server(internal, server),
        )
    ]


async def access_of(settings: RegistrySettings, store: SqlStore, master: MasterKey) -> Access:
    """Raises BadMasterKey and BadCredential, with the store closed."""
    try:
        before = MasterKey.before(settings.previous_master_key)
        vault = await Vault.replaced(store, master, before, await owners_of_secrets(Resources(store)))
        trusted = [] if before is None else [before.signing_key().public_key()]
        issuer = Issuer(master.signing_key(), settings.region, before=trusted)
        access = Access(store, vault, issuer, TakenNonces(store))
        await access.begin(settings.operator_credential)
    except BaseException:
        await store.close()
        raise
    return access


async def serve(settings: RegistrySettings) -> None:
    database = settings.database.get_secret_value()
    office = Office.read(settings.tls / OFFICE_FILE)
    master, ours = MasterKey.at(settings.master_key), Certified(Certificates(settings.tls).calling)
    store = await SqlStore.open(database, projections=projections(), program="registry")
    access = await access_of(settings, store, master)
    endpoints = EndpointClient(settings.endpoint_address, ours)
    decided = Settings(
        region=settings.region,
        services=settings.service_quota,
        allowed_forwarders=AllowedServers.of(settings.allowed_forwarders),
    )
    texts = TxtRecords(name_servers_of(settings.name_servers))
    registry = Registry(store, endpoints, decided, watch_limits(settings), look_up=texts.look_up)
    caller = Caller(settings.endpoint_address, ours)
    if settings.default_namespaces:
        await registry.defaults.begin(settings.default_cell, settings.default_namespaces, now())

    credentials = Credentials(registry.streams, registry.resources, office)
    subscribers = Subscribers(credentials, office)

    async def follow_endpoint(connection: Connection) -> None:
        policy = EndpointPolicy(store, registry.reservations, now)
        async with asyncio.TaskGroup() as parts:
            parts.create_task(policy.run(FollowRemote(connection, ENDPOINT, caller)))
            parts.create_task(subscribers.run(connection))

    upkeep = Upkeep(registry.deletions, registry.reservations, now)
    try:
        public = public_of(registry, access, CredentialsServicer(credentials, subscribers.nudge))
        interfaces = Interfaces(public, internal_of(registry, access), access.verifier)
        await host(
            settings,
            store,
            REGISTRY,
            subject_of,
            views=(SERVICE_VIEWS, VIEWS),
            past=(History(store, PAST.reducer), PAST),
            interfaces=interfaces,
            upkeep=upkeep.run,
            follower=follow_endpoint,
        )
    finally:
        await caller.close()
        await endpoints.close()


def main() -> int:
    settings = RegistrySettings()
    configure_logging("registry", settings.log_level, settings.log_file)
    tracing.configure("registry")
    try:
        run(serve(settings))
    except (StoreError, CannotListen, Unfit, *UNPROVED, OSError) as error:
        print(f"registry: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
