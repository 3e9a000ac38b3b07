"""Access keys: made, given another secret, revoked."""

from typing import Annotated

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from services.console.operators.accounts import shown
from services.console.operators.secrets import shown_once
from services.console.pages.forms import typed
from services.console.pages.rendering import to
from services.console.pages.words import gettext as _
from services.console.sessions.access import Operator
from sidegate import errors
from sidegate.api.registry.v1.account_pb2 import Role
from sidegate.conditions import under

KeyId = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,64}$")]

router = APIRouter()


@router.post("/operator/accounts/{name}/keys")
async def create(request: Request, name: str, session: Operator) -> Response:
    """The answer alone shows the secret."""
    form = await typed(request)
    try:
        made = await session.own.accounts.create_key(
            name, form.text("of_project"), _role(form.text("role")), request_id=form.request_id
        )
    except errors.SidegateError as error:
        return await shown(request, session, name, form=form, error=error)
    return shown_once(request, made, _("Access key %(key)s is there.", key=made.key.id))


@router.post("/operator/accounts/{name}/keys/{key}/rotate")
async def rotate(request: Request, name: str, key: KeyId, session: Operator) -> Response:
    """The answer alone shows the other secret."""
    form = await typed(request)
    try:
        with under(etag=form.etag):
            made = await session.own.accounts.rotate_key(key, request_id=form.request_id)
    except errors.SidegateError as error:
        return await shown(request, session, name, error=error)
    return shown_once(
        request, made, _("Access key %(key)s has another secret; the one before is worth nothing.", key=key)
    )


@router.post("/operator/accounts/{name}/keys/{key}/revoke")
async def revoke(request: Request, name: str, key: KeyId, session: Operator) -> Response:
    form = await typed(request)
    try:
        with under(etag=form.etag):
            await session.own.accounts.revoke_key(key, request_id=form.request_id)
    except errors.SidegateError as error:
        return await shown(request, session, name, error=error)
    session.say(_("Access key %(key)s is revoked, and its tokens with it.", key=key))
    return to(f"/operator/accounts/{name}")


def _role(said: str) -> Role.ValueType:
    return Role.Value(said) if said in Role.keys() else Role.ROLE_UNSPECIFIED  # noqa: SIM118 # an enum has no "in"
