"""`python -m services.endpoint`: the composition root of the endpoint service."""

import asyncio
import sys

from services.common.clock import SECOND
from services.common.config import EndpointSettings
from services.common.eventsourcing.sql_store import SqlStore
from services.common.eventsourcing.store import StoreError
from services.common.evidence.archive import Unfit
from services.common.hosting import Interfaces, host, watch_limits
from services.common.identity.certificates import Certificates, NoCertificate
from services.common.identity.tokens import Verifier
from services.common.messaging.connection import Connection, NoCredential
from services.common.messaging.flows import FlowStream
from services.common.messaging.stream import ENDPOINT, REGISTRY
from services.common.messaging.views import ENDPOINT_VIEWS
from services.common.program import CannotListen, run
from services.common.rpc.following import FollowRemote
from services.common.rpc.server import Hosted
from services.common.telemetry import tracing
from services.common.telemetry.logs import configure_logging
from services.common.telemetry.metrics import REGISTRY as REGISTRY_OF_NUMBERS
from services.endpoint.application.flows import Flows
from services.endpoint.application.limits import Limits
from services.endpoint.application.past import PAST
from services.endpoint.application.service import EndpointApplication
from services.endpoint.application.streams import Streams
from services.endpoint.application.traces import PacketTraces
from services.endpoint.gateway_readers import GatewayReaders
from services.endpoint.gateway_servicer import GatewayServicer
from services.endpoint.internal_servicer import EndpointInternalServicer
from services.endpoint.policies import RegistryPolicy, Upkeep
from services.endpoint.projections import TABLE
from services.endpoint.registry_client import RegistryClient
from services.endpoint.servicer import ConnectionsServicer, EndpointsServicer
from services.endpoint.source_numbers import SourceNumbers
from services.endpoint.token_trust import TokenTrust
from services.endpoint.trace_servicer import TraceServicer
from services.endpoint.traffic_numbers import TrafficNumbers
from services.endpoint.traffic_servicer import GatewaysServicer, TrafficServicer
from services.endpoint.wire.stored import subject
from services.endpoint.wire.views import VIEWS
from sidegate.access import Certified
from sidegate.api.endpoint.v1 import endpoint_internal_service_pb2_grpc as internal_grpc
from sidegate.api.endpoint.v1 import endpoint_service_pb2_grpc as endpoint_grpc
from sidegate.api.endpoint.v1 import gateways_service_pb2_grpc as gateways_grpc
from sidegate.api.endpoint.v1 import trace_service_pb2_grpc as trace_grpc
from sidegate.api.endpoint.v1 import traffic_pb2_grpc as traffic_grpc
from sidegate.api.gateway.v1 import gateway_service_pb2_grpc as gateway_grpc
from sidegate.transport import Caller


def limits_of(settings: EndpointSettings) -> Limits:
    return Limits(
        endpoints=settings.endpoint_quota,
        lease=int(settings.lease_seconds * SECOND),
        fence_after=int(settings.fence_seconds * SECOND),
        creation_deadline=int(settings.creation_deadline_seconds * SECOND),
        tests=settings.tests_per_minute,
    )


def public_of(application: EndpointApplication, store: SqlStore) -> list[Hosted]:
    seen, tested = application.traffic, application.reachability
    endpoints = EndpointsServicer(application.requests, application.endpoints, tested, seen)
    connections = ConnectionsServicer(application.connections, tested, application.health, seen)
    traffic, gateways = TrafficServicer(seen), GatewaysServicer(application.gateways, store)
    traces = TraceServicer(PacketTraces(application.reachability))
    api = "sidegate.api"
    return [
        Hosted(
            f"{api}.endpoint.v1.EndpointsService",
            lambda server: endpoint_grpc.add_EndpointsServiceServicer_to_server(endpoints, server),
            application.watching.close,
        ),
        Hosted(
            f"{api}.endpoint.v1.ConnectionsService",
            lambda server: endpoint_grpc.add_ConnectionsServiceServicer_to_server(connections, server),
        ),
        Hosted(
            f"{api}.endpoint.v1.TraceService",
            lambda server: trace_grpc.add_TraceServiceServicer_to_server(traces, server),
        ),
        Hosted(
            f"{api}.endpoint.v1.TrafficService",
            lambda server: traffic_grpc.add_TrafficServiceServicer_to_server(traffic, server),
        ),
        Hosted(
            f"{api}.endpoint.v1.GatewaysService",
            lambda server: gateways_grpc.add_GatewaysServiceServicer_to_server(gateways, server),
        ),
    ]


def internal_of(
    application: EndpointApplication, store: SqlStore, limits: Limits, readers: GatewayReaders, flows: Flows
) -> list[Hosted]:
    internal = EndpointInternalServicer(application.endpoints)
    gateways = GatewayServicer(
        store,
        application.cells,
        application.feed,
        limits,
        application.probes,
        flows=flows,
        traffic=application.reports,
        joined=readers.nudge,
    )
    api = "sidegate.api"
    return [
        Hosted(
            f"{api}.endpoint.v1.EndpointInternalService",
            lambda server: internal_grpc.add_EndpointInternalServiceServicer_to_server(internal, server),
        ),
        Hosted(
            f"{api}.gateway.v1.GatewayService",
            lambda server: gateway_grpc.add_GatewayServiceServicer_to_server(gateways, server),
            application.probes.close,
        ),
    ]


async def serve(settings: EndpointSettings) -> None:
    database = settings.database.get_secret_value()
    ours = Certified(Certificates(settings.tls).calling)
    store = await SqlStore.open(database, projections=[TABLE], program="endpoint")
    registry, limits = RegistryClient(settings.registry_address, ours, settings.region), limits_of(settings)
    trust = TokenTrust(registry)
    application = await EndpointApplication.open(
        store, registry, limits, watch_limits=watch_limits(settings), region=settings.region
    )
    caller, readers = Caller(settings.registry_address, ours), GatewayReaders(application.cells)
    stream = FlowStream((await store.head()).log_id)
    flows = Flows(Streams(store), stream.publish)

    async def follow_registry(connection: Connection) -> None:
        policy = RegistryPolicy(application.forwarding, trust)
        async with asyncio.TaskGroup() as parts:
            parts.create_task(policy.run(FollowRemote(connection, REGISTRY, caller)))
            parts.create_task(readers.run(connection))
            parts.create_task(stream.run(connection))

    upkeep = Upkeep(
        agenda=application.agenda,
        cells=application.cells,
        forwarding=application.forwarding,
        sources=application.sources,
        growth=application.growth,
        expiries=application.expiries,
    )
    numbers = SourceNumbers(application.demand), TrafficNumbers(application.board)
    for each in numbers:
        REGISTRY_OF_NUMBERS.register(each)
    try:
        verifier = Verifier(trust, trust.ended)
        interfaces = Interfaces(
            public_of(application, store), internal_of(application, store, limits, readers, flows), verifier
        )
        await host(
            settings,
            store,
            ENDPOINT,
            subject,
            views=(ENDPOINT_VIEWS, VIEWS),
            interfaces=interfaces,
            past=(application.history, PAST),
            upkeep=upkeep.run,
            follower=follow_registry,
        )
    finally:
        for each in numbers:
            REGISTRY_OF_NUMBERS.unregister(each)
        await caller.close()
        await registry.close()


def main() -> int:
    settings = EndpointSettings()
    configure_logging("endpoint", settings.log_level, settings.log_file)
    tracing.configure("endpoint")
    try:
        run(serve(settings))
    except (StoreError, CannotListen, Unfit, NoCertificate, NoCredential, OSError) as error:
        print(f"endpoint: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
