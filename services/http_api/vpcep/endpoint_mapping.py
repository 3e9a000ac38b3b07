"""Endpoints: from the API's words to ours and back. Pure."""

import re
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from services.http_api.vpcep import policies
from services.http_api.vpcep.endpoint_models import (
    CreateEndpointBody,
    Endpoint,
    RouteTableError,
    RouteTableErrors,
    RouteTablesAnswer,
    WhitelistBody,
)
from services.http_api.vpcep.models import EndpointError, IpVersion, moment
from services.http_api.vpcep.service_mapping import SERVICE_TYPES, tag_messages, tags
from sidegate import errors
from sidegate.api.endpoint.v1 import endpoint_pb2 as endpoint_pb
from sidegate.api.endpoint.v1.endpoint_pb2 import ConnectionState
from sidegate.project_ids import project_id

State: TypeAlias = ConnectionState.ValueType

STATUSES: Mapping[State, str] = {
    ConnectionState.CONNECTION_STATE_PENDING_ACCEPTANCE: "pendingAcceptance",
    ConnectionState.CONNECTION_STATE_CREATING: "creating",
    ConnectionState.CONNECTION_STATE_ACCEPTED: "accepted",
    ConnectionState.CONNECTION_STATE_REJECTED: "rejected",
    ConnectionState.CONNECTION_STATE_FAILED: "failed",
    ConnectionState.CONNECTION_STATE_DELETING: "deleting",
    ConnectionState.CONNECTION_STATE_DELETED: "deleting",
}
BEFORE_ACCEPTANCE = frozenset(
    {ConnectionState.CONNECTION_STATE_PENDING_ACCEPTANCE, ConnectionState.CONNECTION_STATE_CREATING}
)
"""An address is told of once it is of use."""

FAILED = "EndPoint.2022"
TABLE = re.compile(r"route_tables\[(\d+)\]")
ENABLED, DISABLED = endpoint_pb.Endpoint.WHITELIST_ENABLED, endpoint_pb.Endpoint.WHITELIST_DISABLED


def wanted(body: CreateEndpointBody) -> endpoint_pb.Endpoint:
    """Without a subnet it is one of type gateway, of which `enable_dns` says nothing: Terraform sets it for all."""
    return endpoint_pb.Endpoint(
        service=body.endpoint_service_id.lower(),
        subnet_id=(body.subnet_id or "").lower(),
        vpc_id="" if body.subnet_id else body.vpc_id.lower(),
        route_tables=dict.fromkeys(table.lower() for table in body.routetables or ()),
        address=body.ipv6_address or body.port_ip or "",
        allowed_cidrs=body.whitelist or (),
        whitelist=ENABLED if body.enable_whitelist else DISABLED,
        dns_enabled=bool(body.enable_dns and body.subnet_id),
        description=body.description or "",
        tags=tag_messages(body.tags or ()),
        policy=policies.document(body.policy_statement, body.policy_document),
    )


def whitelisted(body: WhitelistBody, known: endpoint_pb.Endpoint) -> tuple[endpoint_pb.Endpoint, list[str]]:
    """A whitelist takes the place of the one before; one that is not there is empty."""
    made, paths = endpoint_pb.Endpoint(id=known.id, allowed_cidrs=body.whitelist or ()), ["allowed_cidrs"]
    if body.enable_whitelist is not None:
        made.whitelist = ENABLED if body.enable_whitelist else DISABLED
        paths.append("whitelist")
    return made, paths


def shown(found: endpoint_pb.Endpoint) -> Endpoint:
    statements, policy = policies.shown(found.policy)
    version = version_of(found.address or "".join(found.public_prefixes[:1]))
    address = "" if found.state in BEFORE_ACCEPTANCE else found.address
    return Endpoint(
        id=found.id,
        service_type=SERVICE_TYPES.get(found.type, "interface"),
        status=STATUSES[found.state],
        ip=address if version == "ipv4" else "",
        ipv6_address=address if version == "ipv6" else "",
        ip_version=version,
        active_status=["active"],
        endpoint_service_name=found.service_full_name,
        marker_id=found.marker_id,
        endpoint_service_id=found.service,
        enable_dns=found.dns_enabled,
        dns_names=list(found.dns_names) if found.dns_enabled else [],
        subnet_id=found.subnet_id,
        vpc_id=found.vpc_id,
        created_at=moment(found.create_time),
        updated_at=moment(found.update_time),
        project_id=project_id(found.account, found.project),
        tags=tags(found.tags),
        whitelist=[_short(cidr) for cidr in found.allowed_cidrs],
        enable_whitelist=_is_enabled(found),
        routetables=list(found.route_tables),
        description=found.description,
        policy_statement=statements,
        policy_document=policy,
        error=errors_of(found.state, found.failure),
    )


def table_at_fault(error: errors.SidegateError, tables: Sequence[str]) -> str | None:
    """Which of the route tables a refusal is about; None where it is about something else."""
    if found := TABLE.search(error.field):
        return tables[int(found[1])]
    named = error.metadata.get("route_table") or error.metadata.get("id", "")
    return named if named in tables else None


def bound(found: endpoint_pb.Endpoint, failed: list[RouteTableError]) -> RouteTablesAnswer:
    failures = [RouteTableErrors(bind_failed=failed, unbind_failed=[])] if failed else []
    return RouteTablesAnswer(routetables=list(found.route_tables), error=failures)


def version_of(address: str) -> IpVersion:
    """Of an address or range."""
    return "ipv6" if ":" in address else "ipv4"


def _short(cidr: str) -> str:
    """An address as it was given: clients compare."""
    return cidr.removesuffix("/128" if version_of(cidr) == "ipv6" else "/32")


def _is_enabled(found: endpoint_pb.Endpoint) -> bool:
    """One that says nothing of it, as the API's cannot, has a whitelist that counts unless it is empty."""
    if found.whitelist == endpoint_pb.Endpoint.WHITELIST_UNSPECIFIED:
        return bool(found.allowed_cidrs)
    return found.whitelist == ENABLED


def errors_of(state: State, failure: str) -> list[EndpointError]:
    if state != ConnectionState.CONNECTION_STATE_FAILED:
        return []
    return [EndpointError(error_code=FAILED, error_message=failure or "It could not be made.")]
