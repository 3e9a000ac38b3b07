"""Where links go that know no more than an id."""

from fastapi import APIRouter
from starlette.responses import Response

from services.console.pages.rendering import to
from services.console.sessions.access import Signed
from sidegate import errors

router = APIRouter()


@router.get("/find/{id_}")
async def find(id_: str, session: Signed) -> Response:
    """To the page of whatever of the reader's has this id. Raises NotFound."""
    asked = (
        ("/services", session.client.services.get),
        ("/endpoints", session.client.endpoints.get),
        ("/vpcs", session.client.vpcs.get),
    )
    for path, get in asked:
        try:
            await get(id_)
        except (errors.NotFound, errors.InvalidRequest):
            continue
        return to(f"{path}/{id_}")
    raise errors.NotFound(f"nothing here has the id {id_[:64]}", reason="NOT_FOUND")
