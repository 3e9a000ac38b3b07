"""What gateways found and what comes of it, as the contract has them."""

from google.protobuf.duration_pb2 import Duration

from services.endpoint.domain.reachability import Finding, Outcome, Port, PortOutcome, Step, Subject
from services.endpoint.domain.traced import Opening
from services.endpoint.wire.passage import opening_message, traced_of
from sidegate.api.endpoint.v1 import reachability_pb2 as reachability_pb
from sidegate.api.gateway.v1 import probe_pb2 as probe_pb

SUBJECTS = {
    Subject.STATE: reachability_pb.ReachabilityStep.SUBJECT_STATE,
    Subject.ADDRESS: reachability_pb.ReachabilityStep.SUBJECT_ADDRESS,
    Subject.GATEWAYS: reachability_pb.ReachabilityStep.SUBJECT_GATEWAYS,
    Subject.ARP: reachability_pb.ReachabilityStep.SUBJECT_ARP,
    Subject.BACKENDS: reachability_pb.ReachabilityStep.SUBJECT_BACKENDS,
}
OUTCOMES = {
    Outcome.PASSED: reachability_pb.ReachabilityStep.OUTCOME_PASSED,
    Outcome.FAILED: reachability_pb.ReachabilityStep.OUTCOME_FAILED,
    Outcome.NOT_TRIED: reachability_pb.ReachabilityStep.OUTCOME_NOT_TRIED,
}
FOUND = {
    probe_pb.ProbedPort.OUTCOME_OPEN: PortOutcome.OPEN,
    probe_pb.ProbedPort.OUTCOME_REFUSED: PortOutcome.REFUSED,
    probe_pb.ProbedPort.OUTCOME_SILENT: PortOutcome.SILENT,
    probe_pb.ProbedPort.OUTCOME_UNRESOLVED: PortOutcome.UNRESOLVED,
    probe_pb.ProbedPort.OUTCOME_NO_PROXY: PortOutcome.NO_PROXY,
    probe_pb.ProbedPort.OUTCOME_PRESENT: PortOutcome.PRESENT,
}
TOLD = {
    PortOutcome.OPEN: reachability_pb.TestedBackend.OUTCOME_OPEN,
    PortOutcome.REFUSED: reachability_pb.TestedBackend.OUTCOME_REFUSED,
    PortOutcome.SILENT: reachability_pb.TestedBackend.OUTCOME_SILENT,
    PortOutcome.UNRESOLVED: reachability_pb.TestedBackend.OUTCOME_UNRESOLVED,
    PortOutcome.NO_PROXY: reachability_pb.TestedBackend.OUTCOME_NO_PROXY,
    PortOutcome.PRESENT: reachability_pb.TestedBackend.OUTCOME_PRESENT,
}


def probe_message(id_: str, endpoint: str, seconds: float, opening: Opening | None) -> probe_pb.Probe:
    within = Duration()
    within.FromNanoseconds(int(seconds * 1e9))
    packet = opening_message(opening) if opening else None
    return probe_pb.Probe(id=id_, endpoint_id=endpoint, within=within, opening=packet)


def finding_of(answer: probe_pb.AnswerProbeRequest) -> Finding:
    """A port of which nothing is said counts as silent."""
    return Finding(
        position=answer.position,
        generation=answer.generation,
        has_it=answer.has_it,
        hindrance=answer.hindrance,
        answers_arp=answer.answers_arp,
        mac=answer.mac,
        claimants=tuple(answer.claimants),
        ports={
            Port(each.address, each.port, each.protocol): FOUND.get(each.outcome, PortOutcome.SILENT)
            for each in answer.ports
        },
        trace=traced_of(answer.trace) if answer.HasField("trace") else None,
    )


def step_message(step: Step) -> reachability_pb.ReachabilityStep:
    return reachability_pb.ReachabilityStep(
        subject=SUBJECTS[step.subject], outcome=OUTCOMES[step.outcome], message=step.message
    )


def backend_message(port: Port, outcome: PortOutcome) -> reachability_pb.TestedBackend:
    return reachability_pb.TestedBackend(
        address=port.address, port=port.port, protocol=port.protocol, outcome=TOLD[outcome]
    )
