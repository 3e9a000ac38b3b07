"""Packets and their traces, as the contract has them."""

from ipaddress import ip_address

from services.gateway_agent.packet_trace import ANY_SOURCE_PORT, Opening, Outcome, PacketTrace, Step, Subject
from services.gateway_agent.table import Protocol
from sidegate.api.endpoint.v1 import packet_trace_pb2 as packet_pb

MAX_MESSAGE = 300
_SUBJECTS = {subject: packet_pb.TraceStep.Subject.Value(f"SUBJECT_{subject.name}") for subject in Subject}
_OUTCOMES = {outcome: packet_pb.TraceStep.Outcome.Value(f"OUTCOME_{outcome.name}") for outcome in Outcome}


def opening_of(told: packet_pb.Opening) -> Opening:
    protocol = Protocol(told.protocol or Protocol.TCP)
    destination = ip_address(told.destination) if told.destination else None
    return Opening(ip_address(told.source), told.source_port or ANY_SOURCE_PORT, told.port, protocol, destination)


def trace_message(trace: PacketTrace) -> packet_pb.PacketTrace:
    opening = trace.opening
    return packet_pb.PacketTrace(
        opening=packet_pb.Opening(
            source=str(opening.source),
            source_port=opening.source_port,
            port=opening.port,
            protocol=opening.protocol.value,
            destination=str(opening.destination or ""),
        ),
        address=str(trace.address),
        steps=map(_step, trace.steps),
        verdict=trace.verdict,
        foreseen=trace.foreseen,
        program=trace.program,
        backend=str(trace.backend or ""),
        server_port=trace.server_port,
        seen_as=str(trace.seen_as or ""),
        seen_port=trace.seen_port,
    )


def _step(step: Step) -> packet_pb.TraceStep:
    return packet_pb.TraceStep(
        subject=_SUBJECTS[step.subject], outcome=_OUTCOMES[step.outcome], message=step.message[:MAX_MESSAGE]
    )
