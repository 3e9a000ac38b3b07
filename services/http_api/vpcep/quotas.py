"""How many services and endpoints the project has and may have."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query

from services.http_api.auth.caller import ProjectCaller, SignedRoute
from services.http_api.vpcep.models import Answer, Body, Optionally
from sidegate.api.endpoint.v1.endpoint_service_pb2 import GetEndpointQuotaRequest
from sidegate.api.registry.v1.quota_pb2 import Quota as Found
from sidegate.api.registry.v1.registry_service_pb2 import GetServiceQuotaRequest

router = APIRouter(prefix="/v1/{project_id}/quotas", tags=["quotas"], route_class=SignedRoute)

SERVICE, ENDPOINT = "endpoint_service", "endpoint"


class QuotaQuery(Body):
    type: Annotated[Literal["endpoint_service", "endpoint"] | None, Optionally] = None


class Quota(Answer):
    type: str
    used: int
    quota: int


class Resources(Answer):
    resources: list[Quota]


class QuotasAnswer(Answer):
    quotas: Resources


def _shown(kind: str, found: Found) -> Quota:
    return Quota(type=kind, used=found.used, quota=found.limit)


@router.get("", operation_id="ListQuotaDetails")
async def list_quotas(caller: ProjectCaller, query: Annotated[QuotaQuery, Query()]) -> QuotasAnswer:
    """A quota of -1 is none."""
    found = []
    if query.type in (None, SERVICE):
        services = await caller.ask(caller.upstream.registry.GetServiceQuota, GetServiceQuotaRequest())
        found.append(_shown(SERVICE, services))
    if query.type in (None, ENDPOINT):
        endpoints = await caller.ask(caller.upstream.endpoints.GetEndpointQuota, GetEndpointQuotaRequest())
        found.append(_shown(ENDPOINT, endpoints))
    return QuotasAnswer(quotas=Resources(resources=found))
