"""VPCs, subnets and ports of the registry in the words of the VPC API."""

from google.protobuf.timestamp_pb2 import Timestamp

from services.http_api.upstream import Acting
from services.http_api.vpc.forms import is_ipv6
from services.http_api.vpc.models import FixedIp, Port, Subnet, Tag, Vpc, VpcV3
from services.http_api.vpc.route_table_models import RouteTable, SubnetOfTable
from sidegate.api.registry.v1 import vpc_pb2

UNNAMED = "unnamed"
"""What the machine at a port is called that has no name."""

MACHINE, ENDPOINT = "machine", "endpoint"
OWNERS = {ENDPOINT: "network:vpc_endpoint", "gateway": "network:resolver"}
"""Whose an address is that no machine has."""


def vpc(found: vpc_pb2.Vpc, caller: Acting) -> Vpc:
    at = moment(found.create_time)
    return Vpc(
        id=found.id,
        name=found.name,
        description=found.description,
        cidr=found.cidrs[0],
        tenant_id=caller.project_id,
        created_at=at,
        updated_at=at,
    )


def vpc_v3(found: vpc_pb2.Vpc, caller: Acting) -> VpcV3:
    at = moment(found.create_time)
    return VpcV3(
        id=found.id,
        name=found.name,
        description=found.description,
        cidr=found.cidrs[0],
        extend_cidrs=list(found.cidrs[1:]),
        project_id=caller.project_id,
        tags=[Tag(key=tag.key, value=tag.value) for tag in found.tags],
        created_at=at,
        updated_at=at,
    )


def subnet(found: vpc_pb2.Subnet, caller: Acting) -> Subnet:
    """A subnet is one network with one range here, so that all its ids are one. `cidr` is that range, of either."""
    primary, secondary = [*found.dns_servers, "", ""][:2]
    ipv6 = is_ipv6(found.cidr)
    at = moment(found.create_time)
    return Subnet(
        id=found.id,
        name=found.name,
        description=found.description,
        cidr=found.cidr,
        gateway_ip=found.gateway_address,
        vpc_id=found.vpc_id,
        dhcp_enable=found.dhcp_enabled,
        primary_dns=primary,
        secondary_dns=secondary,
        dns_list=list(found.dns_servers),
        availability_zone=found.availability_zone,
        ipv6_enable=ipv6,
        cidr_v6=found.cidr if ipv6 else "",
        gateway_ip_v6=found.gateway_address if ipv6 else "",
        neutron_network_id=found.id,
        neutron_subnet_id=found.id,
        tenant_id=caller.project_id,
        created_at=at,
        updated_at=at,
    )


def route_table(found: vpc_pb2.RouteTable, caller: Acting) -> RouteTable:
    at = moment(found.create_time)
    return RouteTable(
        id=found.id,
        name=found.name,
        default=found.by_default,
        subnets=[SubnetOfTable(id=each) for each in found.subnet_ids],
        tenant_id=caller.project_id,
        vpc_id=found.vpc_id,
        description=found.description,
        created_at=at,
        updated_at=at,
    )


def port(found: vpc_pb2.Port, caller: Acting) -> Port:
    kind, _, name = found.holder.partition("/")
    at = moment(found.create_time)
    return Port(
        id=found.id,
        name=name if kind == MACHINE and name != UNNAMED else "",
        network_id=found.subnet_id,
        fixed_ips=[FixedIp(ip_address=found.address, subnet_id=found.subnet_id)],
        device_id=name if kind == ENDPOINT else "",
        device_owner=OWNERS.get(kind, ""),
        tenant_id=caller.project_id,
        project_id=caller.project_id,
        created_at=at,
        updated_at=at,
    )


def moment(time: Timestamp) -> str:
    """In whole seconds, as the API has them."""
    return time.ToDatetime().strftime("%Y-%m-%dT%H:%M:%SZ")
