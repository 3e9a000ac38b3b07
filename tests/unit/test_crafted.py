"""Frames that no client has sent: their checksums are right, in both families."""

from ipaddress import ip_address
from itertools import product

import pytest

from services.gateway_agent.dataplane.crafted import NUMBERS, first_frame
from services.gateway_agent.dataplane.segments import checksum
from services.gateway_agent.packet_trace import Opening
from services.gateway_agent.table import Protocol

SENDER, RECEIVER = b"\2\0\0\0\0\1", b"\2\0\0\0\0\2"
PAIRS = {4: ("10.0.0.10", "10.0.0.100"), 6: ("fd00::10", "fd00::100")}
HEADER = {4: 20, 6: 40}


@pytest.mark.parametrize(("version", "protocol"), list(product(PAIRS, Protocol)))
def test_a_first_frame_is_what_a_host_would_send(version: int, protocol: Protocol) -> None:
    client, address = map(ip_address, PAIRS[version])
    frame = first_frame(Opening(client, 40000, 80, protocol), address, sender=SENDER, receiver=RECEIVER)
    header, body = frame[14 : 14 + HEADER[version]], frame[14 + HEADER[version] :]
    assert frame[:12] == RECEIVER + SENDER
    assert frame[12:14] == {4: b"\x08\x00", 6: b"\x86\xdd"}[version]
    assert header[0] >> 4 == version
    assert client.packed + address.packed in header
    if version == 4:
        assert checksum(header) == 0
        assert int.from_bytes(header[2:4], "big") == len(header) + len(body)
    assert body[:4] == (40000).to_bytes(2, "big") + (80).to_bytes(2, "big")
    pseudo = client.packed + address.packed + len(body).to_bytes(4, "big") + NUMBERS[protocol].to_bytes(4, "big")
    assert checksum(pseudo + body) == 0
