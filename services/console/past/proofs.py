"""Proof: the logs' heads, and the button that checks their chains. For the operator."""

import asyncio

from fastapi import APIRouter, Request
from starlette.responses import Response

from services.console.pages.rendering import page, to
from services.console.past import proving, words
from services.console.sessions.access import Operator, OperatorsAlone
from services.console.sessions.session import Session
from sidegate.resources.logs import LogName

router = APIRouter(prefix="/past/proof")


@router.get("")
async def proof(request: Request, session: Operator) -> Response:
    _require_operator(session)
    heads = await asyncio.gather(*(proving.head_of(session.client, log) for log in LogName))
    return page(request, "past/proof.html", heads=heads, proof=proving.proof_of(session), said=words)


@router.post("")
async def check(session: Operator) -> Response:
    _require_operator(session)
    await proving.begin(session)
    return to("/past/proof")


def _require_operator(session: Session) -> None:
    """Who acts for a project sees what the project does. Raises OperatorsAlone."""
    if session.is_tenant:
        raise OperatorsAlone
