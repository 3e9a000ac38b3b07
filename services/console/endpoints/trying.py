"""Whether packets pass: the reachability test, and what would become of one packet."""

from collections.abc import Mapping
from dataclasses import dataclass

from fastapi import APIRouter, Request
from starlette.responses import Response

from services.console.endpoints.messages import said
from services.console.endpoints.reading import read
from services.console.endpoints.showing import whole_page
from services.console.pages.forms import typed
from services.console.pages.problems import problem_of
from services.console.pages.rendering import page
from services.console.pages.words import gettext
from services.console.pages.words import marked as _
from services.console.sessions.access import Signed
from sidegate import errors
from sidegate.api.endpoint.v1.packet_trace_pb2 import Opening
from sidegate.api.endpoint.v1.reachability_pb2 import ReachabilityStep
from sidegate.api.endpoint.v1.trace_service_pb2 import PassageStep
from sidegate.topology.graph import Tone

router = APIRouter()

TESTED: Mapping[int, str] = {
    ReachabilityStep.SUBJECT_STATE: _("Connection"),
    ReachabilityStep.SUBJECT_ADDRESS: _("Address"),
    ReachabilityStep.SUBJECT_GATEWAYS: _("Gateways"),
    ReachabilityStep.SUBJECT_ARP: _("In your VPC"),
    ReachabilityStep.SUBJECT_BACKENDS: _("Backends"),
}
TRACED: Mapping[int, str] = {
    PassageStep.SUBJECT_ENDPOINT: _("Endpoint"),
    PassageStep.SUBJECT_WHITELIST: _("Whitelist"),
    PassageStep.SUBJECT_POLICY: _("Policy"),
    PassageStep.SUBJECT_PORT: _("Port"),
    PassageStep.SUBJECT_BACKEND: _("Service"),
}
OUTCOMES: Mapping[int, tuple[str, Tone]] = {
    1: (_("passed"), Tone.GOOD),
    2: (_("failed"), Tone.BAD),
    3: (_("not tried"), Tone.PLAIN),
}
"""Of both: the contract numbers them alike."""


@dataclass(frozen=True, slots=True)
class Step:
    """In the language of the moment."""

    name: str
    outcome: str
    tone: Tone
    message: str


def step(names: Mapping[int, str], found: ReachabilityStep | PassageStep) -> Step:
    outcome, tone = OUTCOMES.get(found.outcome, OUTCOMES[3])
    name = gettext(names[found.subject]) if found.subject in names else "–"
    return Step(name, gettext(outcome), tone, said(found.message))


@router.post("/endpoints/{id_}/test")
async def test(id_: str, request: Request, session: Signed) -> Response:
    """Takes up to four seconds."""
    found: dict[str, object] = {"steps": None, "reachable": False, "problem": None}
    try:
        tested = await session.client.endpoints.test(id_)
        found |= {"steps": [step(TESTED, each) for each in tested.steps], "reachable": tested.reachable}
    except errors.SidegateError as error:
        found["problem"] = problem_of(error)
    if "hx-request" in request.headers:
        return page(request, "endpoints/tested.html", tested=found)
    return await whole_page(request, session, await read(session.client, id_), tested=found)


@router.post("/endpoints/{id_}/trace")
async def trace(id_: str, request: Request, session: Signed) -> Response:
    """Of a packet that is not sent."""
    form = await typed(request)
    found: dict[str, object] = {"steps": None, "passes": False, "problem": None}
    opening = Opening(
        source=form.text("source"),
        source_port=form.number("source_port"),
        port=form.number("port"),
        protocol=form.text("protocol"),
        destination=form.text("destination"),
    )
    try:
        traced = await session.client.traces.endpoint(id_, opening)
        found |= {"steps": [step(TRACED, each) for each in traced.steps], "passes": traced.passes}
    except errors.SidegateError as error:
        found["problem"] = problem_of(error)
    if "hx-request" in request.headers:
        return page(request, "endpoints/traced.html", form=form, traced=found)
    return await whole_page(request, session, await read(session.client, id_), traced=found, form=form)
