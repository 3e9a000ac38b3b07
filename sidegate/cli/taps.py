"""What passes a gateway, as lines: sessions that are over, packets of one endpoint; packets also as a file."""

import os
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import BinaryIO

from sidegate.api.gateway.v1.flow_pb2 import Flow
from sidegate.api.gateway.v1.tap_service_pb2 import (
    CaptureDevice,
    CapturedPacket,
    CaptureEnd,
    CaptureHead,
    CaptureResponse,
    FollowFlowsResponse,
)
from sidegate.cli import facts, frames, words
from sidegate.cli.outcome import Complaint, Exit
from sidegate.cli.streaming import Line, Running, let_go_of_stdout

FLOW_TITLES = {"ended": 19, "client": 21, "endpoint": 21, "proto": 5, "in": 18, "out": 18, "verdict": 0}
MORE_OF_FLOWS = {"endpoint id": 36, "marker": 8, "service id": 36, "began": 19}
PACKET_TITLES = {"time": 15, "side": 8, "way": 3, "length": 6, "packet": 0}
STDOUT = "-"


def flows(answers: AsyncGenerator[FollowFlowsResponse, None]) -> Running:
    return Running(FLOW_TITLES, _flow_lines(answers), MORE_OF_FLOWS)


async def _flow_lines(answers: AsyncGenerator[FollowFlowsResponse, None]) -> AsyncGenerator[Line, None]:
    async with aclosing(answers):
        async for answer in answers:
            if answer.left_out:
                _say(f"{answer.left_out} flows were left out: they come faster than they are read")
            for flow in answer.flows:
                yield _flow(flow)


def _flow(flow: Flow) -> Line:
    cells = (
        words.field(flow, "end_time"),
        _at(flow.client, flow.client_port),
        _at(flow.address, flow.port),
        flow.protocol,
        f"{flow.packets_in} packets {flow.bytes_in} B",
        f"{flow.packets_out} packets {flow.bytes_out} B",
        flow.verdict,
    )
    more = (flow.endpoint_id, str(flow.marker_id), flow.service_id, words.field(flow, "begin_time"))
    return Line(facts.of(flow), cells, more)


def packets(answers: AsyncGenerator[CaptureResponse, None]) -> Running:
    return Running(PACKET_TITLES, _packet_lines(answers), {})


async def _packet_lines(answers: AsyncGenerator[CaptureResponse, None]) -> AsyncGenerator[Line, None]:
    head = CaptureHead()
    async with aclosing(answers):
        async for answer in answers:
            match answer.WhichOneof("part"):
                case "head":
                    head = answer.head
                    _say_where(head)
                case "packets":
                    for packet in answer.packets.packets:
                        yield _packet(head, packet)
                case _:
                    _say_end(answer.end)


def _packet(head: CaptureHead, packet: CapturedPacket) -> Line:
    side = facts.word(CaptureDevice.Side.DESCRIPTOR, head.devices[packet.device].side)
    at = packet.time
    time = f"{at.ToDatetime().astimezone():%H:%M:%S}.{at.nanos // 1000:06d}"
    cells = (time, side, "out" if packet.outbound else "in", str(packet.length), frames.words(packet.data))
    return Line({**facts.of(packet), "side": side}, cells)


async def write(answers: AsyncGenerator[CaptureResponse, None], to: str) -> Running:
    """Writes all of it to a file, or to stdout; there are no lines left to print."""
    from sidegate.cli.pcapng_file import PcapngFile  # noqa: PLC0415 # of all commands this one alone needs it

    async with aclosing(answers):
        first = await anext(answers)  # so that what is refused leaves no file
        try:
            with _opened(to) as file:
                _say_where(first.head)
                written = PcapngFile(file, first.head)
                async for answer in answers:
                    if answer.HasField("end"):
                        _say_end(answer.end)
                    else:
                        written.write(answer.packets.packets)
        except BrokenPipeError:
            let_go_of_stdout()
    return Running({}, _nothing(), {})


async def _nothing() -> AsyncGenerator[Line, None]:
    return
    yield


def _opened(to: str) -> BinaryIO:
    """For whoever asks alone: what it holds is a tenant's. Raises Complaint."""
    if to == STDOUT:
        return os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    try:
        return os.fdopen(os.open(to, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb")
    except OSError as error:
        raise Complaint(f"{to} cannot be written: {error.strerror}", Exit.USAGE) from error


def described(device: CaptureDevice) -> str:
    """consumer side, in network namespace shop: host 10.0.0.100"""
    side = facts.word(CaptureDevice.Side.DESCRIPTOR, device.side)
    where = f", in network namespace {device.namespace}" if device.namespace else ""
    return f"{side} side{where}: {device.filter}"


def _say_where(head: CaptureHead) -> None:
    for device in head.devices:
        _say(f"{device.name}, {described(device)}")


def _say_end(end: CaptureEnd) -> None:
    reason = facts.word(CaptureEnd.Reason.DESCRIPTOR, end.reason)
    _say(f"{end.packets} packets, {end.dropped} dropped; ended by {reason}")


def _say(text: str) -> None:
    sys.stderr.write(f"sidegate: {text}\n")


def _at(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
