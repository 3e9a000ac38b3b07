"""Proof: the logs' heads, and the button that checks their chains. For the operator."""

import asyncio

from fastapi import APIRouter, Request
from starlette.responses import Response

from services.console.pages.forms import Typed, typed
from services.console.pages.problems import Problem
from services.console.pages.rendering import page, to
from services.console.past import keeping, proving, words
from services.console.sessions.access import Operator, OperatorsAlone
from services.console.sessions.session import Session
from sidegate.resources.logs import LogName

router = APIRouter(prefix="/past/proof")


@router.get("")
async def proof(request: Request, session: Operator) -> Response:
    return await _page(request, session)


@router.post("")
async def check(request: Request, session: Operator) -> Response:
    _require_operator(session)
    form = await typed(request)
    try:
        kept = keeping.read(form.text("heads"), form.text("keys"))
        await proving.begin(session, lambda head: keeping.of_log(kept, head))
    except keeping.Unbelievable as error:
        return await _page(request, session, form, error.problem)
    return to("/past/proof")


async def _page(
    request: Request, session: Session, form: Typed | None = None, problem: Problem | None = None
) -> Response:
    _require_operator(session)
    heads = await asyncio.gather(*(proving.head_of(session.client, log) for log in LogName))
    status = problem.status if problem else 200
    shown = {"heads": heads, "proof": proving.proof_of(session), "said": words, "form": form, "problem": problem}
    return page(request, "past/proof.html", status, **shown)


def _require_operator(session: Session) -> None:
    """Who acts for a project sees what the project does. Raises OperatorsAlone."""
    if session.is_tenant:
        raise OperatorsAlone
