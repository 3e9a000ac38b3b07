"""An agent that is asked to try an endpoint out: what it answers, and that it goes on listening."""

import asyncio
from ipaddress import IPv4Address
from pathlib import Path

from google.protobuf.duration_pb2 import Duration

from services.gateway_agent.dataplane.fake_kernel import FakeKernel
from sidegate.api.endpoint.v1.packet_trace_pb2 import Opening
from sidegate.api.gateway.v1 import probe_pb2 as probe_pb
from tests.support.agent import BACKEND, BASE, GATEWAY, PAYMENTS, agent, endpoint, id_of
from tests.support.control_plane import FORWARDING, ControlPlane, control_plane
from tests.support.nats import DEADLINE

WITHIN = Duration(seconds=1)


async def answer(control: ControlPlane, name: str, opening: Opening | None = None) -> probe_pb.AnswerProbeRequest:
    probe = probe_pb.Probe(id=f"probe-{name}", endpoint_id=id_of(name), within=WITHIN, opening=opening)
    await control.probes.put(probe)
    async with asyncio.timeout(DEADLINE):
        return await control.answers.get()


async def test_what_the_gateway_has_and_what_backends_say_is_answered(tmp_path: Path) -> None:
    kernel = FakeKernel()
    async with control_plane() as control, agent(control, kernel, tmp_path):
        await control.tell(*BASE, endpoint("1", 3))
        await control.reported(id_of("1"), FORWARDING, generation=3)
        told = await answer(control, "1")
        assert (told.gateway_id, told.id, told.has_it, told.generation) == (GATEWAY, "probe-1", True, 3)
        assert told.answers_arp
        assert told.position >= 3
        assert [port.outcome for port in told.ports] == [probe_pb.ProbedPort.OUTCOME_REFUSED]
        kernel.open_ports.add((PAYMENTS, BACKEND, 8080))
        assert [port.outcome for port in (await answer(control, "1")).ports] == [probe_pb.ProbedPort.OUTCOME_OPEN]


async def test_an_endpoint_that_is_not_here_is_answered_too(tmp_path: Path) -> None:
    async with control_plane() as control, agent(control, FakeKernel(), tmp_path):
        told = await answer(control, "9")
        assert not told.has_it
        assert told.generation == 0
        assert told.hindrance


async def test_an_agent_listens_again_when_the_control_plane_is_back(tmp_path: Path) -> None:
    async with control_plane() as control, agent(control, FakeKernel(), tmp_path):
        await answer(control, "9")
        await control.stop()
        await control.start()
        control.probes = asyncio.Queue()  # the call that was cut off may still wait at the old one
        await answer(control, "9")


async def test_a_packet_is_traced_where_that_is_asked_and_nothing_is_tried_out(tmp_path: Path) -> None:
    kernel = FakeKernel()
    async with control_plane() as control, agent(control, kernel, tmp_path):
        await control.tell(*BASE, endpoint("1", 3))
        await control.reported(id_of("1"), FORWARDING, generation=3)
        told = await answer(control, "1", Opening(source="10.0.0.5", port=80))
        assert (told.has_it, told.generation, list(told.ports)) == (True, 3, [])
        assert (told.trace.verdict, told.trace.opening.source_port) == ("forwarded", 49152)
        assert IPv4Address(told.trace.backend) == BACKEND
        assert (await answer(control, "1", Opening(source="10.0.0.5", port=81))).trace.verdict == "refused_no_port"
        assert kernel.sessions == {}
        missing = await answer(control, "9", Opening(source="10.0.0.5"))
        assert not missing.has_it
        assert not missing.HasField("trace")
