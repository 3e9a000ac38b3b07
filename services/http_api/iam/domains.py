"""`GET /v3/auth/domains`: the account of whoever asks."""

from fastapi import APIRouter
from pydantic import BaseModel

from services.http_api.auth.caller import Caller, SignedRoute

router = APIRouter(prefix="/v3/auth", tags=["iam"], route_class=SignedRoute)


class Domain(BaseModel):
    id: str
    name: str
    enabled: bool = True


class DomainsAnswer(BaseModel):
    domains: list[Domain]


@router.get("/domains", operation_id="KeystoneListAuthDomains")
async def list_domains(caller: Caller) -> DomainsAnswer:
    return DomainsAnswer(domains=[Domain(id=caller.account, name=caller.account)])
