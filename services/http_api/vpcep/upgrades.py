"""The three operations of version 2: more backends, and editions, of which there is but one here."""

from typing import Literal

from fastapi import APIRouter, Response

from services.http_api.auth.caller import ProjectCaller, SignedRoute
from services.http_api.errors import Refused
from services.http_api.vpcep import endpoints, services
from services.http_api.vpcep.ids import required
from services.http_api.vpcep.models import Answer, Body
from services.http_api.vpcep.service_models import AddServersBody
from sidegate import errors
from sidegate.api.registry.v1.endpoint_service_pb2 import Backend, EndpointService

router = APIRouter(prefix="/v2/{project_id}", tags=["version 2"], route_class=SignedRoute)

ATTEMPTS = 5
"""How often backends are added, if somebody else changes the service in between."""

BAD_PORT, TOO_MANY = "3003", "0016"
MOST_BACKENDS = 64


class UpgradeBody(Body):
    action: Literal["start"]


class UpgradeAnswer(Answer):
    pass


@router.post(
    "/vpc-endpoint-services/{vpc_endpoint_service_id}/add-server-resources",
    operation_id="AddEndpointServiceServerResource",
    status_code=204,
)
async def add_servers(caller: ProjectCaller, vpc_endpoint_service_id: str, body: AddServersBody) -> Response:
    """Ports of ours become backends beside those that are there; one that is one already stays."""
    ports = [required(each.resource_id, BAD_PORT) for each in body.server_resources]
    for attempt in range(1, ATTEMPTS + 1):
        known = await services.get(caller, vpc_endpoint_service_id)
        there = {each.port for each in known.backends}
        new = [Backend(port_id=port) for port in dict.fromkeys(ports) if port not in there]
        if not new:
            break
        if len(known.backends) + len(new) > MOST_BACKENDS:
            raise Refused(TOO_MANY, f"A service has {MOST_BACKENDS} backends at most.")
        wanted = EndpointService(id=known.id, backends=[*known.backends, *new], etag=known.etag)
        try:
            await services.update(caller, wanted, ["backends"])
            break
        except errors.Outdated:
            if attempt == ATTEMPTS:
                raise
    return Response(status_code=204)


@router.post(
    "/vpc-endpoint-services/{vpc_endpoint_service_id}/upgrade", operation_id="UpgradeEndpointService", status_code=204
)
async def upgrade_service(caller: ProjectCaller, vpc_endpoint_service_id: str) -> Response:
    """Every service has all there is already."""
    await services.get(caller, vpc_endpoint_service_id)
    return Response(status_code=204)


@router.post("/vpc-endpoints/{vpc_endpoint_id}/upgrade", operation_id="UpgradeEndpoint")
async def upgrade_endpoint(caller: ProjectCaller, vpc_endpoint_id: str, body: UpgradeBody) -> UpgradeAnswer:
    """Every endpoint has all there is already."""
    assert body.action == "start"  # noqa: S101 # the model lets nothing else through
    await endpoints.get(caller, vpc_endpoint_id)
    return UpgradeAnswer()
