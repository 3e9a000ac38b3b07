"""Tags: put on resources, taken off, listed, and resources found by them."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Literal

from fastapi import APIRouter, Response
from pydantic import Field

from services.http_api.auth.caller import ProjectCaller, SignedRoute
from services.http_api.errors import Refused
from services.http_api.upstream import Acting
from services.http_api.vpcep import endpoints, service_mapping, services
from services.http_api.vpcep.models import Answer, Body, Tag
from services.http_api.vpcep.tag_filters import Search, by_key, finds
from sidegate import errors
from sidegate.api.endpoint.v1.endpoint_pb2 import Endpoint
from sidegate.api.registry.v1.endpoint_service_pb2 import EndpointService
from sidegate.api.registry.v1.tag_pb2 import Tag as TagMessage

router = APIRouter(prefix="/v1/{project_id}", tags=["tags"], route_class=SignedRoute)

ATTEMPTS = 5
"""How often tags are changed, if somebody else changes the resource in between."""

NO_TAGS, KEY_MISSING = "3066", "3072"
Found = EndpointService | Endpoint


class ResourceType(StrEnum):
    SERVICE = "endpoint_service"
    ENDPOINT = "endpoint"


class SearchBody(Search):
    action: Literal["filter", "count"]
    limit: Annotated[int, Field(ge=1, le=1000)] = 1000
    offset: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0


class TagWish(Body):
    key: Annotated[str, Field(max_length=128)]
    value: Annotated[str, Field(max_length=255)] | None = None


class TagsBody(Body):
    action: Literal["create", "delete"]
    tags: Annotated[list[TagWish], Field(max_length=20)]


class ResourceInstance(Answer):
    resource_id: str
    resource_name: str
    tags: list[Tag]


class CountAnswer(Answer):
    total_count: int


class FilterAnswer(CountAnswer):
    resources: list[ResourceInstance]


class TagValues(Answer):
    key: str
    values: list[str]


class TagsAnswer(Answer):
    tags: list[TagValues]


async def _every(caller: Acting, kind: ResourceType) -> Sequence[Found]:
    return await (services.every(caller) if kind is ResourceType.SERVICE else endpoints.every(caller))


def _tags(found: Found) -> dict[str, str]:
    return {each.key: each.value for each in found.tags}


def _name(found: Found) -> str:
    return found.name or found.id


@router.post("/{resource_type}/resource_instances/action", operation_id="ListResourceInstances")
async def search(caller: ProjectCaller, resource_type: ResourceType, body: SearchBody) -> FilterAnswer | CountAnswer:
    """Resources by their tags, newest first, or how many there are."""
    found = [each for each in await _every(caller, resource_type) if finds(body, _name(each), _tags(each))]
    if body.action == "count":
        return CountAnswer(total_count=len(found))
    asked = found[::-1][body.offset : body.offset + body.limit]
    shown = [
        ResourceInstance(resource_id=each.id, resource_name=_name(each), tags=service_mapping.tags(each.tags))
        for each in asked
    ]
    return FilterAnswer(resources=shown, total_count=len(found))


@router.post(
    "/{resource_type}/{resource_id}/tags/action",
    operation_id="BatchAddOrRemoveResourceInstance",
    status_code=204,
)
async def change_tags(caller: ProjectCaller, resource_type: ResourceType, resource_id: str, body: TagsBody) -> Response:
    """A key that is there gets the new value; a key with another value than is named stays."""
    if not body.tags:
        raise Refused(NO_TAGS)
    if any(not each.key for each in body.tags):
        raise Refused(KEY_MISSING, "A tag has a key.")
    for attempt in range(1, ATTEMPTS + 1):
        try:
            await _change(caller, resource_type, resource_id, body)
            break
        except errors.Outdated:
            if attempt == ATTEMPTS:
                raise
    return Response(status_code=204)


async def _change(caller: Acting, kind: ResourceType, id_: str, body: TagsBody) -> None:
    if kind is ResourceType.SERVICE:
        service = await services.get(caller, id_)
        if (tags := _changed(_tags(service), body)) is not None:
            await services.update(caller, EndpointService(id=service.id, tags=tags, etag=service.etag), ["tags"])
    else:
        endpoint = await endpoints.get(caller, id_)
        if (tags := _changed(_tags(endpoint), body)) is not None:
            await endpoints.update(caller, Endpoint(id=endpoint.id, tags=tags, etag=endpoint.etag), ["tags"])


def _changed(known: dict[str, str], body: TagsBody) -> list[TagMessage] | None:
    """The tags afterwards; None where they stay as they are."""
    after = dict(known)
    for each in body.tags:
        if body.action == "create":
            after[each.key] = each.value or ""
        elif each.value is None or known.get(each.key) == each.value or not each.value:
            after.pop(each.key, None)
    return None if after == known else [TagMessage(key=key, value=value) for key, value in after.items()]


@router.get("/{resource_type}/tags", operation_id="ListQueryProjectResourceTags")
async def list_tags(caller: ProjectCaller, resource_type: ResourceType) -> TagsAnswer:
    """Every key of the project's resources of a type, with the values that it has."""
    found = by_key([_tags(each) for each in await _every(caller, resource_type)])
    return TagsAnswer(tags=[TagValues(key=key, values=list(values)) for key, values in found.items()])
