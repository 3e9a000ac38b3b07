"""`GET /v3/projects`: the region's one project of whoever asks, as clients look for it by the region's name."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel

from services.http_api.auth.caller import Caller, SignedRoute

router = APIRouter(prefix="/v3", tags=["iam"], route_class=SignedRoute)


class Project(BaseModel):
    id: str
    name: str
    domain_id: str
    enabled: bool = True


class ProjectsAnswer(BaseModel):
    projects: list[Project]


@router.get("/projects", operation_id="KeystoneListProjects")
async def list_projects(
    caller: Caller, request: Request, name: Annotated[str, Query(max_length=255)] = ""
) -> ProjectsAnswer:
    """The caller's project; none where another region is asked for."""
    region = request.app.state.region
    found = Project(id=caller.project_id, name=region, domain_id=caller.account)
    return ProjectsAnswer(projects=[found] if name in ("", region) else [])
