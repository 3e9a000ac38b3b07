"""What callers send, as the domain's values; what cannot be one is refused with the name of its field."""

import re
from collections.abc import Iterable, Sequence
from uuid import UUID

from services.common import addressing
from services.common.addressing import Network
from services.common.clock import SECOND
from services.common.errors import Invalid
from services.common.eventsourcing.selection import Order, Selection
from services.common.labels import description_of
from services.common.principal import Principal
from services.common.rpc.command import expected_version
from services.common.rpc.listing import ids_of, order_of, tags_of
from services.common.rpc.moments import nanoseconds
from services.endpoint.domain.endpoint_commands import Accept, Change, Reject
from services.endpoint.domain.presence import Presence, Statement
from services.endpoint.domain.rerouting import Rerouting
from services.endpoint.domain.routes import Place
from services.endpoint.wire.labels import parse_tags, whitelist_of
from services.endpoint.wire.policy import policy_of
from sidegate.api.endpoint.v1 import endpoint_pb2 as endpoint_pb
from sidegate.api.endpoint.v1 import endpoint_service_pb2 as service_pb
from sidegate.api.gateway.v1 import gateway_service_pb2 as gateway_pb

MOST_CIDRS, MOST_TABLES = 200, 50
LONGEST_ACCEPTANCE = 366 * 86_400 * SECOND
NAME = re.compile(r"([A-Za-z0-9][A-Za-z0-9_-]{0,62})?")
CHANGEABLE = ("name", "allowed_cidrs", "description", "tags", "whitelist", "policy", "dns_enabled", "route_tables")
PRESENCES = {
    gateway_pb.EndpointReport.PRESENCE_FORWARDING: Presence.FORWARDING,
    gateway_pb.EndpointReport.PRESENCE_ABSENT: Presence.ABSENT,
    gateway_pb.EndpointReport.PRESENCE_HINDERED: Presence.HINDERED,
}


def change_of(request: service_pb.UpdateEndpointRequest, at: int, by: Principal) -> Change:
    wanted, paths = request.endpoint, set(request.update_mask.paths)
    if unknown := sorted(paths.difference(CHANGEABLE)):
        text = f"'{unknown[0]}' cannot be changed: name one or more of {', '.join(CHANGEABLE)}"
        raise Invalid("UPDATE_MASK_INVALID", text, field="update_mask")
    if not paths:
        text = f"update_mask names nothing to change: name one or more of {', '.join(CHANGEABLE)}"
        raise Invalid("UPDATE_MASK_INVALID", text, field="update_mask")
    return Change(
        at,
        by,
        uuid_of(wanted.id, "endpoint.id"),
        name_of(wanted) if "name" in paths else None,
        networks_of(wanted.allowed_cidrs) if "allowed_cidrs" in paths else None,
        description_of(wanted.description, "endpoint.description") if "description" in paths else None,
        parse_tags(wanted.tags) if "tags" in paths else None,
        whitelist_of(wanted.whitelist) if "whitelist" in paths else None,
        policy_of(wanted.policy, "endpoint.policy") if "policy" in paths else None,
        wanted.dns_enabled if "dns_enabled" in paths else None,
        routes=Rerouting(_tables(wanted)) if "route_tables" in paths else None,
    )


def place_of_endpoint(wanted: endpoint_pb.Endpoint) -> Place:
    """Where an endpoint is to be; whether that fits its service, the registry says."""
    return Place(
        subnet=uuid_of(wanted.subnet_id, "endpoint.subnet_id") if wanted.subnet_id else "",
        address=address_of(wanted),
        vpc=uuid_of(wanted.vpc_id, "endpoint.vpc_id") if wanted.vpc_id else "",
        tables=_ids(wanted),
    )


def _tables(wanted: endpoint_pb.Endpoint) -> tuple[str, ...]:
    """Those that an endpoint is to be in: at least one."""
    tables = _ids(wanted)
    if not tables:
        text = "an endpoint is in one route table at least: to take it out of all, delete it"
        raise Invalid("ROUTE_TABLES_MISSING", text, field="endpoint.route_tables")
    return tables


def _ids(wanted: endpoint_pb.Endpoint) -> tuple[str, ...]:
    if len(wanted.route_tables) > MOST_TABLES:
        text = f"an endpoint is in {MOST_TABLES} route tables at most, not {len(wanted.route_tables)}"
        raise Invalid("TOO_MANY_ROUTE_TABLES", text, field="endpoint.route_tables")
    ids = (uuid_of(id_, f"endpoint.route_tables[{number}]") for number, id_ in enumerate(wanted.route_tables))
    return tuple(dict.fromkeys(ids))


def decisions_of(request: service_pb.DecideConnectionsRequest, at: int, by: Principal) -> Sequence[Accept | Reject]:
    """One command for each endpoint, in the caller's order."""
    service = uuid_of(request.service_id, "service_id")
    accepts = request.decision == service_pb.DecideConnectionsRequest.DECISION_ACCEPT
    if accepts and request.drain:
        raise Invalid("DRAIN_INVALID", "only what is rejected is drained", field="drain")
    ids = [uuid_of(id_, f"endpoint_ids[{index}]") for index, id_ in enumerate(request.endpoint_ids)]
    if accepts:
        return [Accept(at, by, service, id_) for id_ in ids]
    return [Reject(at, by, service, id_, drain_of(request)) for id_ in ids]


