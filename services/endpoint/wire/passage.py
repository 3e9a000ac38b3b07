"""Packets, and what became of them, as the contract has them."""

from services.endpoint.domain.passage import PassageStep
from services.endpoint.domain.passage import Subject as Read
from services.endpoint.domain.reachability import Finding
from services.endpoint.domain.traced import Met, Opening, Outcome, Traced, TracedStep
from sidegate.api.endpoint.v1 import packet_trace_pb2 as packet_pb
from sidegate.api.endpoint.v1 import trace_service_pb2 as trace_pb

DEFAULT_PROTOCOL = "tcp"
_MET = {met: packet_pb.TraceStep.Subject.Value(f"SUBJECT_{met.name}") for met in Met}
_OUTCOMES = {outcome: packet_pb.TraceStep.Outcome.Value(f"OUTCOME_{outcome.name}") for outcome in Outcome}
_MET_AS = {number: met for met, number in _MET.items()}
_OUTCOME_AS = {number: outcome for outcome, number in _OUTCOMES.items()}
_READ = {read: trace_pb.PassageStep.Subject.Value(f"SUBJECT_{read.name}") for read in Read}
_READ_OUTCOMES = {
    Outcome.PASSED: trace_pb.PassageStep.OUTCOME_PASSED,
    Outcome.REFUSED: trace_pb.PassageStep.OUTCOME_FAILED,
    Outcome.NOT_REACHED: trace_pb.PassageStep.OUTCOME_NOT_REACHED,
}


def opening_of(told: packet_pb.Opening) -> Opening:
    return Opening(told.source, told.source_port, told.port, told.protocol or DEFAULT_PROTOCOL, told.destination)


def opening_message(opening: Opening) -> packet_pb.Opening:
    return packet_pb.Opening(
        source=opening.source,
        source_port=opening.source_port,
        port=opening.port,
        protocol=opening.protocol,
        destination=opening.destination,
    )


def traced_of(told: packet_pb.PacketTrace) -> Traced:
    """What an older program does not know of is left out."""
    steps = [step for step in told.steps if step.subject in _MET_AS and step.outcome in _OUTCOME_AS]
    return Traced(
        opening_of(told.opening),
        told.address,
        tuple(TracedStep(_MET_AS[step.subject], _OUTCOME_AS[step.outcome], step.message) for step in steps),
        told.verdict,
        told.foreseen,
        told.program,
        told.backend,
        told.server_port,
        told.seen_as,
        told.seen_port,
    )


def traced_message(traced: Traced) -> packet_pb.PacketTrace:
    return packet_pb.PacketTrace(
        opening=opening_message(traced.opening),
        address=traced.address,
        steps=[
            packet_pb.TraceStep(subject=_MET[step.met], outcome=_OUTCOMES[step.outcome], message=step.message)
            for step in traced.steps
        ],
        verdict=traced.verdict,
        foreseen=traced.foreseen,
        program=traced.program,
        backend=traced.backend,
        server_port=traced.server_port,
        seen_as=traced.seen_as,
        seen_port=traced.seen_port,
    )


def gateway_trace(gateway: str, finding: Finding | None) -> trace_pb.GatewayTrace:
    """None: it has not answered."""
    if finding is None:
        return trace_pb.GatewayTrace(gateway_id=gateway)
    return trace_pb.GatewayTrace(
        gateway_id=gateway,
        answered=True,
        position=finding.position,
        generation=finding.generation,
        hindrance=finding.hindrance,
        trace=traced_message(finding.trace) if finding.trace else None,
    )


def passage_message(step: PassageStep) -> trace_pb.PassageStep:
    return trace_pb.PassageStep(subject=_READ[step.subject], outcome=_READ_OUTCOMES[step.outcome], message=step.message)
