"""A service's backends: how they are, and changes of them."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from fastapi import APIRouter, Request
from starlette.responses import Response

from services.console.pages import states
from services.console.pages.forms import Typed, typed
from services.console.pages.problems import Problem, problem_of
from services.console.pages.rendering import to
from services.console.pages.words import gettext as _
from services.console.publishing import said
from services.console.publishing.about import tab
from services.console.publishing.machines import choices_of
from services.console.publishing.placing import placed
from services.console.sessions.access import Signed
from services.console.sessions.session import Session
from sidegate import errors
from sidegate.api.endpoint.v1.backend_health_pb2 import BackendHealth, GatewayHealth
from sidegate.api.registry.v1.endpoint_service_pb2 import EndpointService
from sidegate.resources.service_changes import Changes
from sidegate.topology.states import HEALTH, UNKNOWN

router = APIRouter()


@router.get("/services/{id_}/backends")
async def backends(request: Request, id_: str, session: Signed) -> Response:
    return await _shown(request, session, id_)


@router.post("/services/{id_}/backends")
async def change(request: Request, id_: str, session: Signed) -> Response:
    form = await typed(request)
    try:
        await _done(session, id_, form)
    except said.Wrong as wrong:
        return await _shown(request, session, id_, form, wrong.problem)
    except errors.SidegateError as error:
        return await _shown(request, session, id_, form, problem_of(error))
    return to(f"/services/{id_}/backends")


async def _done(session: Session, id_: str, form: Typed) -> None:
    """One backend is changed; what others do to the rest at the same moment stays."""
    services, address = session.client.services, form.text("address")
    match form.text("do"):
        case "drain":
            await services.drain(id_, [address])
            session.say(_("Backend %(address)s gets no new sessions.", address=address))
        case "undrain":
            await services.undrain(id_, [address])
            session.say(_("Backend %(address)s gets new sessions again.", address=address))
        case "remove":
            await services.revise(id_, lambda service: _without(service, address))
            session.say(_("Backend %(address)s is out.", address=address))
        case "add":
            added = said.backends(form)
            if not added:
                raise said.Wrong("backends[0].address", _("Choose a port or type an address."))
            await services.revise(id_, lambda service: {"backends": [*service.backends, *added]})
            session.say(_("The backend is in."))
        case "weigh":
            weights = _weights(form)
            if weights:
                await services.weigh(id_, weights)
            session.say(_("The weights are changed.") if weights else _("There was nothing to change."))
        case _other:
            raise errors.InvalidRequest(_("This is none of the choices."))


def _without(service: EndpointService, address: str) -> Changes:
    return {"backends": [backend for backend in service.backends if backend.address != address]}


def _weights(form: Typed) -> Mapping[str, int]:
    """Those that are another than the page showed. Numbered, since an address has dots, which mean more in a path."""
    found: dict[str, int] = {}
    for index, address in enumerate(form.all("weighed")):
        name = f"weight-{index}"
        if form.text(name) != form.text(f"was-{index}"):
            found[address] = said.number(form.text(name), name, 1, 100)
    return found


async def _shown(
    request: Request, session: Session, id_: str, form: Typed | None = None, problem: Problem | None = None
) -> Response:
    service = await session.client.services.get(id_)
    found = await session.client.connections.health(id_) if service.HasField("health_check") else None
    return tab(
        request,
        session,
        service,
        "backends",
        problem.status if problem else 200,
        health=_by_address(found.gateways if found else ()),
        health_word=health_word,
        state_word=states.said,
        ports=[] if session.reads_only else await choices_of(session.client, service.vpc_id),
        form=form or Typed(),
        problem=_of_add(problem, form) if problem and form else problem,
    )


def _of_add(problem: Problem, form: Typed) -> Problem:
    """The form that adds one has a single row."""
    found = placed(problem, form)
    return replace(found, field=found.field.rpartition(".")[2]) if form.text("do") == "add" else problem


def _by_address(gateways: Sequence[GatewayHealth]) -> Mapping[str, Sequence[tuple[str, BackendHealth]]]:
    """How each gateway finds each backend."""
    found: defaultdict[str, list[tuple[str, BackendHealth]]] = defaultdict(list)
    for gateway in gateways:
        for each in gateway.backends:
            found[each.address].append((gateway.gateway_id, each))
    return found


def health_word(health: BackendHealth) -> tuple[str, str]:
    """The topology's word, and its colour."""
    return HEALTH.get(health.condition, UNKNOWN)