def drain_of(
    request: service_pb.RejectConnectionRequest
    | service_pb.DecideConnectionsRequest
    | service_pb.DeleteEndpointRequest,
) -> int:
    """How long established sessions go on, in nanoseconds; the contract bounds it."""
    return request.drain * SECOND


def versions_of(request: service_pb.DecideConnectionsRequest) -> dict[str, int | None]:
    """The versions that connections are to have, by endpoint. Raises Invalid for one that nothing is decided of."""
    decided = {uuid_of(id_, "endpoint_ids") for id_ in request.endpoint_ids}
    versions = {uuid_of(id_, "etags"): expected_version(etag) for id_, etag in request.etags.items()}
    if strange := versions.keys() - decided:
        text = f"nothing is decided of {min(strange)}: an etag is of one of endpoint_ids"
        raise Invalid("ETAG_OF_NOTHING", text, field="etags")
    return versions


def endpoints_of(request: service_pb.ListEndpointsRequest) -> Selection:
    """What a list of endpoints is to show."""
    return Selection(
        states=states_of(request.states),
        name_contains=request.name_contains,
        newest_first=request.newest_first,
        ids=ids_of(request.ids),
        name=request.name if request.HasField("name") else None,
        full_name_contains=request.service_name_contains,
        vpc=request.vpc_id.lower(),
        number=request.marker_id,
        tags=tags_of(request.tags),
        order=order_of(request.order),
    )


def connections_of(request: service_pb.ListConnectionsRequest) -> Selection:
    """What a list of connections is to show: they have no names, and no tags that the service's owner sees."""
    return Selection(
        states=states_of(request.states),
        newest_first=request.newest_first,
        ids=ids_of(request.endpoint_ids),
        number=request.marker_id,
        order=order_of(request.order, Order.COUNTERPART_UPDATED),
    )


def until_of(request: service_pb.AcceptConnectionRequest, now: int) -> int:
    """Until when a connection is accepted, in nanoseconds since the epoch; 0 where that is not said."""
    if not request.HasField("expire_time"):
        return 0
    until = nanoseconds(request.expire_time, "expire_time")
    if not now < until <= now + LONGEST_ACCEPTANCE:
        text = "a connection is accepted until a moment to come, within a year"
        raise Invalid("EXPIRE_TIME_INVALID", text, field="expire_time")
    return until


def uuid_of(text: str, field: str) -> str:
    """A UUID in its usual form: lower case, with dashes."""
    try:
        return str(UUID(text))
    except ValueError:
        raise Invalid("UUID_INVALID", f"'{text[:64]}' is no UUID", field=field) from None


def name_of(endpoint: endpoint_pb.Endpoint) -> str:
    if not NAME.fullmatch(endpoint.name):
        text = "a name is up to 63 letters, digits, '_' and '-', and begins with a letter or digit"
        raise Invalid("NAME_INVALID", text, field="endpoint.name")
    return endpoint.name


def address_of(endpoint: endpoint_pb.Endpoint) -> str:
    """The address wanted; empty where any will do."""
    try:
        return str(addressing.address_of(endpoint.address)) if endpoint.address else ""
    except ValueError:
        text = f"'{endpoint.address}' is no address such as 10.0.0.10 or fd00:10::a"
        raise Invalid("ADDRESS_INVALID", text, field="endpoint.address") from None


def networks_of(cidrs: Sequence[str]) -> tuple[Network, ...]:
    """A whitelist: ranges, each once; empty is everybody."""
    if len(cidrs) > MOST_CIDRS:
        text = f"a whitelist has up to {MOST_CIDRS} ranges, not {len(cidrs)}"
        raise Invalid("TOO_MANY_CIDRS", text, field="endpoint.allowed_cidrs")
    networks: dict[Network, None] = {}
    for number, cidr in enumerate(cidrs):
        network = _network(cidr, f"endpoint.allowed_cidrs[{number}]")
        networks[network] = None
    return tuple(networks)


def statement_of(gateway: str, report: gateway_pb.EndpointReport) -> Statement:
    presence = PRESENCES.get(report.presence)
    if presence is None:
        raise Invalid("PRESENCE_MISSING", "a report says what the gateway has", field="endpoints.presence")
    wanted = report.sources_wanted
    return Statement(gateway, report.endpoint_id, report.generation, presence, report.reason, wanted)


def states_of(states: Iterable[endpoint_pb.ConnectionState.ValueType]) -> tuple[str, ...]:
    return tuple(endpoint_pb.ConnectionState.Name(state).removeprefix("CONNECTION_STATE_") for state in states)


def _network(cidr: str, field: str) -> Network:
    try:
        network = addressing.network_of(cidr, strict=False)
        first = addressing.address_of(cidr.partition("/")[0])
    except ValueError:
        text = f"'{cidr}' is no range such as 10.0.0.0/24 or fd00:10::/64"
        raise Invalid("CIDR_INVALID", text, field=field) from None
    if first != network.network_address:
        raise Invalid("CIDR_INVALID", f"{cidr} has bits set behind its prefix: is {network} meant?", field=field)
    return network
