"""What happened to a service and its connections."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from services.console.publishing.about import tab
from services.console.publishing.happened import MOST, happenings_of_connections, happenings_of_service
from services.console.sessions.access import Signed

router = APIRouter()


@router.get("/services/{id_}/events")
async def events(request: Request, id_: str, session: Signed) -> Response:
    """Of the two logs, in the order of their times."""
    service = await session.client.services.get(id_)
    own = await happenings_of_service(session.client, id_)
    connections = await happenings_of_connections(session.client, id_)
    both = sorted((*own, *connections), key=lambda each: each.time.ToNanoseconds(), reverse=True)
    return tab(request, session, service, "events", happenings=both[:MOST], left_out=len(both) > MOST)
