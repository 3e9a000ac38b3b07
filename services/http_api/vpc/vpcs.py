"""`/v1/{project_id}/vpcs`."""

import secrets
from collections.abc import Sequence
from http import HTTPStatus

from google.protobuf.field_mask_pb2 import FieldMask

from services.http_api.auth.caller import CREATES, ProjectCaller
from services.http_api.upstream import Acting
from services.http_api.vpc import shown
from services.http_api.vpc.lists import MOST, Limit, Marker, Wanted, page
from services.http_api.vpc.models import (
    CreateVpc,
    CreateVpcBody,
    Tag,
    UpdateVpc,
    UpdateVpcBody,
    VpcAnswer,
    VpcsAnswer,
)
from services.http_api.vpc.refusals import router as router_of
from services.http_api.vpc.refusals import unsupported
from sidegate.api.registry.v1 import registry_service_pb2 as rpc
from sidegate.api.registry.v1 import tag_pb2, vpc_pb2

router = router_of("vpcs")

NO_ENTERPRISE_PROJECT = ("", "0")


@router.post("/v1/{project_id}/vpcs", operation_id="CreateVpc", openapi_extra=CREATES)
async def create(caller: ProjectCaller, body: CreateVpcBody) -> VpcAnswer:
    """Makes a VPC, which the operator's default attachment reaches from then on."""
    return VpcAnswer(vpc=shown.vpc(await made(caller, body.vpc), caller))


@router.get("/v1/{project_id}/vpcs", operation_id="ListVpcs")
async def list_vpcs(
    caller: ProjectCaller, limit: Limit = MOST, marker: Marker = "", id: Wanted = "", name: Wanted = ""
) -> VpcsAnswer:
    found = [each for each in await all_of(caller) if id in ("", each.id) and name in ("", each.name)]
    return VpcsAnswer(vpcs=[shown.vpc(each, caller) for each in page(found, limit, marker)])


@router.get("/v1/{project_id}/vpcs/{vpc_id}", operation_id="ShowVpc")
async def show(caller: ProjectCaller, vpc_id: str) -> VpcAnswer:
    return VpcAnswer(vpc=shown.vpc(await got(caller, vpc_id), caller))


@router.put("/v1/{project_id}/vpcs/{vpc_id}", operation_id="UpdateVpc")
async def update(caller: ProjectCaller, vpc_id: str, body: UpdateVpcBody) -> VpcAnswer:
    return VpcAnswer(vpc=shown.vpc(await changed(caller, vpc_id, body.vpc), caller))


@router.delete("/v1/{project_id}/vpcs/{vpc_id}", operation_id="DeleteVpc", status_code=HTTPStatus.NO_CONTENT)
async def delete(caller: ProjectCaller, vpc_id: str) -> None:
    await caller.write(caller.upstream.registry.DeleteVpc, rpc.DeleteVpcRequest(id=vpc_id))


async def made(caller: Acting, wanted: CreateVpc) -> vpc_pb2.Vpc:
    if wanted.enterprise_project_id not in NO_ENTERPRISE_PROJECT:
        raise unsupported("enterprise_project_id", "leave it out")
    _check_routes(wanted.enhanced_local_route)
    vpc = vpc_pb2.Vpc(
        name=wanted.name or f"vpc-{secrets.token_hex(4)}",
        cidrs=[wanted.cidr],
        description=wanted.description,
        tags=map(_tag, wanted.tags),
    )
    return await caller.write(caller.upstream.registry.CreateVpc, rpc.CreateVpcRequest(vpc=vpc))


async def all_of(caller: Acting) -> Sequence[vpc_pb2.Vpc]:
    """The project's, in order of creation. The operator would see everybody's."""
    pages = caller.pages(caller.upstream.registry.ListVpcs, rpc.ListVpcsRequest(page_size=1000))
    owner = (caller.account, caller.project)
    return [vpc async for some in pages for vpc in some.vpcs if (vpc.account, vpc.project) == owner]


async def got(caller: Acting, vpc_id: str) -> vpc_pb2.Vpc:
    return await caller.ask(caller.upstream.registry.GetVpc, rpc.GetVpcRequest(id=vpc_id))


async def changed(caller: Acting, vpc_id: str, wanted: UpdateVpc) -> vpc_pb2.Vpc:
    if wanted.routes:
        raise unsupported("routes", "routes are the machines' own")
    _check_routes(wanted.enhanced_local_route)
    vpc, paths = vpc_pb2.Vpc(id=vpc_id), []
    if wanted.name is not None:
        vpc.name = wanted.name
        paths.append("name")
    if wanted.description is not None:
        vpc.description = wanted.description
        paths.append("description")
    if wanted.cidr:
        before = await got(caller, vpc_id)
        vpc.cidrs.extend([wanted.cidr, *before.cidrs[1:]])
        paths.append("cidrs")
    return await written(caller, vpc, *paths) if paths else await got(caller, vpc_id)


async def written(caller: Acting, vpc: vpc_pb2.Vpc, *paths: str) -> vpc_pb2.Vpc:
    """Changes these fields."""
    request = rpc.UpdateVpcRequest(vpc=vpc, update_mask=FieldMask(paths=paths))
    return await caller.write(caller.upstream.registry.UpdateVpc, request)


def _check_routes(enhanced_local_route: bool) -> None:
    if enhanced_local_route:
        raise unsupported("enhanced_local_route", "leave it out")


def _tag(wanted: str | Tag) -> tag_pb2.Tag:
    """KEY*VALUE, as the first version of the API has tags, or both by name."""
    if isinstance(wanted, Tag):
        return tag_pb2.Tag(key=wanted.key, value=wanted.value)
    key, _, value = wanted.partition("*")
    return tag_pb2.Tag(key=key, value=value)
