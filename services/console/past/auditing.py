"""The timeline: its page, the part of it that is live, and its exports."""

from urllib.parse import urlencode

from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse

from services.console.pages.rendering import page
from services.console.past import deeds, exporting, words
from services.console.past.deeds import Place
from services.console.past.wanted import wanted_of
from services.console.sessions.access import Signed

router = APIRouter(prefix="/past/audit")

SIZE = 50
FILTERS = ("actor", "kind", "id", "result", "start", "end")


@router.get("")
async def timeline(request: Request, session: Signed) -> Response:
    query = request.query_params
    wanted, problem = wanted_of(session, query)
    place = Place.read(query.get("from", ""))
    found = await deeds.page(session.client, wanted, place, SIZE)
    mark = deeds.mark_of(found.entries)
    if query.get("seen") == mark:
        return Response(status_code=204)
    filters = [(name, query[name]) for name in FILTERS if query.get(name)]
    return page(
        request,
        "past/audit.html",
        problem.status if problem else 200,
        problem=problem,
        entries=found.entries,
        onward=urlencode([*filters, ("from", found.onward.text)]) if found.onward else "",
        short=found.short,
        first=place == deeds.BEGINNING,
        filters=dict.fromkeys(FILTERS, "") | dict(filters),
        filtered=bool(filters),
        query=urlencode(filters),
        mark=mark,
        kinds=[(name, words.kind(name)) for name in words.KINDS if _is_shown(name, everything=not session.is_tenant)],
        said=words,
    )


@router.get("/export.{kind}")
async def export(kind: str, request: Request, session: Signed) -> Response:
    if kind not in exporting.FORMATS:
        return Response(status_code=404)
    wanted, problem = wanted_of(session, request.query_params)
    if problem:
        return Response(problem.text, problem.status, media_type="text/plain; charset=utf-8")
    media_type, head, line = exporting.FORMATS[kind]
    headers = {"content-disposition": f'attachment; filename="audit.{kind}"'}
    return StreamingResponse(
        exporting.lines(session.client, wanted, line, head), headers=headers, media_type=media_type
    )


def _is_shown(kind: str, *, everything: bool) -> bool:
    return kind != "resolver" and (everything or kind not in words.OPERATORS_OWN)
