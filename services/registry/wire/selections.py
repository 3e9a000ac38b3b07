"""What lists of the registry are asked to show."""

from services.common.eventsourcing.selection import Selection
from services.common.rpc.listing import ids_of, order_of, tags_of
from services.registry.domain import account
from sidegate.api.registry.v1 import account_service_pb2, registry_service_pb2
from sidegate.api.registry.v1.endpoint_service_pb2 import EndpointService

Named = registry_service_pb2.ListVpcsRequest | registry_service_pb2.ListSubnetsRequest


def named(request: Named) -> Selection:
    """Of VPCs and subnets."""
    return Selection(
        name_contains=request.name_contains,
        newest_first=request.newest_first,
        ids=ids_of(request.ids),
        name=request.name if request.HasField("name") else None,
        tags=tags_of(request.tags),
    )


def route_tables(request: registry_service_pb2.ListRouteTablesRequest) -> Selection:
    return Selection(
        name_contains=request.name_contains,
        newest_first=request.newest_first,
        ids=ids_of(request.ids),
        name=request.name if request.HasField("name") else None,
    )


def ports(request: registry_service_pb2.ListPortsRequest) -> Selection:
    """A port's holder is its name in the read table."""
    return Selection(
        name_contains=request.holder_contains,
        newest_first=request.newest_first,
        ids=ids_of(request.ids),
        vpc=request.vpc_id.lower(),
    )


def attachments(request: registry_service_pb2.ListAttachmentsRequest) -> Selection:
    return Selection(newest_first=request.newest_first, ids=ids_of(request.ids))


def defaults(request: registry_service_pb2.ListDefaultAttachmentsRequest) -> Selection:
    return Selection(newest_first=request.newest_first)


def services(request: registry_service_pb2.ListEndpointServicesRequest) -> Selection:
    kind = EndpointService.ServerType.Name(request.server_type).removeprefix("SERVER_TYPE_")
    return Selection(
        states=tuple(EndpointService.State.Name(state).removeprefix("STATE_") for state in request.states),
        name_contains=request.name_contains,
        newest_first=request.newest_first,
        ids=ids_of(request.ids),
        name=request.name if request.HasField("name") else None,
        full_name_contains=request.full_name_contains,
        vpc=request.vpc_id.lower(),
        type=kind if request.server_type else "",
        tags=tags_of(request.tags),
        order=order_of(request.order),
    )


def platform_services(request: registry_service_pb2.ListPlatformServicesRequest) -> Selection:
    return Selection(
        newest_first=request.newest_first,
        ids=ids_of(request.ids),
        full_name_contains=request.full_name_contains,
    )


def accounts(request: account_service_pb2.ListAccountsRequest) -> Selection:
    return Selection(name_contains=request.name_contains, newest_first=request.newest_first)


def access_keys(request: account_service_pb2.ListAccessKeysRequest) -> Selection:
    return Selection(states=(account.VALID,) if request.valid_only else (), newest_first=request.newest_first)
