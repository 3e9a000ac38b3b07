"""`/v3/{project_id}/vpc/vpcs`: the same VPCs, with all their ranges."""

import uuid
from collections.abc import Sequence
from http import HTTPStatus

from services.http_api.auth.caller import CREATES, ProjectCaller
from services.http_api.vpc import shown, vpcs
from services.http_api.vpc.forms import one_form
from services.http_api.vpc.lists import MOST, Limit, Marker, Wanted, page
from services.http_api.vpc.models import (
    CreateVpcBody,
    ExtendCidrsBody,
    PageInfo,
    UpdateVpcBody,
    VpcsV3Answer,
    VpcV3Answer,
)
from services.http_api.vpc.refusals import router as router_of
from sidegate.api.registry.v1 import vpc_pb2

router = router_of("vpcs v3")

ALL, ONE = "/v3/{project_id}/vpc/vpcs", "/v3/{project_id}/vpc/vpcs/{vpc_id}"


@router.post(ALL, operation_id="CreateVpcV3", openapi_extra=CREATES, status_code=HTTPStatus.CREATED)
async def create(caller: ProjectCaller, body: CreateVpcBody) -> VpcV3Answer:
    return _answer(await vpcs.made(caller, body.vpc), caller)


@router.get(ALL, operation_id="ListVpcsV3")
async def list_vpcs(
    caller: ProjectCaller, limit: Limit = MOST, marker: Marker = "", id: Wanted = "", name: Wanted = ""
) -> VpcsV3Answer:
    found = [each for each in await vpcs.all_of(caller) if id in ("", each.id) and name in ("", each.name)]
    some = page(found, limit, marker)
    first = some[0].id if some else ""
    return VpcsV3Answer(
        request_id=_id(),
        vpcs=[shown.vpc_v3(each, caller) for each in some],
        page_info=PageInfo(previous_marker=first, current_count=len(some)),
    )


@router.get(ONE, operation_id="ShowVpcV3")
async def show(caller: ProjectCaller, vpc_id: str) -> VpcV3Answer:
    return _answer(await vpcs.got(caller, vpc_id), caller)


@router.put(ONE, operation_id="UpdateVpcV3")
async def update(caller: ProjectCaller, vpc_id: str, body: UpdateVpcBody) -> VpcV3Answer:
    return _answer(await vpcs.changed(caller, vpc_id, body.vpc), caller)


@router.delete(ONE, operation_id="DeleteVpcV3", status_code=HTTPStatus.NO_CONTENT)
async def delete(caller: ProjectCaller, vpc_id: str) -> None:
    await vpcs.delete(caller, vpc_id)


@router.put(f"{ONE}/add-extend-cidr", operation_id="AddVpcExtendCidrV3")
async def add_cidrs(caller: ProjectCaller, vpc_id: str, body: ExtendCidrsBody) -> VpcV3Answer:
    before = await vpcs.got(caller, vpc_id)
    more = [each for each in map(one_form, body.vpc.extend_cidrs) if each not in before.cidrs]
    return await _with_cidrs(caller, before, [*before.cidrs, *more])


@router.put(f"{ONE}/remove-extend-cidr", operation_id="RemoveVpcExtendCidrV3")
async def remove_cidrs(caller: ProjectCaller, vpc_id: str, body: ExtendCidrsBody) -> VpcV3Answer:
    before = await vpcs.got(caller, vpc_id)
    first, *others = before.cidrs
    gone = set(map(one_form, body.vpc.extend_cidrs))
    return await _with_cidrs(caller, before, [first, *(each for each in others if each not in gone)])


async def _with_cidrs(caller: ProjectCaller, before: vpc_pb2.Vpc, cidrs: Sequence[str]) -> VpcV3Answer:
    changed = vpc_pb2.Vpc(id=before.id, etag=before.etag, cidrs=cidrs)
    return _answer(await vpcs.written(caller, changed, "cidrs"), caller)


def _answer(found: vpc_pb2.Vpc, caller: ProjectCaller) -> VpcV3Answer:
    return VpcV3Answer(request_id=_id(), vpc=shown.vpc_v3(found, caller))


def _id() -> str:
    return uuid.uuid4().hex
