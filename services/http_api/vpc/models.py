"""Bodies of the VPC API, as clients send and read them. What is not named here is ignored."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

CIDR = r"^((\d{1,3}\.){3}\d{1,3}/\d{1,2}|[0-9A-Fa-f:.]{2,45}/\d{1,3})$"


class Route(BaseModel):
    destination: str
    nexthop: str


class DhcpOption(BaseModel):
    opt_name: str
    opt_value: str | None = None


class Tag(BaseModel):
    key: str = Field(max_length=128)
    value: str = Field("", max_length=255)


class CreateVpc(BaseModel):
    name: str = Field("", max_length=64)
    cidr: str = Field(pattern=CIDR)
    description: str = Field("", max_length=255)
    enterprise_project_id: str = Field("", max_length=64)
    enhanced_local_route: bool = False
    tags: list[str | Tag] = Field([], max_length=20)


class CreateVpcBody(BaseModel):
    vpc: CreateVpc


class UpdateVpc(BaseModel):
    name: str | None = Field(None, min_length=1, max_length=64)
    cidr: str | None = Field(None, max_length=49)
    description: str | None = Field(None, max_length=255)
    enhanced_local_route: bool = False
    routes: list[Route] = Field([], max_length=100)


class UpdateVpcBody(BaseModel):
    vpc: UpdateVpc


class Vpc(BaseModel):
    id: str
    name: str
    description: str
    cidr: str
    status: str = "OK"
    routes: list[Route] = []
    enterprise_project_id: str = "0"
    enhanced_local_route: bool = False
    tenant_id: str
    created_at: str
    updated_at: str


class VpcAnswer(BaseModel):
    vpc: Vpc


class VpcsAnswer(BaseModel):
    vpcs: list[Vpc]


class VpcV3(BaseModel):
    id: str
    name: str
    description: str
    cidr: str
    extend_cidrs: list[str]
    status: str = "ACTIVE"
    enterprise_project_id: str = "0"
    project_id: str
    cloud_resources: list[dict[str, Any]] = []
    tags: list[Tag]
    created_at: str
    updated_at: str


class VpcV3Answer(BaseModel):
    request_id: str
    vpc: VpcV3


class PageInfo(BaseModel):
    previous_marker: str
    current_count: int


class VpcsV3Answer(BaseModel):
    request_id: str
    vpcs: list[VpcV3]
    page_info: PageInfo


class ExtendCidrs(BaseModel):
    extend_cidrs: list[str] = Field(min_length=1, max_length=8)


class ExtendCidrsBody(BaseModel):
    vpc: ExtendCidrs


class SubnetFields(BaseModel):
    """What may be said of a subnet when it is made, and later."""

    model_config = ConfigDict(populate_by_name=True)

    name: str | None = Field(None, max_length=64)
    description: str | None = Field(None, max_length=255)
    ipv6_enable: bool = False
    dhcp_enable: bool | None = None
    primary_dns: str | None = Field(None, max_length=45)
    secondary_dns: str | None = Field(None, max_length=45)
    dns_list: list[str] | None = Field(None, alias="dnsList", max_length=5)
    extra_dhcp_opts: list[DhcpOption] = Field([], max_length=20)


class CreateSubnet(SubnetFields):
    cidr: str = Field(pattern=CIDR)
    vpc_id: str = Field(max_length=64)
    gateway_ip: str = Field("", max_length=45)
    availability_zone: str = Field("", max_length=64)
    tags: list[str] = Field([], max_length=20)


class CreateSubnetBody(BaseModel):
    subnet: CreateSubnet


class UpdateSubnetBody(BaseModel):
    subnet: SubnetFields


class Subnet(BaseModel):
    model_config = ConfigDict(populate_by_name=True)

    id: str
    name: str
    description: str
    cidr: str
    gateway_ip: str
    vpc_id: str
    status: str = "ACTIVE"
    dhcp_enable: bool
    primary_dns: str
    secondary_dns: str
    dns_list: list[str] = Field(alias="dnsList")
    availability_zone: str
    ipv6_enable: bool
    cidr_v6: str
    gateway_ip_v6: str
    neutron_network_id: str
    neutron_subnet_id: str
    extra_dhcp_opts: list[DhcpOption] = []
    tenant_id: str
    created_at: str
    updated_at: str


class SubnetAnswer(BaseModel):
    subnet: Subnet


class SubnetsAnswer(BaseModel):
    subnets: list[Subnet]


class ChangedSubnet(BaseModel):
    id: str
    status: str = "ACTIVE"


class ChangedSubnetAnswer(BaseModel):
    subnet: ChangedSubnet


class FixedIp(BaseModel):
    ip_address: str = Field("", max_length=45)
    subnet_id: str = Field("", max_length=64)


class CreatePort(BaseModel):
    name: str = Field("", max_length=64)
    network_id: str = Field(max_length=64)
    fixed_ips: list[FixedIp] = Field([], max_length=1)
    device_owner: str = Field("", max_length=255)
    security_groups: list[str] | None = Field(None, max_length=100)
    allowed_address_pairs: list[Any] | None = Field(None, max_length=100)
    extra_dhcp_opts: list[Any] | None = Field(None, max_length=20)


class CreatePortBody(BaseModel):
    port: CreatePort


class UpdatePort(BaseModel):
    name: str | None = Field(None, max_length=64)
    security_groups: list[str] | None = Field(None, max_length=100)
    allowed_address_pairs: list[Any] | None = Field(None, max_length=100)
    extra_dhcp_opts: list[Any] | None = Field(None, max_length=20)


class UpdatePortBody(BaseModel):
    port: UpdatePort


class Port(BaseModel):
    model_config = ConfigDict(populate_by_name=True)

    id: str
    name: str
    network_id: str
    status: str = "ACTIVE"
    admin_state_up: bool = True
    fixed_ips: list[FixedIp]
    mac_address: str = ""
    device_id: str
    device_owner: str
    tenant_id: str
    project_id: str
    security_groups: list[str] = []
    allowed_address_pairs: list[Any] = []
    extra_dhcp_opts: list[Any] = []
    dns_assignment: list[Any] = []
    dns_name: str = ""
    vnic_type: str = Field("normal", alias="binding:vnic_type")
    vif_details: dict[str, Any] = Field({}, alias="binding:vif_details")
    profile: dict[str, Any] = Field({}, alias="binding:profile")
    port_security_enabled: bool = False
    instance_id: str = ""
    instance_type: str = ""
    zone_id: str = ""
    enable_efi: bool = False
    ipv6_bandwidth_id: str = ""
    created_at: str
    updated_at: str


class PortAnswer(BaseModel):
    port: Port


class PortsAnswer(BaseModel):
    ports: list[Port]


class TagsAnswer(BaseModel):
    tags: list[Tag]


class OneTagBody(BaseModel):
    tag: Tag


class TagActionBody(BaseModel):
    action: str = Field(pattern="^(create|delete)$")
    tags: list[Tag] = Field(min_length=1, max_length=20)
