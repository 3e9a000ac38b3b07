"""`/v1/{project_id}/subnets`."""

import secrets
from collections.abc import Sequence
from http import HTTPStatus

from google.protobuf.field_mask_pb2 import FieldMask

from services.http_api.auth.caller import CREATES, ProjectCaller
from services.http_api.errors import Refused
from services.http_api.upstream import Acting
from services.http_api.vpc import shown
from services.http_api.vpc.forms import first_host, is_ipv6, one_form
from services.http_api.vpc.lists import MOST, Limit, Marker, Wanted, page
from services.http_api.vpc.models import (
    ChangedSubnet,
    ChangedSubnetAnswer,
    CreateSubnetBody,
    SubnetAnswer,
    SubnetFields,
    SubnetsAnswer,
    UpdateSubnetBody,
)
from services.http_api.vpc.refusals import NOT_FOUND, WRONG, unsupported
from services.http_api.vpc.refusals import router as router_of
from sidegate.api.registry.v1 import registry_service_pb2 as rpc
from sidegate.api.registry.v1 import tag_pb2, vpc_pb2

router = router_of("subnets")

IN_VPC = "/v1/{project_id}/vpcs/{vpc_id}/subnets/{subnet_id}"


@router.post("/v1/{project_id}/subnets", operation_id="CreateSubnet", openapi_extra=CREATES)
async def create(caller: ProjectCaller, body: CreateSubnetBody) -> SubnetAnswer:
    """The gateway's address is the first of the range."""
    wanted = body.subnet
    _check_supported(wanted, wanted.cidr)
    first = first_host(wanted.cidr)
    if first and one_form(wanted.gateway_ip) not in ("", first):
        raise unsupported(f"gateway_ip {wanted.gateway_ip}", f"give {first}, the first address of {wanted.cidr}")
    tags = (each.partition("*") for each in wanted.tags)
    subnet = vpc_pb2.Subnet(
        name=wanted.name or f"subnet-{secrets.token_hex(4)}",
        vpc_id=wanted.vpc_id,
        cidr=wanted.cidr,
        description=wanted.description or "",
        dns_servers=_servers(wanted) or (),
        dhcp_enabled=wanted.dhcp_enable is not False,
        availability_zone=wanted.availability_zone,
        tags=[tag_pb2.Tag(key=key, value=value) for key, _, value in tags],
    )
    made = await caller.write(caller.upstream.registry.CreateSubnet, rpc.CreateSubnetRequest(subnet=subnet))
    return SubnetAnswer(subnet=shown.subnet(made, caller))


@router.get("/v1/{project_id}/subnets", operation_id="ListSubnets")
async def list_subnets(
    caller: ProjectCaller, limit: Limit = MOST, marker: Marker = "", vpc_id: Wanted = ""
) -> SubnetsAnswer:
    request = rpc.ListSubnetsRequest(page_size=1000)
    pages = caller.pages(caller.upstream.registry.ListSubnets, request)
    found = [each async for some in pages for each in some.subnets if vpc_id in ("", each.vpc_id)]
    return SubnetsAnswer(subnets=[shown.subnet(each, caller) for each in page(found, limit, marker)])


@router.get("/v1/{project_id}/subnets/{subnet_id}", operation_id="ShowSubnet")
async def show(caller: ProjectCaller, subnet_id: str) -> SubnetAnswer:
    return SubnetAnswer(subnet=shown.subnet(await got(caller, subnet_id), caller))


@router.put(IN_VPC, operation_id="UpdateSubnet")
async def update(caller: ProjectCaller, vpc_id: str, subnet_id: str, body: UpdateSubnetBody) -> ChangedSubnetAnswer:
    wanted = body.subnet
    before = await _in_vpc(caller, vpc_id, subnet_id)
    _check_supported(wanted, before.cidr)
    servers = _servers(wanted, before.dns_servers)
    changes = {
        "name": wanted.name,
        "description": wanted.description,
        "dhcp_enabled": wanted.dhcp_enable,
        "dns_servers": servers,
    }
    if paths := [path for path, value in changes.items() if value is not None]:
        subnet = vpc_pb2.Subnet(
            id=subnet_id,
            name=wanted.name or "",
            description=wanted.description or "",
            dhcp_enabled=bool(wanted.dhcp_enable),
            dns_servers=servers or (),
        )
        await written(caller, subnet, *paths)
    return ChangedSubnetAnswer(subnet=ChangedSubnet(id=subnet_id))


@router.delete(IN_VPC, operation_id="DeleteSubnet", status_code=HTTPStatus.NO_CONTENT)
async def delete(caller: ProjectCaller, vpc_id: str, subnet_id: str) -> None:
    await _in_vpc(caller, vpc_id, subnet_id)
    await caller.write(caller.upstream.registry.DeleteSubnet, rpc.DeleteSubnetRequest(id=subnet_id))


async def got(caller: Acting, subnet_id: str) -> vpc_pb2.Subnet:
    return await caller.ask(caller.upstream.registry.GetSubnet, rpc.GetSubnetRequest(id=subnet_id))


async def written(caller: Acting, subnet: vpc_pb2.Subnet, *paths: str) -> vpc_pb2.Subnet:
    """Changes these fields."""
    request = rpc.UpdateSubnetRequest(subnet=subnet, update_mask=FieldMask(paths=paths))
    return await caller.write(caller.upstream.registry.UpdateSubnet, request)


async def _in_vpc(caller: Acting, vpc_id: str, subnet_id: str) -> vpc_pb2.Subnet:
    subnet = await got(caller, subnet_id)
    if subnet.vpc_id != vpc_id:
        raise Refused(NOT_FOUND["subnet"], f"VPC {vpc_id} has no subnet {subnet_id}.")
    return subnet


def _check_supported(wanted: SubnetFields, cidr: str) -> None:
    if wanted.ipv6_enable and not is_ipv6(cidr):
        raise unsupported("ipv6_enable", "a subnet has one range, make another with an IPv6 cidr")
    if wanted.extra_dhcp_opts:
        raise unsupported("extra_dhcp_opts", "Sidegate serves no DHCP")


def _servers(wanted: SubnetFields, before: Sequence[str] = ()) -> Sequence[str] | None:
    """The list counts where it is given, else the first two, of which each stays that is not given; None: as before."""
    if wanted.dns_list is not None:
        return wanted.dns_list
    if wanted.primary_dns is None and wanted.secondary_dns is None:
        return None
    given = zip((wanted.primary_dns, wanted.secondary_dns), [*before, "", ""], strict=False)
    primary, secondary = (old if new is None else new for new, old in given)
    if secondary and not primary:
        raise Refused(WRONG, "secondary_dns: give primary_dns first.")
    return [each for each in (primary, secondary, *before[2:]) if each]
