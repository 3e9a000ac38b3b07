"""`sidegate gateway trace` and `sidegate endpoint trace`: what is asked, and how the answer is drawn."""

import pytest

from sidegate.api.endpoint.v1 import trace_service_pb2 as trace_pb
from sidegate.api.endpoint.v1.packet_trace_pb2 import Opening, PacketTrace, TraceStep
from tests.support.command_line import CommandLine
from tests.support.fake_sidegate import FakeSidegate

ENDPOINT = "6f1c2a3b-5d0e-4f6a-9b1c-2d3e4f5a6b7c"
PACKET = Opening(source="10.0.0.5", source_port=49152, port=80, protocol="tcp")


@pytest.fixture
def cli(fake: FakeSidegate) -> CommandLine:
    return CommandLine(fake)


def trace(verdict: str, foreseen: str = "") -> PacketTrace:
    outcome = TraceStep.OUTCOME_PASSED if verdict == "forwarded" else TraceStep.OUTCOME_REFUSED
    step = TraceStep(subject=TraceStep.SUBJECT_WHITELIST, outcome=outcome, message="10.0.0.0/24 has 10.0.0.5")
    return PacketTrace(
        opening=PACKET,
        address="10.0.0.100",
        steps=[step],
        verdict=verdict,
        foreseen=foreseen or verdict,
        program="c0ffee",
        backend="10.9.9.1",
        server_port=8080,
        seen_as="198.19.128.7",
        seen_port=2000,
    )


def answer(*traces: trace_pb.GatewayTrace) -> trace_pb.TracePacketResponse:
    about = {"account": "shop", "project": "default", "service_id": "s-1"}
    return trace_pb.TracePacketResponse(endpoint_id=ENDPOINT, marker_id=7, generation=3, traces=traces, **about)


def on(gateway: str, told: PacketTrace | None = None, hindrance: str = "") -> trace_pb.GatewayTrace:
    return trace_pb.GatewayTrace(
        gateway_id=gateway, answered=True, position=41, generation=3, trace=told, hindrance=hindrance
    )


GOES = trace("forwarded")


def test_a_packet_that_passes_is_drawn_on_its_way(fake: FakeSidegate, cli: CommandLine) -> None:
    fake.traces.packet = answer(on("gw-1", GOES))
    text = cli.text("gateway", "trace", "--endpoint", ENDPOINT, "--from", "10.0.0.5")
    assert text.splitlines() == [
        f"endpoint {ENDPOINT} of shop/default, marker 7, generation 3, to service s-1",
        "",
        "gateway gw-1, generation 3, position 41: forwarded",
        "  10.0.0.5:49152 ──tcp──▶ 10.0.0.100:80 ══▶ 198.19.128.7:2000 ──tcp──▶ 10.9.9.1:8080",
        "STEP       OUTCOME  WHAT WAS FOUND",
        "whitelist  passed   10.0.0.0/24 has 10.0.0.5",
        "the program, c0ffee, says: forwarded",
    ]
    assert fake.traces.asked[-1] == trace_pb.TracePacketRequest(
        endpoint_id=ENDPOINT, opening=Opening(source="10.0.0.5", protocol="tcp")
    )


def test_what_is_asked_for_goes_with_the_question(fake: FakeSidegate, cli: CommandLine) -> None:
    fake.traces.packet = answer(on("gw-2", GOES))
    which = ("--to-port", "53", "--protocol", "udp", "--gateway", "gw-2")
    cli.answer("gateway", "trace", "--endpoint", ENDPOINT, "--from", "[fd00::5]:40000", *which)
    opening = Opening(source="fd00::5", source_port=40000, port=53, protocol="udp")
    assert fake.traces.asked[-1] == trace_pb.TracePacketRequest(endpoint_id=ENDPOINT, opening=opening, gateway="gw-2")


def test_a_packet_that_is_refused_somewhere_ends_with_no(fake: FakeSidegate, cli: CommandLine) -> None:
    fake.traces.packet = answer(on("gw-1", GOES), on("gw-2", trace("refused_not_allowed")))
    told = cli.answer("gateway", "trace", "--endpoint", ENDPOINT, "--from", "10.0.0.5", code=1)
    assert [each["trace"]["verdict"] for each in told["traces"]] == ["forwarded", "refused_not_allowed"]
    text = cli.text("gateway", "trace", "--endpoint", ENDPOINT, "--from", "10.0.0.5", code=1)
    assert "  10.0.0.5:49152 ──tcp──▶ 10.0.0.100:80 ──✗ whitelist" in text


def test_a_verdict_that_the_steps_do_not_explain_is_said_to_be_one(fake: FakeSidegate, cli: CommandLine) -> None:
    fake.traces.packet = answer(on("gw-1", trace("refused_table_full", "forwarded")))
    text = cli.text("gateway", "trace", "--endpoint", ENDPOINT, "--from", "10.0.0.5", code=1)
    assert "says: refused_table_full; the steps come to forwarded" in text


def test_gateways_that_do_not_answer_or_cannot_are_named(fake: FakeSidegate, cli: CommandLine) -> None:
    silent = trace_pb.GatewayTrace(gateway_id="gw-1")
    fake.traces.packet = answer(silent, on("gw-2", hindrance="a device went away"), on("gw-3"))
    text = cli.text("gateway", "trace", "--endpoint", ENDPOINT, "--from", "10.0.0.5", code=1)
    assert "gateway gw-1 did not answer" in text
    assert "gateway gw-2, generation 3, position 41: a device went away" in text
    assert "gateway gw-3, generation 3, position 41: it has not got it in its table" in text


def test_without_a_gateway_nothing_passes(fake: FakeSidegate, cli: CommandLine) -> None:
    fake.traces.packet = answer()
    asked = ("gateway", "trace", "--endpoint", ENDPOINT, "--from", "10.0.0.5")
    assert "no gateway is there to carry it" in cli.text(*asked, code=1)


@pytest.mark.parametrize("client", ["", "shop", "10.0.0.5:x", "10.0.0.5:65536", "10.0.0:80", "[10.0.0.5", "fd00:::1"])
def test_what_is_no_client_is_a_usage_error(cli: CommandLine, client: str) -> None:
    cli.error("gateway", "trace", "--endpoint", ENDPOINT, "--from", client, code=2)


@pytest.mark.parametrize(
    ("passes", "outcome"),
    [(True, trace_pb.PassageStep.OUTCOME_PASSED), (False, trace_pb.PassageStep.OUTCOME_FAILED)],
    ids=["passes", "does not"],
)
def test_an_owner_reads_whether_it_would_pass(
    fake: FakeSidegate, cli: CommandLine, passes: bool, outcome: "trace_pb.PassageStep.Outcome.ValueType"
) -> None:
    step = trace_pb.PassageStep(subject=trace_pb.PassageStep.SUBJECT_PORT, outcome=outcome, message="as it is")
    fake.traces.endpoint = trace_pb.TraceEndpointResponse(endpoint_id=ENDPOINT, passes=passes, steps=[step])
    asked = ("endpoint", "trace", ENDPOINT, "--from", "10.0.0.5:40000", "--to-port", "80")
    assert cli.answer(*asked, code=int(not passes))["passes"] is passes
    assert "port  " in cli.text(*asked, code=int(not passes))
    opening = Opening(source="10.0.0.5", source_port=40000, port=80, protocol="tcp")
    assert fake.traces.asked[-1] == trace_pb.TraceEndpointRequest(id=ENDPOINT, opening=opening)
