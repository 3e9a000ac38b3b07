"""What passed for a service and its connections, and what was refused."""

from collections.abc import Mapping
from datetime import UTC

from fastapi import APIRouter, Request
from starlette.responses import Response

from services.console.pages.problems import Problem, problem_of
from services.console.pages.words import gettext
from services.console.pages.words import marked as _
from services.console.publishing.about import tab
from services.console.sessions.access import Signed
from sidegate import errors
from sidegate.api.endpoint.v1.traffic_pb2 import (
    TRAFFIC_SPAN_TEN_MINUTES,
    TRAFFIC_SPAN_THREE_HOURS,
    GetServiceTrafficResponse,
    Traffic,
    TrafficSeries,
    TrafficSpan,
)
from sidegate.client import Client

SPANS: Mapping[str, tuple[TrafficSpan.ValueType, str]] = {
    "": (TRAFFIC_SPAN_TEN_MINUTES, _("Ten minutes")),
    "3h": (TRAFFIC_SPAN_THREE_HOURS, _("Three hours")),
}
REFUSALS: Mapping[str, str] = {
    "port": _("the port is not published"),
    "closed": _("the connection is not accepted, or was cut"),
    "packet": _("the packet is malformed or too long"),
    "backend": _("no backend takes new sessions"),
    "proxy": _("nothing could tell backends who the client is"),
    "limit_connections": _("too many sessions of one endpoint"),
    "limit_new": _("too many new sessions in a second"),
    "limit_rate": _("too many bits in a second"),
    "source_port": _("the endpoint's source addresses are used up"),
    "gateway": _("the gateway has no room, or no way to the backends"),
}

router = APIRouter()


@router.get("/services/{id_}/traffic")
async def traffic(request: Request, id_: str, session: Signed) -> Response:
    service = await session.client.services.get(id_)
    passed, problem = await traffic_of(session.client, id_, "", request)
    return tab(
        request,
        session,
        service,
        "traffic",
        spans=[(name, gettext(called)) for name, (_span, called) in SPANS.items()],
        span=request.query_params.get("span", ""),
        **shown(passed, problem),
    )


async def traffic_of(
    client: Client, id_: str, endpoint_id: str, request: Request
) -> tuple[GetServiceTrafficResponse | None, Problem | None]:
    """What passed, or why that is not known: the rest of a page is there without it."""
    span, _called = SPANS.get(request.query_params.get("span", ""), SPANS[""])
    try:
        return await client.connections.traffic(id_, endpoint_id, span=span), None
    except errors.SidegateError as error:
        return None, problem_of(error)


def shown(passed: GetServiceTrafficResponse | None, problem: Problem | None) -> dict[str, object]:
    """What templates make charts and sentences of: rows are pairs of a time, and a number for each line."""
    series = passed.series if passed else TrafficSeries()
    begin, step = series.start_time.ToDatetime(UTC), series.step.ToTimedelta()
    samples = [(begin + step * index, sample) for index, sample in enumerate(series.samples)]
    return {
        "traffic": passed,
        "traffic_problem": problem,
        "octets": [(at, (each.bytes_in, each.bytes_out)) for at, each in samples],
        "sessions": [(at, (each.sessions, sum(each.refused.values()))) for at, each in samples],
        "refused": refusals_of(passed.total) if passed else [],
    }


def refusals_of(total: Traffic) -> list[tuple[str, int]]:
    """Why, in words, and how often, the most frequent first."""
    ordered = sorted(total.refused.items(), key=lambda each: (-each[1], each[0]))
    return [(gettext(REFUSALS[reason]) if reason in REFUSALS else reason, number) for reason, number in ordered]
