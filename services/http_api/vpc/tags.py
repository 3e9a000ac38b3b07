"""`/v2.0/{project_id}/vpcs/{id}/tags` and the same of subnets."""

from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from typing import Literal

from services.http_api.auth.caller import ProjectCaller
from services.http_api.errors import Refused
from services.http_api.upstream import Acting
from services.http_api.vpc import subnets, vpcs
from services.http_api.vpc.models import OneTagBody, Tag, TagActionBody, TagsAnswer
from services.http_api.vpc.refusals import CHANGED
from services.http_api.vpc.refusals import router as router_of
from sidegate import errors
from sidegate.api.registry.v1 import tag_pb2, vpc_pb2

router = router_of("tags")

Kind = Literal["vpcs", "subnets"]
Tags = dict[str, str]

ATTEMPTS = 10
"""How often tags are read anew that others change at the same moment."""

OF = "/v2.0/{project_id}/{kind}/{resource_id}/tags"


@router.get(OF, operation_id="ShowNetworkTags")
async def show(caller: ProjectCaller, kind: Kind, resource_id: str) -> TagsAnswer:
    found = await _tags(caller, kind, resource_id)
    return TagsAnswer(tags=[Tag(key=key, value=value) for key, value in found.items()])


@router.post(OF, operation_id="CreateNetworkTag", status_code=HTTPStatus.NO_CONTENT)
async def create(caller: ProjectCaller, kind: Kind, resource_id: str, body: OneTagBody) -> None:
    await _change(caller, kind, resource_id, lambda tags: tags | {body.tag.key: body.tag.value})


@router.post(f"{OF}/action", operation_id="BatchCreateOrDeleteNetworkTags", status_code=HTTPStatus.NO_CONTENT)
async def act(caller: ProjectCaller, kind: Kind, resource_id: str, body: TagActionBody) -> None:
    """Creating overwrites a key that is there; deleting goes by the key, and by the value where one is given."""
    named = {tag.key: tag.value for tag in body.tags}
    if body.action == "create":
        await _change(caller, kind, resource_id, lambda tags: tags | named)
    else:
        await _change(caller, kind, resource_id, lambda tags: _without(tags, named))


@router.delete(f"{OF}/{{key}}", operation_id="DeleteNetworkTag", status_code=HTTPStatus.NO_CONTENT)
async def delete(caller: ProjectCaller, kind: Kind, resource_id: str, key: str) -> None:
    await _change(caller, kind, resource_id, lambda tags: _without(tags, {key: ""}))


async def _tags(caller: Acting, kind: Kind, resource_id: str) -> Tags:
    return {tag.key: tag.value for tag in (await _found(caller, kind, resource_id)).tags}


async def _change(caller: Acting, kind: Kind, resource_id: str, change: Callable[[Tags], Tags]) -> None:
    """Of what is there at that moment: read anew where somebody changed it in between."""
    for _ in range(ATTEMPTS):
        found = await _found(caller, kind, resource_id)
        changed = change({tag.key: tag.value for tag in found.tags})
        tags = [tag_pb2.Tag(key=key, value=value) for key, value in changed.items()]
        with suppress(errors.Outdated):
            if kind == "vpcs":
                await vpcs.written(caller, vpc_pb2.Vpc(id=resource_id, etag=found.etag, tags=tags), "tags")
            else:
                await subnets.written(caller, vpc_pb2.Subnet(id=resource_id, etag=found.etag, tags=tags), "tags")
            return
    raise Refused(CHANGED)


async def _found(caller: Acting, kind: Kind, resource_id: str) -> vpc_pb2.Vpc | vpc_pb2.Subnet:
    if kind == "vpcs":
        return await vpcs.got(caller, resource_id)
    return await subnets.got(caller, resource_id)


def _without(tags: Tags, named: Tags) -> Tags:
    return {key: value for key, value in tags.items() if key not in named or named[key] not in ("", value)}
