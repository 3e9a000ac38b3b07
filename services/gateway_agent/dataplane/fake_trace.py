"""What the fake data plane makes of a client's first packet: its own rules, on a copy of its sessions."""

from collections import Counter as Tally
from copy import copy, deepcopy
from dataclasses import replace

from services.gateway_agent.dataplane.dry_run import check_opening, destination_of, first_port
from services.gateway_agent.dataplane.fake_flows import FakeFlows
from services.gateway_agent.dataplane.fake_kernel import FakeKernel, Flow, Packet, Refused, TcpFlags
from services.gateway_agent.dataplane.maps import Counter
from services.gateway_agent.packet_trace import FORWARDED, Opening, Outcome, PacketTrace, Step, Subject
from services.gateway_agent.table import Protocol

STEPS = {
    Subject.DEVICE: {Counter.REFUSED_NOT_ATTACHED},
    Subject.ENDPOINT: {Counter.REFUSED_NO_ENDPOINT, Counter.REFUSED_STALE_EPOCH},
    Subject.DRAIN: {Counter.REFUSED_DRAINING},
    Subject.WHITELIST: {Counter.REFUSED_NOT_ALLOWED},
    Subject.ROUTE: {Counter.REFUSED_DENIED},
    Subject.PORT: {Counter.REFUSED_NO_PORT},
    Subject.BACKEND: {Counter.REFUSED_NO_BACKEND, Counter.REFUSED_NO_PROXY},
    Subject.SOURCE: {Counter.REFUSED_NO_SOURCE_PORT},
    Subject.WAY_OUT: {Counter.REFUSED_NO_DEVICE},
}


def fake_trace(kernel: FakeKernel, endpoint: str, opening: Opening, now: float) -> PacketTrace | None:
    found = kernel.entries.endpoint(endpoint)
    service = kernel.entries.service(found.service) if found else None
    if found is None or service is None:
        return None
    check_opening(found, opening)
    opening = replace(opening, port=opening.port or first_port(service, opening))
    client = opening.source, opening.source_port
    address = destination_of(found, opening)
    flow = Flow(found.vpc, opening.protocol, *client, address, opening.port)
    trying = copy(kernel)
    trying.sessions, trying.counts = deepcopy(kernel.sessions), Tally()
    trying.passed, trying.flows = {}, FakeFlows()
    verdict, sent = FORWARDED, None
    try:
        sent = trying.forward(Packet(flow, TcpFlags.SYN if opening.protocol is Protocol.TCP else TcpFlags.NONE), now)
    except Refused as refusal:
        verdict = refusal.reason.value
    came_out = (
        (sent.flow.destination, sent.flow.destination_port, sent.flow.source, sent.flow.source_port) if sent else ()
    )
    return PacketTrace(
        opening, address, _steps(verdict, routed=bool(found.routes)), verdict, verdict, "fake", *came_out
    )


def _steps(verdict: str, *, routed: bool) -> tuple[Step, ...]:
    steps, outcome = [], Outcome.PASSED
    for subject, reasons in STEPS.items():
        if subject is Subject.ROUTE and not routed:
            continue
        refuses = verdict in reasons
        steps.append(Step(subject, Outcome.REFUSED if refuses else outcome, verdict if refuses else ""))
        outcome = Outcome.NOT_REACHED if refuses else outcome
    return tuple(steps)
