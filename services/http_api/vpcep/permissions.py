"""Who may connect to a service: permissions listed, added, described, removed."""

import re
from collections.abc import Sequence
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import Field

from services.http_api.auth.caller import ProjectCaller, SignedRoute
from services.http_api.errors import Refused
from services.http_api.upstream import Acting
from services.http_api.vpcep.ids import required
from services.http_api.vpcep.listing import ListQuery, contains
from services.http_api.vpcep.models import Answer, Body, Optionally, moment
from services.http_api.vpcep.service_models import Said
from services.http_api.vpcep.services import get
from sidegate.api.registry.v1 import registry_service_pb2 as rpc
from sidegate.api.registry.v1.endpoint_service_pb2 import EndpointService
from sidegate.api.registry.v1.endpoint_service_pb2 import Permission as Found

router = APIRouter(
    prefix="/v1/{project_id}/vpc-endpoint-services/{vpc_endpoint_service_id}/permissions",
    tags=["permissions"],
    route_class=SignedRoute,
)

FORM = re.compile(r"\*|iam:domain::(\*|[A-Za-z0-9][A-Za-z0-9_-]{0,63})|organizations:orgPath::[A-Za-z0-9/*?-]{1,1000}")
NO_PERMISSION, BAD_PERMISSIONS = "3002", "3036"
TYPES = {Found.TYPE_ORG_PATH: "orgPath"}

Type = Annotated[Literal["domainId", "orgPath"] | None, Optionally]
Text = Annotated[str, Field(max_length=1100)]
Many = Field(min_length=1, max_length=200)


class PermissionsQuery(ListQuery):
    limit: Annotated[int, Field(ge=0, le=500)] = 10
    permission: Text = ""


class ActionBody(Body):
    permissions: Annotated[list[Text], Many]
    action: Literal["add", "remove"]
    permission_type: Type = None


class Described(Body):
    permission: Text
    description: Said | None = None


class BatchAddBody(Body):
    permissions: Annotated[list[Described], Many]
    permission_type: Type = None


class Named(Body):
    id: Annotated[str, Field(max_length=64)]


class BatchRemoveBody(Body):
    permissions: Annotated[list[Named], Many]


class Words(Body):
    description: Said


class DescriptionBody(Body):
    permission: Words


class Permission(Answer):
    id: str
    permission: str
    permission_type: str
    description: str
    created_at: str


class PermissionsPage(Answer):
    permissions: list[Permission]
    total_count: int


class PermissionsAnswer(Answer):
    permissions: list[Permission]


class ActionAnswer(Answer):
    permissions: list[str]
    permission_type: str


def _shown(found: Found) -> Permission:
    return Permission(
        id=found.id,
        permission=found.permission,
        permission_type=TYPES.get(found.type, "domainId"),
        description=found.description,
        created_at=moment(found.create_time),
    )


def _checked(permissions: Sequence[str], kind: str | None) -> str:
    """Their type. Raises Refused for what is no permission, and for one of another type than is said."""
    types = set[str]()
    for each in permissions:
        if not FORM.fullmatch(each):
            raise Refused(NO_PERMISSION, f"'{each[:100]}': give iam:domain::ACCOUNT, organizations:orgPath::PATH or *.")
        types.add("orgPath" if each.startswith("organizations:") else "domainId")
    if len(types) > 1 or (kind is not None and kind not in types):
        raise Refused(BAD_PERMISSIONS, "Permissions of one request are of one type, and of permission_type.")
    return types.pop()


@router.get("", operation_id="ListServicePermissionsDetails")
async def list_permissions(
    caller: ProjectCaller, vpc_endpoint_service_id: str, query: Annotated[PermissionsQuery, Query()]
) -> PermissionsPage:
    service = await get(caller, vpc_endpoint_service_id)
    found = [each for each in service.permission_details if contains(each.permission, query.permission)]
    ordered = found if query.sort_dir == "asc" else found[::-1]
    shown = [_shown(each) for each in ordered[query.offset : query.offset + query.limit]]
    return PermissionsPage(permissions=shown, total_count=len(found))


@router.post("/action", operation_id="AddOrRemoveServicePermissions")
async def add_or_remove(caller: ProjectCaller, vpc_endpoint_service_id: str, body: ActionBody) -> ActionAnswer:
    """Adding what is there and removing what is not succeeds. Connections that exist stay."""
    id_, kind = required(vpc_endpoint_service_id, "0005"), _checked(body.permissions, body.permission_type)
    wanted, stub = list(dict.fromkeys(body.permissions)), caller.upstream.registry
    if body.action == "add":
        await caller.write(stub.AddPermissions, rpc.AddPermissionsRequest(service_id=id_, permissions=wanted))
    else:
        await caller.write(stub.RemovePermissions, rpc.RemovePermissionsRequest(service_id=id_, permissions=wanted))
    return ActionAnswer(permissions=body.permissions, permission_type=kind)


@router.post("/batch-create", operation_id="BatchAddEndpointServicePermissions")
async def batch_add(caller: ProjectCaller, vpc_endpoint_service_id: str, body: BatchAddBody) -> PermissionsAnswer:
    id_ = required(vpc_endpoint_service_id, "0005")
    _checked([each.permission for each in body.permissions], body.permission_type)
    plain = [each.permission for each in body.permissions if each.description is None]
    details = [
        Found(permission=each.permission, description=each.description)
        for each in body.permissions
        if each.description is not None
    ]
    request = rpc.AddPermissionsRequest(service_id=id_, permissions=plain, details=details)
    service = await caller.write(caller.upstream.registry.AddPermissions, request)
    wanted = {each.permission for each in body.permissions}
    return PermissionsAnswer(permissions=_of(service, wanted))


@router.post("/batch-delete", operation_id="BatchRemoveEndpointServicePermissions")
async def batch_remove(caller: ProjectCaller, vpc_endpoint_service_id: str, body: BatchRemoveBody) -> PermissionsAnswer:
    """Ids that are not there are left out of the answer."""
    service = await get(caller, vpc_endpoint_service_id)
    ids = {each.id.lower() for each in body.permissions}
    gone = [each for each in service.permission_details if each.id in ids]
    if gone:
        texts = [each.permission for each in gone]
        request = rpc.RemovePermissionsRequest(service_id=service.id, permissions=texts)
        await caller.write(caller.upstream.registry.RemovePermissions, request)
    return PermissionsAnswer(permissions=[_shown(each) for each in gone])


@router.put("/{permission_id}", operation_id="UpdateEndpointServicePermissionDesc")
async def describe(
    caller: ProjectCaller, vpc_endpoint_service_id: str, permission_id: str, body: DescriptionBody
) -> PermissionsAnswer:
    known = await _known(caller, vpc_endpoint_service_id, permission_id)
    details = [Found(permission=known.permission, description=body.permission.description)]
    request = rpc.AddPermissionsRequest(service_id=required(vpc_endpoint_service_id, "0005"), details=details)
    service = await caller.write(caller.upstream.registry.AddPermissions, request)
    return PermissionsAnswer(permissions=_of(service, {known.permission}))


async def _known(caller: Acting, service_id: str, permission_id: str) -> Found:
    service = await get(caller, service_id)
    found = next((each for each in service.permission_details if each.id == permission_id.lower()), None)
    if found is None:
        raise Refused("0005", "The service has no such permission.")
    return found


def _of(service: EndpointService, wanted: set[str]) -> list[Permission]:
    return [_shown(each) for each in service.permission_details if each.permission in wanted]
