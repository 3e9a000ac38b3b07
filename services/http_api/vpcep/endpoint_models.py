"""Endpoints, as clients send them and get them."""

from typing import Annotated, Any, Literal

from pydantic import Field

from services.http_api.vpcep.listing import ListQuery
from services.http_api.vpcep.models import Answer, Body, EndpointError, IpVersion, Optionally, Tag, TagBody
from services.http_api.vpcep.service_models import Id, Said

Cidr = Annotated[str, Field(max_length=49)]
Whitelist = Annotated[list[Cidr], Field(max_length=200)]
RouteTables = Annotated[list[Id], Field(max_length=200)]


class PolicyStatement(Body):
    """Its keys are written with capitals."""

    Effect: Literal["Allow", "Deny"]
    Action: list[str]
    Resource: list[str]
    Condition: dict[str, Any] | None = None
    Sid: str | None = None


Statements = Annotated[list[PolicyStatement], Field(max_length=10)]


class CreateEndpointBody(Body):
    endpoint_service_id: Id
    vpc_id: Id
    subnet_id: Annotated[Id | None, Optionally] = None
    enable_dns: bool | None = None
    tags: list[TagBody] | None = None
    routetables: RouteTables | None = None
    port_ip: Annotated[str | None, Optionally] = None
    whitelist: Whitelist | None = None
    enable_whitelist: bool | None = None
    description: Said | None = None
    policy_statement: Statements | None = None
    policy_document: dict[str, Any] | None = None
    ip_version: Annotated[Literal["ipv4", "ipv6", "dualstack"] | None, Optionally] = None
    ipv6_address: Annotated[str | None, Optionally] = None
    specification_name: Annotated[Literal["default"] | None, Optionally] = None


class WhitelistBody(Body):
    whitelist: Whitelist | None = None
    enable_whitelist: bool | None = None


class RouteTablesBody(Body):
    routetables: RouteTables


class PolicyBody(Body):
    policy_statement: Statements | None = None
    policy_document: dict[str, Any] | None = None


class EndpointsQuery(ListQuery):
    endpoint_service_name: Annotated[str, Field(max_length=200)] = ""
    vpc_id: Annotated[str, Field(max_length=64)] = ""
    id: Annotated[str, Field(max_length=64)] = ""


class Endpoint(Answer):
    """Every field that any client reads; those that mean nothing here are empty."""

    id: str
    service_type: str = "interface"
    status: str
    ip: str
    ipv6_address: str = ""
    active_status: list[str]
    enable_status: str = "enable"
    endpoint_service_name: str
    marker_id: int
    endpoint_service_id: str
    enable_dns: bool
    dns_names: list[str]
    subnet_id: str
    vpc_id: str
    created_at: str
    updated_at: str
    project_id: str
    tags: list[Tag]
    whitelist: list[str]
    enable_whitelist: bool
    routetables: list[str]
    specification_name: str = "default"
    description: str
    policy_statement: list[dict[str, Any]]
    policy_document: dict[str, Any] | None
    endpoint_pool_id: str = ""
    public_border_group: str = ""
    ip_version: IpVersion
    error: list[EndpointError]


class EndpointsAnswer(Answer):
    endpoints: list[Endpoint]
    total_count: int


class RouteTableError(Answer):
    id: str
    error_message: str


class RouteTableErrors(Answer):
    bind_failed: list[RouteTableError]
    unbind_failed: list[RouteTableError]


class RouteTablesAnswer(Answer):
    routetables: list[str]
    error: list[RouteTableErrors]
