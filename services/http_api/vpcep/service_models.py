"""Endpoint services, as clients send them and get them."""

from ipaddress import IPv4Address, IPv6Address
from typing import Annotated, Literal

from pydantic import Field

from services.http_api.vpcep.listing import ListQuery
from services.http_api.vpcep.models import Answer, Body, IpVersion, Optionally, ServiceError, Tag, TagBody

TcpProxy = Literal["close", "toa_open", "proxy_open", "open", "proxy_vni"]
Status = Literal["creating", "available", "failed", "deleting"]
Name = Annotated[str, Field(pattern="^[A-Za-z0-9_-]{0,16}$")]
PortNumber = Annotated[int, Field(ge=1, le=65535)]
Id = Annotated[str, Field(min_length=1, max_length=64)]
Said = Annotated[str, Field(max_length=128, pattern="^[^<>]*$")]


class PortBody(Body):
    client_port: PortNumber
    server_port: PortNumber
    protocol: Literal["TCP", "UDP"] = "TCP"


class CreateServiceBody(Body):
    port_id: Id
    vpc_id: Id
    server_type: Literal["VM", "LB", "VIP"]
    ports: Annotated[list[PortBody], Field(min_length=1, max_length=200)]
    service_name: Name | None = None
    approval_enabled: bool | None = None
    service_type: Annotated[Literal["interface"] | None, Optionally] = None
    ip: Annotated[str, Field(max_length=0)] | None = None
    tcp_proxy: Annotated[TcpProxy | None, Optionally] = None
    tags: list[TagBody] | None = None
    description: Said | None = None
    ip_version: Annotated[IpVersion | None, Optionally] = None
    enable_policy: bool | None = None


class UpdateServiceBody(Body):
    approval_enabled: bool | None = None
    service_name: Name | None = None
    ports: Annotated[list[PortBody], Field(min_length=1, max_length=200)] | None = None
    port_id: Annotated[Id | None, Optionally] = None
    tcp_proxy: Annotated[TcpProxy | None, Optionally] = None
    description: Said | None = None
    ip: Annotated[IPv4Address | IPv6Address | None, Optionally] = None


class RenameBody(Body):
    endpoint_service_name: Name


class ServicesQuery(ListQuery):
    endpoint_service_name: Annotated[str, Field(max_length=200)] = ""
    id: Annotated[str, Field(max_length=64)] = ""
    status: Annotated[Status | None, Optionally] = None
    net_type: Annotated[str, Field(max_length=64)] = ""
    server_type: Annotated[str, Field(max_length=64)] = ""


class PublicQuery(ListQuery):
    endpoint_service_name: Annotated[str, Field(max_length=200)] = ""
    id: Annotated[str, Field(max_length=64)] = ""


class DescribeQuery(Body):
    endpoint_service_name: Annotated[str, Field(max_length=200)] = ""
    id: Annotated[str, Field(max_length=64)] = ""


class ServerResource(Body):
    resource_id: Id
    availability_zone_id: Annotated[str, Field(max_length=64)] = ""


class AddServersBody(Body):
    server_resources: Annotated[list[ServerResource], Field(min_length=1, max_length=64)]


class Port(Answer):
    client_port: int
    server_port: int
    protocol: str


class Service(Answer):
    """Every field that any client reads; those that mean nothing here are empty."""

    id: str
    port_id: str
    vip_port_id: str = ""
    service_name: str
    server_type: str
    vpc_id: str
    pool_id: str = ""
    approval_enabled: bool
    status: str
    service_type: str
    created_at: str
    updated_at: str
    project_id: str
    domain_id: str
    ip: str
    ports: list[Port]
    tcp_proxy: str
    tags: list[Tag]
    description: str
    enable_policy: bool
    ip_version: IpVersion
    error: list[ServiceError]
    supported_editions: list[str]
    public_border_group: str = ""
    cidr_type: str = "internal"
    snat_network_id: str = ""


class ListedService(Service):
    connection_count: int


class ServicesAnswer(Answer):
    endpoint_services: list[ListedService]
    total_count: int


class RenameAnswer(Answer):
    endpoint_service_name: str


class PublicService(Answer):
    id: str
    owner: str
    service_name: str
    service_type: str
    created_at: str
    is_charge: bool = False
    enable_policy: bool
    public_border_group: str = ""


class PublicServicesAnswer(Answer):
    endpoint_services: list[PublicService]
    total_count: int


class Description(Answer):
    id: str
    service_name: str
    service_type: str
    created_at: str
    is_charge: bool = False
    public_border_group: str = ""
    enable_policy: bool
