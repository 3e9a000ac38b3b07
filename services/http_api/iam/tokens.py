"""`POST /v3/auth/tokens`: a token for an access key and its secret, in the two forms that clients know."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from services.http_api.auth.recognition import NotProved, Recognition
from sidegate.api.registry.v1.account_pb2 import Role
from sidegate.api.registry.v1.registry_internal_service_pb2 import VerifySignatureResponse
from sidegate.project_ids import project_id

router = APIRouter(prefix="/v3/auth", tags=["iam"])

SUBJECT_TOKEN = "X-Subject-Token"  # noqa: S105 # a header's name
MOMENT = "%Y-%m-%dT%H:%M:%S.000000Z"
SERVICES = {"vpcep": "v1", "vpc": "v1", "iam": "v3"}

Text = Annotated[str, Field(min_length=1, max_length=128)]


class Named(BaseModel):
    id: str = ""
    name: str = ""


class User(BaseModel):
    """The access key is the user's name, its secret the password."""

    name: Text
    password: Text
    domain: Named | None = None


class Password(BaseModel):
    user: User


class KeyText(BaseModel):
    key: Text


class AkSk(BaseModel):
    access: KeyText
    secret: KeyText


class IdentityBody(BaseModel):
    methods: Annotated[list[str], Field(min_length=1, max_length=4)]
    password: Password | None = None
    hw_ak_sk: AkSk | None = None


class Scope(BaseModel):
    project: Named | None = None
    domain: Named | None = None


class Auth(BaseModel):
    identity: IdentityBody
    scope: Scope | None = None


class TokensBody(BaseModel):
    auth: Auth


class Domain(BaseModel):
    id: str
    name: str


class Project(BaseModel):
    id: str
    name: str
    domain: Domain


class Endpoint(BaseModel):
    id: str
    interface: str = "public"
    region: str
    region_id: str
    url: str


class Service(BaseModel):
    id: str
    name: str
    type: str
    endpoints: list[Endpoint]


class Token(BaseModel):
    methods: list[str]
    issued_at: str
    expires_at: str
    user: Project
    project: Project
    roles: list[Domain]
    catalog: list[Service]


class TokensAnswer(BaseModel):
    token: Token


@router.post("/tokens", operation_id="KeystoneCreateUserTokenByPassword", status_code=201)
async def create_token(request: Request, response: Response, body: TokensBody) -> TokensAnswer:
    """The token is in the header X-Subject-Token, and good for minutes: `expires_at` says until when."""
    recognition: Recognition = request.app.state.recognition
    access, secret = _said(body.auth.identity)
    peer = request.client.host if request.client else ""
    found = await recognition.token(access, secret, peer)
    region = str(request.app.state.region)
    _require_scope(body.auth, found, region)
    response.headers[SUBJECT_TOKEN] = found.token
    return TokensAnswer(token=_token(body.auth.identity.methods, access, found, region, request))


def _said(identity: IdentityBody) -> tuple[str, str]:
    """Access key and secret."""
    if identity.hw_ak_sk is not None:
        return identity.hw_ak_sk.access.key, identity.hw_ak_sk.secret.key
    if identity.password is None:
        raise NotProved("NOTHING_SAID")
    return identity.password.user.name, identity.password.user.password


def _require_scope(auth: Auth, found: VerifySignatureResponse, region: str) -> None:
    """A key speaks for one project of one account: who wants another is told nothing of it."""
    user = auth.identity.password.user if auth.identity.password else None
    scope = auth.scope or Scope()
    domains = [each for each in (user.domain if user else None, scope.domain) if each]
    if any(not {each.id, each.name} <= {"", found.account} for each in domains):
        raise NotProved("OTHER_ACCOUNT")
    project = scope.project or Named()
    if project.id not in ("", project_id(found.account, found.project)) or project.name not in ("", region):
        raise NotProved("OTHER_PROJECT")


def _token(methods: list[str], access: str, found: VerifySignatureResponse, region: str, request: Request) -> Token:
    domain, id_ = Domain(id=found.account, name=found.account), project_id(found.account, found.project)
    role = Role.Name(found.role).removeprefix("ROLE_").lower()
    return Token(
        methods=methods,
        issued_at=datetime.now(UTC).strftime(MOMENT),
        expires_at=found.expire_time.ToDatetime(UTC).strftime(MOMENT),
        user=Project(id=access, name=access, domain=domain),
        project=Project(id=id_, name=region, domain=domain),
        roles=[Domain(id=role, name=role)],
        catalog=[_service(name, version, id_, region, request) for name, version in SERVICES.items()],
    )


def _service(name: str, version: str, id_: str, region: str, request: Request) -> Service:
    here = f"https://{request.headers.get('host', '')}/{version}"
    url = here if name == "iam" else f"{here}/{id_}"
    return Service(
        id=name, name=name, type=name, endpoints=[Endpoint(id=name, region=region, region_id=region, url=url)]
    )
