"""Where links go that know no more than an id."""

from fastapi import APIRouter
from starlette.responses import Response

from services.console.finding.places import place
from services.console.pages.rendering import to
from services.console.sessions.access import Signed
from sidegate import errors

router = APIRouter()


@router.get("/find/{id_}")
async def find(id_: str, session: Signed) -> Response:
    """Raises NotFound."""
    if path := await place(session, id_):
        return to(path)
    raise errors.NotFound(f"nothing here has the id {id_[:64]}", reason="NOT_FOUND")
