"""What waits for its reader: found in what was seen, oldest first, and nothing that waits for others."""

from google.protobuf.timestamp_pb2 import Timestamp

from services.console.overview.waiting import Backend, Blocked, Doubt, Nearly, Silent, Waiting, waiting
from sidegate.api.endpoint.v1.backend_health_pb2 import BackendHealth, GatewayHealth, GetServiceHealthResponse
from sidegate.api.endpoint.v1.endpoint_pb2 import Condition, Connection, ConnectionState, Endpoint
from sidegate.api.endpoint.v1.gateways_service_pb2 import Gateway
from sidegate.api.registry.v1 import endpoint_service_pb2 as services
from sidegate.api.registry.v1.quota_pb2 import Quota
from sidegate.api.registry.v1.vpc_pb2 import Port, Subnet, Vpc
from sidegate.topology.build import build
from sidegate.topology.gather import Seen

ACCEPTED, PENDING = ConnectionState.CONNECTION_STATE_ACCEPTED, ConnectionState.CONNECTION_STATE_PENDING_ACCEPTANCE
REJECTED = ConnectionState.CONNECTION_STATE_REJECTED


def seen() -> Seen:
    return Seen(
        "shop/default",
        {"v": Vpc(id="v", name="net", account="shop", project="default")},
        [Subnet(id="s", vpc_id="v", name="main")],
        [Port(id="p", vpc_id="v", subnet_id="s", address="10.0.0.10", holder="machine/api")],
        services=[
            services.EndpointService(
                id="w",
                name="web",
                account="shop",
                project="default",
                vpc_id="v",
                state=services.EndpointService.STATE_AVAILABLE,
                backends=[services.Backend(address="10.0.0.10")],
            )
        ],
    )


def found(told: Seen, **quotas: Quota) -> Waiting:
    return waiting(build(told), told, quotas)


def endpoint(state: ConnectionState.ValueType, *, ready: bool = True, **more: object) -> Endpoint:
    made = Endpoint(id="e", name="buy", service="w", vpc_id="v", subnet_id="s", state=state, **more)  # type: ignore[arg-type]
    made.ready.CopyFrom(Condition(status=ready, reason="" if ready else "no device yet"))
    return made


def test_nothing_waits_where_all_is_well() -> None:
    told = seen()
    told.endpoints = [endpoint(ACCEPTED)]
    told.connections = [Connection(endpoint_id="e", service_id="w", state=ACCEPTED)]
    assert found(told, service=Quota(used=7, limit=10), endpoint=Quota(used=500, limit=-1)).total == 0


def test_requests_wait_the_oldest_first() -> None:
    told = seen()
    told.connections = [
        Connection(endpoint_id=name, service_id="w", account="bank", state=PENDING, create_time=Timestamp(seconds=at))
        for name, at in (("new", 20), ("old", 10))
    ]
    assert [(each.endpoint, each.service_name, each.account) for each in found(told).requests] == [
        ("old", "web", "bank"),
        ("new", "web", "bank"),
    ]


def test_a_request_of_ones_own_waits_for_somebody_else() -> None:
    told = seen()
    told.endpoints = [endpoint(PENDING)]
    assert found(told).total == 0


def test_backends_that_do_not_answer_are_named_as_their_machines_are() -> None:
    told = seen()
    health = BackendHealth(address="10.0.0.10", condition=BackendHealth.CONDITION_UNHEALTHY, last_error="refused")
    told.health = {"w": GetServiceHealthResponse(gateways=[GatewayHealth(backends=[health])])}
    assert found(told).backends == (Backend("w", "web", "api 10.0.0.10", "refused"),)


def test_endpoints_through_which_no_packet_passes_say_why() -> None:
    told = seen()
    told.endpoints = [endpoint(ACCEPTED, ready=False)]
    assert found(told).blocked == (Blocked("e", "buy", "web", "accepted", "no device yet"),)
    told.endpoints = [endpoint(REJECTED, rejection="expired")]
    assert found(told).blocked == (Blocked("e", "buy", "web", "rejected", "expired"),)


def test_conditions_of_what_works_are_doubts() -> None:
    told = seen()
    few, silent = Condition(reason="no more addresses"), Condition(reason="no resolver")
    told.endpoints = [endpoint(ACCEPTED, sources=few, dns=silent)]
    private = services.PrivateName(name="web.test", state=services.PrivateName.STATE_PENDING_VERIFICATION)
    told.services[0].private_name.CopyFrom(private)
    assert found(told).doubts == (
        Doubt("sources", "e", "buy", "no more addresses"),
        Doubt("dns", "e", "buy", "no resolver"),
        Doubt("name", "w", "web", "web.test"),
    )


def test_a_quota_is_nearly_used_from_four_fifths_on() -> None:
    quotas = {"service": Quota(used=8, limit=10), "endpoint": Quota(used=79, limit=100)}
    assert found(seen(), **quotas).quotas == (Nearly("service", 8, 10),)


def test_gateways_that_are_lost_or_behind_wait_for_the_operator() -> None:
    told = seen()
    told.gateways = [
        Gateway(gateway_id="gw-1", cell="a", state=Gateway.STATE_JOINED, in_sync=True),
        Gateway(gateway_id="gw-2", cell="a", state=Gateway.STATE_JOINED),
        Gateway(gateway_id="gw-3", cell="b", state=Gateway.STATE_LOST),
    ]
    assert found(told).gateways == (Silent("gw-2", "a", "not in sync"), Silent("gw-3", "b", "lost"))
