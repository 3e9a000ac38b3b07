"""`sidegate gateway flows` and `sidegate gateway capture`: what is asked, how lines look, and what a file holds."""

from ipaddress import ip_address
from pathlib import Path

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from pcapng import FileScanner, blocks

from services.gateway_agent.dataplane.crafted import first_frame
from services.gateway_agent.packet_trace import Opening
from services.gateway_agent.table import Protocol
from sidegate.api.gateway.v1.flow_pb2 import Flow
from sidegate.api.gateway.v1.tap_service_pb2 import (
    CaptureDevice,
    CapturedPacket,
    CapturedPackets,
    CaptureEnd,
    CaptureHead,
    CaptureRequest,
    CaptureResponse,
    FollowFlowsRequest,
    FollowFlowsResponse,
)
from sidegate.cli import frames
from tests.support.command_line import CommandLine
from tests.support.fake_sidegate import FakeSidegate

ENDPOINT = "6f1c2a3b-5d0e-4f6a-9b1c-2d3e4f5a6b7c"
AT = 1_795_669_983_685_098_965
NOBODY = bytes(6)


@pytest.fixture
def cli(fake: FakeSidegate) -> CommandLine:
    return CommandLine(fake)


def moment(nanoseconds: int) -> Timestamp:
    at = Timestamp()
    at.FromNanoseconds(nanoseconds)
    return at


def flow(port: int, verdict: str) -> Flow:
    return Flow(
        endpoint_id=ENDPOINT, client="10.0.0.5", client_port=port, address="10.0.0.100", port=80, protocol="tcp",
        packets_in=5, bytes_in=300, packets_out=4, bytes_out=9000, verdict=verdict,
        begin_time=moment(AT), end_time=moment(AT),
    )  # fmt: skip


def test_flows_are_lines_and_what_was_left_out_is_said(fake: FakeSidegate, cli: CommandLine) -> None:
    fake.tap.flows = [
        FollowFlowsResponse(flows=[flow(40000, "closed")]),
        FollowFlowsResponse(flows=[flow(40001, "refused_no_port")], left_out=3),
    ]
    done = cli.run("gateway", "flows", "--newest", "7", "--endpoint", ENDPOINT)
    assert [line.split("  ")[-1].strip() for line in done.stdout.splitlines()] == [
        "VERDICT",
        "closed",
        "refused_no_port",
    ]
    assert "10.0.0.5:40000" in done.stdout
    assert "5 packets 300 B" in done.stdout
    assert "3 flows were left out" in done.stderr
    assert fake.tap.asked == [FollowFlowsRequest(endpoint_id=ENDPOINT, newest=7)]
    lines = cli.text("gateway", "flows", "--follow", "-o", "json").splitlines()
    assert len(lines) == 2
    assert '"verdict": "closed"' in lines[0]
    assert fake.tap.asked[-1] == FollowFlowsRequest(newest=20, follow=True)


def packet(device: int, outbound: bool, data: bytes, length: int = 0) -> CapturedPacket:
    return CapturedPacket(device=device, time=moment(AT), outbound=outbound, length=length or len(data), data=data)


def frame(source: str, target: str, port: int, protocol: Protocol = Protocol.TCP) -> bytes:
    opening = Opening(ip_address(source), 40000, port, protocol)
    return first_frame(opening, ip_address(target), sender=NOBODY, receiver=NOBODY)


THERE, ON = frame("10.0.0.5", "10.0.0.100", 80), frame("198.19.128.7", "10.9.9.1", 8080)
HEAD = CaptureHead(
    gateway_id="gw-1",
    endpoint_id=ENDPOINT,
    snap_length=262_144,
    devices=[
        CaptureDevice(side=CaptureDevice.SIDE_CONSUMER, name="sidegate0", namespace="shop", filter="host 10.0.0.100"),
        CaptureDevice(side=CaptureDevice.SIDE_PROVIDER, name="sg1", filter="host 198.19.128.7"),
    ],
)
PACKETS = [packet(0, False, THERE), packet(1, True, ON[:40], len(ON))]
ANSWERS = [
    CaptureResponse(head=HEAD),
    CaptureResponse(packets=CapturedPackets(packets=PACKETS[:1])),
    CaptureResponse(packets=CapturedPackets(packets=PACKETS[1:])),
    CaptureResponse(end=CaptureEnd(reason=CaptureEnd.REASON_PACKETS, packets=2, dropped=1)),
]


