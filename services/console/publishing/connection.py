"""One connection: what it is, decisions on it, whether packets pass, what passed, what happened to it."""

import asyncio
from collections.abc import Mapping
from typing import TypeVar

from fastapi import APIRouter, Request
from starlette.responses import Response

from services.console.pages.forms import Typed
from services.console.pages.problems import Problem, problem_of
from services.console.pages.rendering import page
from services.console.pages.words import gettext
from services.console.pages.words import marked as _
from services.console.publishing.about import tab
from services.console.publishing.happened import happenings_of_connection
from services.console.publishing.traffic import shown as traffic_shown
from services.console.publishing.traffic import traffic_of
from services.console.sessions.access import Signed
from services.console.sessions.session import Session
from sidegate import errors
from sidegate.api.endpoint.v1.reachability_pb2 import ReachabilityStep, TestConnectionResponse, TestedBackend
from sidegate.topology.graph import Tone

SUBJECTS = {
    ReachabilityStep.SUBJECT_STATE: _("It is approved, and the endpoint is there"),
    ReachabilityStep.SUBJECT_ADDRESS: _("It has an address, or routes"),
    ReachabilityStep.SUBJECT_GATEWAYS: _("Every gateway has it as it should be"),
    ReachabilityStep.SUBJECT_ARP: _("Gateways answer for its address"),
    ReachabilityStep.SUBJECT_BACKENDS: _("A backend takes connections from it"),
}
OUTCOMES = {
    ReachabilityStep.OUTCOME_PASSED: (_("so it is"), Tone.GOOD),
    ReachabilityStep.OUTCOME_FAILED: (_("it is not"), Tone.BAD),
    ReachabilityStep.OUTCOME_NOT_TRIED: (_("not tried"), Tone.WAITING),
}
ANSWERS = {
    TestedBackend.OUTCOME_OPEN: (_("takes connections"), Tone.GOOD),
    TestedBackend.OUTCOME_REFUSED: (_("refuses connections"), Tone.BAD),
    TestedBackend.OUTCOME_SILENT: (_("its machine is there, and nothing answers"), Tone.BAD),
    TestedBackend.OUTCOME_UNRESOLVED: (_("its machine does not answer ARP"), Tone.BAD),
    TestedBackend.OUTCOME_PRESENT: (_("its machine is there; of UDP there is no more to learn"), Tone.GOOD),
    TestedBackend.OUTCOME_NO_PROXY: (_("does not take the PROXY header"), Tone.BAD),
}
Outcome = TypeVar("Outcome")

UNKNOWN = (_("not known"), Tone.WAITING)

Came = tuple[TestConnectionResponse | None, Problem | None]
"""What came of a test, or why there was none."""

router = APIRouter()


@router.get("/services/{id_}/connections/{endpoint_id}")
async def connection(request: Request, id_: str, endpoint_id: str, session: Signed) -> Response:
    return await shown(request, session, id_, endpoint_id)


@router.post("/services/{id_}/connections/{endpoint_id}/test")
async def test(request: Request, id_: str, endpoint_id: str, session: Signed) -> Response:
    """The part of the page that says what came of it, or the whole of it."""
    came: Came = (None, None)
    try:
        came = (await session.client.connections.test(id_, endpoint_id), None)
    except errors.SidegateError as error:
        came = (None, problem_of(error))
    if "hx-request" in request.headers:
        return page(request, "publishing/tested.html", **_said(came))
    return await shown(request, session, id_, endpoint_id, came=came)


async def shown(
    request: Request,
    session: Session,
    id_: str,
    endpoint_id: str,
    *,
    came: Came = (None, None),
    form: Typed | None = None,
    problem: Problem | None = None,
) -> Response:
    """`problem` is of the decision in the form, which shows what was typed."""
    client = session.client
    service, found, happenings, (passed, unknown) = await asyncio.gather(
        client.services.get(id_),
        client.connections.get(id_, endpoint_id),
        happenings_of_connection(client, id_, endpoint_id),
        traffic_of(client, id_, endpoint_id, request),
    )
    return tab(
        request,
        session,
        service,
        "connection",
        problem.status if problem else 200,
        connection=found,
        happenings=happenings,
        form=form or Typed(),
        problem=problem,
        **traffic_shown(passed, unknown),
        **_said(came),
    )


def _said(came: Came) -> dict[str, object]:
    """Words for each step, and for what each backend answered."""
    tested, problem = came
    if tested is None:
        return {"tested": None, "test_problem": problem, "steps": [], "answers": []}
    steps = [(gettext(SUBJECTS.get(each.subject, "")), *_word(OUTCOMES, each.outcome), each) for each in tested.steps]
    answers = [(*_word(ANSWERS, each.outcome), each) for each in tested.backends]
    return {"tested": tested, "test_problem": None, "steps": steps, "answers": answers}


def _word(table: Mapping[Outcome, tuple[str, Tone]], outcome: Outcome) -> tuple[str, Tone]:
    word, tone = table.get(outcome, UNKNOWN)
    return gettext(word), tone
