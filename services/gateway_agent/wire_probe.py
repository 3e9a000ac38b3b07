"""Probes and what was found, as the contract has them."""

from services.gateway_agent.reach import MOST_ATTEMPTS, Attempt, Found, Outcome, Probe, Reach
from services.gateway_agent.wire_trace import opening_of, trace_message
from sidegate.api.gateway.v1 import probe_pb2

MOST_CLAIMANTS = 16
MAX_HINDRANCE = 300
LONGEST_SECONDS = 5.0
NOT_HERE = Reach(answers=False)
_OUTCOMES = {
    Outcome.OPEN: probe_pb2.ProbedPort.OUTCOME_OPEN,
    Outcome.REFUSED: probe_pb2.ProbedPort.OUTCOME_REFUSED,
    Outcome.SILENT: probe_pb2.ProbedPort.OUTCOME_SILENT,
    Outcome.UNRESOLVED: probe_pb2.ProbedPort.OUTCOME_UNRESOLVED,
    Outcome.PRESENT: probe_pb2.ProbedPort.OUTCOME_PRESENT,
    Outcome.NO_PROXY: probe_pb2.ProbedPort.OUTCOME_NO_PROXY,
}


def probe_of(told: probe_pb2.Probe) -> Probe:
    seconds = min(told.within.ToTimedelta().total_seconds(), LONGEST_SECONDS)
    return Probe(told.id, told.endpoint_id, seconds, opening_of(told.opening) if told.HasField("opening") else None)


def answer_to(gateway: str, probe: Probe, found: Found) -> probe_pb2.AnswerProbeRequest:
    reach = found.reach or NOT_HERE
    return probe_pb2.AnswerProbeRequest(
        gateway_id=gateway,
        id=probe.id,
        position=found.position,
        generation=found.generation,
        hindrance=found.hindrance[:MAX_HINDRANCE],
        has_it=found.reach is not None or found.trace is not None,
        answers_arp=reach.answers,
        mac=reach.mac,
        claimants=reach.claimants[:MOST_CLAIMANTS],
        ports=map(_port, reach.attempts[:MOST_ATTEMPTS]),
        trace=trace_message(found.trace) if found.trace else None,
    )


def _port(attempt: Attempt) -> probe_pb2.ProbedPort:
    return probe_pb2.ProbedPort(
        address=str(attempt.backend),
        port=attempt.port,
        protocol=attempt.protocol,
        outcome=_OUTCOMES[attempt.outcome],
    )
