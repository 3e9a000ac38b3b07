"""What an agent shows and tells of what passes it: flow records, and packets of one endpoint."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from services.gateway_agent.agent import FlowSettings
from services.gateway_agent.dataplane.fake_kernel import FakeKernel, Flow, Packet, TcpFlags
from services.gateway_agent.flows import FULL
from services.gateway_agent.table import Protocol
from services.gateway_agent.tap_servicer import MOST_CAPTURES
from sidegate import errors
from sidegate.api.gateway.v1 import tap_service_pb2 as tap_pb
from sidegate.resources.gateways import Gateway
from tests.support.agent import BASE, CLIENT, GATEWAY, SHOP, Harness, address, agent, endpoint, eventually, id_of
from tests.support.control_plane import CELL, FORWARDING, ControlPlane, control_plane
from tests.support.nats import DEADLINE

SYN, ACK, RST = TcpFlags.SYN, TcpFlags.ACK, TcpFlags.RST
ENDS = tap_pb.CaptureEnd


@asynccontextmanager
async def scene(path: Path, flows: FlowSettings) -> AsyncIterator[tuple[ControlPlane, Harness, Gateway]]:
    """Two endpoints that are forwarded."""
    async with (
        control_plane() as control,
        agent(control, FakeKernel(), path, flows=flows) as gateway,
        gateway.tap() as tap,
    ):
        await control.tell(*BASE, endpoint("1"), endpoint("2"))
        for name in ("1", "2"):
            await control.reported(id_of(name), FORWARDING)
        yield control, gateway, tap


async def session(gateway: Harness, name: str, port: int) -> None:
    """Three packets from the client, one back; the last ends it."""
    flow = Flow(SHOP, Protocol.TCP, CLIENT, port, address(name), 80)
    there = await gateway.dataplane.send(Packet(flow, SYN))
    assert there is not None
    await gateway.dataplane.send(there.answer(SYN | ACK))
    await gateway.dataplane.send(Packet(flow, ACK))
    await gateway.dataplane.send(Packet(flow, RST))
    gateway.dataplane.kernel.collect(1e12)


async def one(answers: AsyncGenerator[tap_pb.FollowFlowsResponse, None]) -> tap_pb.FollowFlowsResponse:
    async with asyncio.timeout(DEADLINE):
        return await anext(answers)


async def test_sessions_are_told_to_the_control_plane_and_shown_to_who_follows(tmp_path: Path) -> None:
    async with scene(tmp_path, FlowSettings(FULL)) as (control, gateway, tap):
        await session(gateway, "1", 40001)
        async with asyncio.timeout(DEADLINE):
            told = await control.flows.get()
        (flow,) = told.flows
        assert (told.gateway_id, told.cell, flow.gateway_id, flow.one_of) == (GATEWAY, CELL, GATEWAY, 1)
        assert (flow.endpoint_id, flow.marker_id, flow.vpc_id) == (id_of("1"), 1, SHOP)
        assert (flow.client, flow.client_port, flow.address, flow.port) == (str(CLIENT), 40001, str(address("1")), 80)
        assert (flow.packets_in, flow.packets_out, flow.bytes_in, flow.verdict) == (3, 1, 120, "reset")
        assert flow.begin_time.ToNanoseconds() <= flow.end_time.ToNanoseconds()
        async with (
            aclosing(tap.flows(newest=10)) as everything,
            aclosing(tap.flows(endpoint_id=id_of("2"))) as second,
        ):
            assert list((await one(everything)).flows) == [flow]
            following = asyncio.ensure_future(one(second))
            await eventually("both to follow", lambda: len(gateway.agent.flow_log._followers) == 2)
            await session(gateway, "1", 40002)
            await session(gateway, "2", 40003)
            assert [each.client_port for each in (await following).flows] == [40003]
        assert (await gateway.agent.figures()).flows.written == 1


async def test_what_has_ended_is_shown_without_following(tmp_path: Path) -> None:
    async with scene(tmp_path, FlowSettings(FULL)) as (_, gateway, tap):
        for port in range(40000, 40005):
            await session(gateway, "1", port)
        await eventually("all of it", lambda: len(gateway.agent.flow_log.newest(10)) == 5)
        answers = [answer async for answer in tap.flows(newest=2, follow=False)]
        assert [flow.client_port for answer in answers for flow in answer.flows] == [40003, 40004]


async def test_a_control_plane_that_is_away_is_told_later(tmp_path: Path) -> None:
    async with scene(tmp_path, FlowSettings(FULL)) as (control, gateway, _):
        control.refuse_flows = True
        await session(gateway, "1", 40001)
        await eventually("it to be read", lambda: len(gateway.agent.flow_log.newest(1)) == 1)
        control.refuse_flows = False
        async with asyncio.timeout(DEADLINE):
            assert [flow.client_port for flow in (await control.flows.get()).flows] == [40001]


async def test_refused_openings_and_sessions_that_were_cut_are_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "flows.jsonl"
    async with scene(tmp_path, FlowSettings(FULL, path)) as (control, gateway, _):
        flow = Flow(SHOP, Protocol.TCP, CLIENT, 40001, address("1"), 81)
        assert await gateway.dataplane.send(Packet(flow, SYN)) is None
        assert await gateway.dataplane.forwards("2")
        await control.tell(endpoint("2", 2, removed=True))
        await eventually("both lines", lambda: path.exists() and len(path.read_text().splitlines()) == 2)
        told = [json.loads(line) for line in path.read_text().splitlines()]
        assert [(each["endpoint"], each["verdict"], each["port"]) for each in told] == [
            (id_of("1"), "refused_no_port", 81),
            (id_of("2"), "cut", 80),
        ]
        assert control.flows.empty()


async def test_without_a_flow_log_nothing_is_kept_and_that_is_said(tmp_path: Path) -> None:
    async with scene(tmp_path, FlowSettings()) as (control, gateway, tap):
        await session(gateway, "1", 40001)
        with pytest.raises(errors.WrongState, match="--flow-log"):
            await one(tap.flows(newest=1))
        assert control.flows.empty()
        assert gateway.agent.flow_log.newest(10) == []


async def taken(
    capture: AsyncGenerator[tap_pb.CaptureResponse, None],
) -> tuple[tap_pb.CaptureHead, list[tap_pb.CapturedPacket], tap_pb.CaptureEnd]:
    parts = [part async for part in capture]
    packets = [packet for part in parts for packet in part.packets.packets]
    return parts[0].head, packets, parts[-1].end


async def test_packets_of_one_endpoint_are_taken_on_both_sides_until_there_are_enough(tmp_path: Path) -> None:
    async with scene(tmp_path, FlowSettings()) as (_, gateway, tap):
        with capture_logs() as logs:
            taking = asyncio.create_task(taken(tap.capture(id_of("1"), packets=6, snap_length=20, who="ops")))
            await eventually("the capture", lambda: len(gateway.dataplane.captures) == 1)
            await session(gateway, "2", 40001)
            await session(gateway, "1", 40002)
            async with asyncio.timeout(DEADLINE):
                head, packets, end = await taking
        assert [device.side for device in head.devices] == [tap_pb.CaptureDevice.SIDE_CONSUMER, 2]
        assert [(packet.device, packet.outbound) for packet in packets] == [
            (0, False), (1, True), (1, False), (0, True), (0, False), (1, True)
        ]  # fmt: skip
        assert {(len(packet.data), packet.length) for packet in packets} == {(20, 54)}
        assert (end.reason, end.packets, end.dropped) == (ENDS.REASON_PACKETS, 6, 0)
        assert gateway.dataplane.captures[0].closed
        begun, ended = [each for each in logs if each["event"].startswith("capture")]
        assert (begun["event"], begun["endpoint"], begun["who"]) == ("capture begun", id_of("1"), "ops")
        assert (ended["event"], ended["packets"]) == ("capture ended", 6)


@pytest.mark.parametrize(
    ("limits", "reason"),
    [({"seconds": 0.05}, ENDS.REASON_TIME), ({"bytes": 100}, ENDS.REASON_BYTES)],
    ids=["time", "bytes"],
)
async def test_a_capture_ends_at_its_limit(tmp_path: Path, limits: dict[str, float], reason: int) -> None:
    async with scene(tmp_path, FlowSettings()) as (_, gateway, tap):
        taking = asyncio.create_task(taken(tap.capture(id_of("1"), **limits)))  # type: ignore[arg-type]
        await eventually("the capture", lambda: len(gateway.dataplane.captures) == 1)
        if reason == ENDS.REASON_BYTES:
            await session(gateway, "1", 40002)
        async with asyncio.timeout(DEADLINE):
            _, packets, end = await taking
        assert end.reason == reason
        assert len(packets) == (2 if reason == ENDS.REASON_BYTES else 0)


async def test_who_goes_away_ends_his_capture_and_there_are_only_so_many(tmp_path: Path) -> None:
    async with scene(tmp_path, FlowSettings()) as (_, gateway, tap):
        captures = [tap.capture(id_of("1")) for _ in range(MOST_CAPTURES)]
        for capture in captures:
            assert (await anext(capture)).HasField("head")
        with pytest.raises(errors.QuotaReached):
            await anext(tap.capture(id_of("1")))
        await captures[0].aclose()
        await eventually("it to be closed", lambda: gateway.dataplane.captures[0].closed)
        again = tap.capture(id_of("1"))
        assert (await anext(again)).HasField("head")
        for capture in (*captures[1:], again):
            await capture.aclose()


async def test_an_endpoint_that_is_not_here_has_no_packets(tmp_path: Path) -> None:
    async with scene(tmp_path, FlowSettings()) as (_, _gateway, tap):
        with pytest.raises(errors.NotFound):
            await anext(tap.capture(id_of("9")))
