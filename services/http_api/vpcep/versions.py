"""Which versions of the API there are: the two questions that need no answer to who asks."""

from fastapi import APIRouter, Request

from services.http_api.vpcep.models import Link, Version, VersionAnswer, VersionsAnswer

router = APIRouter(tags=["versions"])

UPDATED = "2018-09-30T00:00:00Z"


def _v1(request: Request) -> Version:
    href = f"https://{request.headers.get('host', '')}/v1"
    return Version(id="v1", version="1", updated=UPDATED, links=[Link(href=href)])


@router.get("/", operation_id="ListVersionDetails")
async def list_versions(request: Request) -> VersionsAnswer:
    return VersionsAnswer(versions=[_v1(request)])


@router.get("/v1", operation_id="ListSpecifiedVersionDetails")
async def get_version(request: Request) -> VersionAnswer:
    return VersionAnswer(version=_v1(request))
