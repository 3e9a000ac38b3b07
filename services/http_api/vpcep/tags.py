"""Tags: put on resources, taken off, listed, and resources found by them."""

from enum import StrEnum
from itertools import groupby
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Response
from pydantic import Field

from services.http_api.auth.caller import ProjectCaller, SignedRoute
from services.http_api.errors import Refused
from services.http_api.upstream import Acting
from services.http_api.vpcep import endpoints, service_mapping, services
from services.http_api.vpcep.listing import NOTHING, ListQuery, Part, everything, part
from services.http_api.vpcep.models import Answer, Body, Tag
from services.http_api.vpcep.tag_filters import Search, is_named, tag_filter
from sidegate import errors
from sidegate.api.endpoint.v1.endpoint_pb2 import Endpoint
from sidegate.api.endpoint.v1.endpoint_service_pb2 import ListEndpointsRequest, ListEndpointTagsRequest
from sidegate.api.registry.v1.endpoint_service_pb2 import EndpointService
from sidegate.api.registry.v1.registry_service_pb2 import ListEndpointServicesRequest, ListEndpointServiceTagsRequest
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


def _tags(found: Found) -> dict[str, str]:
    return {each.key: each.value for each in found.tags}


def _list(caller: Acting, kind: ResourceType, body: Search) -> tuple[Any, Any, str]:
    """The list of the resources with the tags that are looked for: method, request, and where its pages have them."""
    up, tags = caller.upstream, tag_filter(body)
    if kind is ResourceType.SERVICE:
        return up.registry.ListEndpointServices, ListEndpointServicesRequest(tags=tags), "endpoint_services"
    return up.endpoints.ListEndpoints, ListEndpointsRequest(tags=tags), "endpoints"


async def _found(caller: Acting, kind: ResourceType, body: "SearchBody") -> Part:
    """By names each is looked at: they are ids where there is none."""
    if body.sys_tags and not body.without_any_tag:
        return NOTHING  # nothing here has tags of the platform's
    method, request, field = _list(caller, kind, body)
    if not body.matches:
        query = ListQuery(limit=0 if body.action == "count" else body.limit, offset=body.offset)
        return await part(caller, method, request, field, query)
    request.newest_first = True
    found = [each for each in await everything(caller, method, request, field) if is_named(body, _name(each))]
    return Part(found[body.offset : body.offset + body.limit], len(found))


def _name(found: Found) -> str:
    return found.name or found.id


@router.post("/{resource_type}/resource_instances/action", operation_id="ListResourceInstances")
async def search(caller: ProjectCaller, resource_type: ResourceType, body: SearchBody) -> FilterAnswer | CountAnswer:
    """Resources by their tags, newest first, or how many there are."""
    found = await _found(caller, resource_type, body)
    if body.action == "count":
        return CountAnswer(total_count=found.total)
    shown = [
        ResourceInstance(resource_id=each.id, resource_name=_name(each), tags=service_mapping.tags(each.tags))
        for each in found.items
    ]
    return FilterAnswer(resources=shown, total_count=found.total)


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
    if resource_type is ResourceType.SERVICE:
        asked: Any = ListEndpointServiceTagsRequest()
        tags = await everything(caller, caller.upstream.registry.ListEndpointServiceTags, asked, "tags")
    else:
        asked = ListEndpointTagsRequest()
        tags = await everything(caller, caller.upstream.endpoints.ListEndpointTags, asked, "tags")
    return TagsAnswer(
        tags=[
            TagValues(key=key, values=[each.value for each in values])
            for key, values in groupby(tags, key=lambda each: str(each.key))
        ]
    )
