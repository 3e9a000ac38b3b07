"""What becomes of a client's packet, drawn: its way as one line, and what it met step by step."""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.text import Text

from sidegate.api.endpoint.v1.packet_trace_pb2 import PacketTrace, TraceStep
from sidegate.api.endpoint.v1.trace_service_pb2 import GatewayTrace, TraceEndpointResponse, TracePacketResponse
from sidegate.cli import facts, words
from sidegate.cli.outcome import Exit, printable
from sidegate.cli.view import View, table

STEP = ("subject", "outcome", "message")
TITLES = ("step", "outcome", "what was found")
FORWARDED = "forwarded"
NOT_TOLD = "it has not got it in its table, or is of a version that traces nothing"


def of_packet(traced: TracePacketResponse) -> View:
    """The exit code says whether every gateway forwards it."""
    passes = bool(traced.traces) and all(each.trace.verdict == FORWARDED for each in traced.traces)
    return View(facts.of(traced), lambda _: Group(*_drawn(traced)), Exit.OK if passes else Exit.NO)


def of_endpoint(traced: TraceEndpointResponse) -> View:
    """The exit code says whether it would pass."""
    rows = [[words.field(step, name) for name in STEP] for step in traced.steps]
    return View(facts.of(traced), lambda _: table(TITLES, rows), Exit.OK if traced.passes else Exit.NO)


def _drawn(traced: TracePacketResponse) -> Iterator[RenderableType]:
    owner = f"{traced.account}/{traced.project}"
    yield Text(
        f"endpoint {traced.endpoint_id} of {owner}, marker {traced.marker_id}, generation {traced.generation}, "
        f"to service {traced.service_id}"
    )
    if not traced.traces:
        yield Text("no gateway is there to carry it")
    for each in traced.traces:
        yield ""
        yield from _on(each)


def _on(gateway: GatewayTrace) -> Iterator[RenderableType]:
    name = f"gateway {gateway.gateway_id}"
    if not gateway.answered:
        yield Text(f"{name} did not answer", words.BAD)
        return
    name += f", generation {gateway.generation}, position {gateway.position}"
    if not gateway.HasField("trace"):
        yield Text(f"{name}: {printable(gateway.hindrance) or NOT_TOLD}", words.BAD)
        return
    trace = gateway.trace
    yield Text(f"{name}: {trace.verdict}", words.GOOD if trace.verdict == FORWARDED else words.BAD)
    yield Text(f"  {way(trace)}")
    yield table(TITLES, [[words.field(step, each) for each in STEP] for step in trace.steps])
    said = f"the program, {trace.program}, says: {trace.verdict}"
    if trace.foreseen != trace.verdict:
        said += f"; the steps come to {trace.foreseen}: the table changed meanwhile, or they do not tell all"
    yield Text(said)


def way(trace: PacketTrace) -> str:
    """10.0.0.5:49152 ──tcp──▶ 10.0.0.100:80 ══▶ 198.19.128.7:23456 ──tcp──▶ 10.9.9.1:8080"""
    asked = trace.opening
    line = f"──{asked.protocol}──▶"
    there = f"{_at(asked.source, asked.source_port)} {line} {_at(trace.address, asked.port)}"
    if trace.verdict == FORWARDED:
        return f"{there} ══▶ {_at(trace.seen_as, trace.seen_port)} {line} {_at(trace.backend, trace.server_port)}"
    refusing = [step.subject for step in trace.steps if step.outcome == TraceStep.OUTCOME_REFUSED]
    where = [facts.word(TraceStep.Subject.DESCRIPTOR, subject) for subject in refusing]
    return f"{there} ──✗ {', '.join(where) or trace.verdict}"


def _at(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