def test_packets_are_lines_of_both_sides(fake: FakeSidegate, cli: CommandLine) -> None:
    fake.tap.captured = ANSWERS
    done = cli.run("gateway", "capture", "--endpoint", ENDPOINT, "-c", "2", "--seconds", "1.5", "-s", "100")
    lines = [line.split(maxsplit=4) for line in done.stdout.splitlines()]
    assert [line[1:] for line in lines[1:]] == [
        ["consumer", "in", "54", "10.0.0.5:40000 > 10.0.0.100:80 tcp [S]"],
        ["provider", "out", "54", "198.19.128.7:40000 > 10.9.9.1:8080 tcp, cut short"],
    ]
    assert "sidegate0, consumer side, in network namespace shop: host 10.0.0.100" in done.stderr
    assert "2 packets, 1 dropped; ended by packets" in done.stderr
    (asked,) = fake.tap.asked
    assert isinstance(asked, CaptureRequest)
    assert (asked.endpoint_id, asked.packets, asked.snap_length) == (ENDPOINT, 2, 100)
    assert asked.within.ToMilliseconds() == 1500
    assert asked.who


@pytest.mark.filterwarnings("ignore:Field type should not be:DeprecationWarning")  # the reader's own table of options
def test_a_file_has_each_packet_as_it_was_with_its_device_time_and_direction(
    fake: FakeSidegate, cli: CommandLine, tmp_path: Path
) -> None:
    fake.tap.captured = ANSWERS
    path = tmp_path / "shop.pcapng"
    assert cli.text("gateway", "capture", "--endpoint", ENDPOINT, "-w", str(path)) == ""
    assert path.stat().st_mode & 0o777 == 0o600
    with path.open("rb") as file:
        section, one, two, *packets = list(FileScanner(file))
    assert section.options["shb_userappl"].endswith(f"endpoint {ENDPOINT} on gateway gw-1")
    assert [each.options["if_name"] for each in (one, two)] == ["sidegate0", "sg1"]
    assert one.options["if_description"].endswith("in network namespace shop: host 10.0.0.100")
    assert {(each.link_type, each.snaplen) for each in (one, two)} == {(1, 262_144)}
    assert all(isinstance(each, blocks.EnhancedPacket) for each in packets)
    assert [(each.interface_id, each.packet_data, each.packet_len) for each in packets] == [
        (0, THERE, len(THERE)),
        (1, ON[:40], len(ON)),
    ]
    assert [each.options["epb_flags"].inout for each in packets] == ["inbound", "outbound"]
    assert {each.timestamp_high << 32 | each.timestamp_low for each in packets} == {AT}


def test_what_is_refused_leaves_no_file(fake: FakeSidegate, cli: CommandLine, tmp_path: Path) -> None:
    path = tmp_path / "shop.pcapng"
    cli.error("gateway", "capture", "--endpoint", ENDPOINT, "-w", str(path), code=3)
    assert not path.exists()


def test_a_file_that_cannot_be_made_is_a_usage_error(fake: FakeSidegate, cli: CommandLine, tmp_path: Path) -> None:
    fake.tap.captured = ANSWERS
    said = cli.error("gateway", "capture", "--endpoint", ENDPOINT, "-w", str(tmp_path / "no" / "file"), code=2)
    assert "No such file" in said


SYN = frame("10.0.0.5", "10.0.0.100", 80)
REQUEST = bytes.fromhex("0001080006040001" + "02000000000a" + "0a000005" + "000000000000" + "0a000064")
TOLD = {
    "udp": (frame("10.0.0.5", "10.0.0.100", 53, Protocol.UDP), "10.0.0.5:40000 > 10.0.0.100:53 udp"),
    "IPv6": (frame("fd00::5", "fd00::100", 80), "[fd00::5]:40000 > [fd00::100]:80 tcp [S]"),
    "ARP": (bytes(12) + b"\x08\x06" + REQUEST, "arp who has 10.0.0.100, tell 10.0.0.5"),
    "unknown": (bytes(12) + b"\x88\xb5" + bytes(46), "ethertype 0x88b5"),
    "ICMP": (SYN[:23] + b"\x01" + SYN[24:], "10.0.0.5 > 10.0.0.100 icmp"),
    "cut short": (b"\x00\x01", "cut short"),
    "nothing": (b"", "cut short"),
}


@pytest.mark.parametrize(("data", "words"), TOLD.values(), ids=TOLD)
def test_a_frame_is_told_in_words(data: bytes, words: str) -> None:
    assert words in frames.words(data)
