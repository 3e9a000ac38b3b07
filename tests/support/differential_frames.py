"""The frames of a differential test's steps, as things stand in the model when they are sent."""

from collections.abc import Sequence
from struct import pack
from typing import NamedTuple, TypeVar

from services.gateway_agent.dataplane.maps import PROTOCOL_NUMBERS
from tests.support.differential_steps import (
    CLIENTS,
    SHORTEST,
    SHORTEST_IPV6,
    Arp,
    Following,
    Neighbour,
    Opening,
    Send,
    Stray,
    Twist,
    in_six,
)
from tests.support.models.forwarding import Forwarding
from tests.support.models.forwarding_packets import ETHERNET_AND_IPV4, ICMPV6, TCP, Tuple, checksum
from tests.support.wire import ARP, IPV4, IPV6, Segment, ethernet

T = TypeVar("T")

FIRST_PORT = 40000
SENDERS = tuple(bytes([2, 0xAA, 0, 0, 0, number]) for number in range(len(CLIENTS)))
ANOTHER = bytes.fromhex("02aaff000000")


class Sent(NamedTuple):
    """A packet, and who sends it."""

    tuple: Tuple
    flags: int
    mac: bytes


def frame_of(send: Send, model: Forwarding, vpcs: Sequence[str]) -> tuple[int, bytes] | None:
    """The frame, and the number of the VPC that it is made for; none where there is nothing that it is about."""
    match send.packet:
        case Arp(vpc) | Neighbour(vpc) as asked:
            number = model.numbers[vpcs[vpc]]
            to = send.twist.to or _mac(model, number)
            return number, _twisted(_arp(asked, to) if isinstance(asked, Arp) else _neighbour(asked, to), send.twist)
        case packet:
            return _ip_frame_of(packet, send.twist, model, vpcs)


def _ip_frame_of(
    packet: Opening | Following | Stray, twist: Twist, model: Forwarding, vpcs: Sequence[str]
) -> tuple[int, bytes] | None:
    sent = _described(packet, model, vpcs)
    if sent is None:
        return None
    number = sent.tuple.vpc
    to, six = twist.to or _mac(model, number), sent.tuple.source.version == 6
    frame = (
        ethernet(to, sent.mac, IPV6, _ipv6(sent, twist)) if six else ethernet(to, sent.mac, IPV4, _ipv4(sent, twist))
    )
    return number, _twisted(frame, twist)


def opened_by(opening: Opening, model: Forwarding) -> Tuple | None:
    """The tuple of its packet; none where there is no endpoint."""
    endpoint = pick([model.endpoints[each] for each in sorted(model.endpoints)], opening.endpoint)
    mapping = pick(model.services[endpoint.service].ports, opening.mapping) if endpoint else None
    if endpoint is None or mapping is None:
        return None
    client = CLIENTS[opening.client]
    return Tuple(
        source=client if endpoint.address.version == 4 else in_six(client),
        destination=endpoint.address + opening.to if endpoint.routes else endpoint.address,
        source_port=FIRST_PORT + opening.port,
        destination_port=mapping.client_port,
        vpc=model.numbers[endpoint.vpc],
        protocol=PROTOCOL_NUMBERS[mapping.protocol],
    )


def pick(things: Sequence[T], number: int) -> T | None:
    return things[number % len(things)] if things else None


def _described(packet: Opening | Following | Stray, model: Forwarding, vpcs: Sequence[str]) -> Sent | None:
    match packet:
        case Opening(client=client, flags=flags):
            opened = opened_by(packet, model)
            return Sent(opened, flags, SENDERS[client]) if opened else None
        case Following(number, from_backend, flags):
            session = pick(model.sessions.all(), number)
            side = session and (session.provider if from_backend else session.consumer)
            return Sent(side.tuple, flags, ANOTHER) if side else None
        case Stray(vpc, source, destination, source_port, destination_port, protocol, flags, six):
            between = (in_six(source), in_six(destination)) if six else (source, destination)
            number = model.numbers[vpcs[vpc]]
            key = Tuple(between[0], between[1], source_port, destination_port, number, protocol)
            return Sent(key, flags, ANOTHER)


def _mac(model: Forwarding, number: int) -> bytes:
    return model.devices[number].mac if number in model.devices else ANOTHER


def _ipv4(sent: Sent, twist: Twist) -> bytes:
    source, destination, source_port, destination_port, _, protocol = sent.tuple
    return Segment(
        source=str(source),
        destination=str(destination),
        source_port=source_port,
        destination_port=destination_port,
        protocol=protocol,
        flags=sent.flags,
        payload=twist.payload,
        ttl=twist.ttl,
        options=twist.options,
        fragment=twist.fragment,
        version=twist.version,
        missing=twist.missing,
    ).pack()


def _ipv6(sent: Sent, twist: Twist) -> bytes:
    """Options and fragments are extension headers: of hop by hop, and of fragments."""
    source, destination, protocol = sent.tuple.source, sent.tuple.destination, sent.tuple.protocol
    transport = _transport(sent, twist)
    following, extension = protocol, b""
    if twist.options:
        following, extension = 0, bytes([protocol, 0]) + bytes(6)
    if twist.fragment:
        following, extension = 44, bytes([protocol, 0]) + pack(">HI", twist.fragment, 7)
    length = len(extension) + len(transport) - twist.missing
    version = 6 if twist.version == 4 else twist.version
    header = pack(">IHBB", version << 28 | 0x12345, max(length, 0), following, twist.ttl)
    return header + source.packed + destination.packed + extension + transport


def _transport(sent: Sent, twist: Twist) -> bytes:
    source, destination, source_port, destination_port, _, protocol = sent.tuple
    ports = pack(">HH", source_port, destination_port)
    if protocol == TCP:
        body, at = ports + pack(">IIBBHHH", 1, 0, 5 << 4, sent.flags, 64240, 0, 0) + twist.payload, 16
    else:
        body, at = ports + pack(">HH", 8 + len(twist.payload), 0) + twist.payload, 6
    pseudo = source.packed + destination.packed + pack(">II", len(body), protocol)
    return body[:at] + checksum(pseudo + body).to_bytes(2, "big") + body[at + 2 :]


def _neighbour(asked: Neighbour, to: bytes) -> bytes:
    source, target = in_six(asked.source), in_six(asked.target)
    body = bytes([asked.kind, asked.code, 0, 0]) + bytes(4) + target.packed + bytes(asked.padding)
    check = checksum(source.packed + target.packed + pack(">II", len(body), ICMPV6) + body)
    header = pack(">IHBB", 6 << 28, len(body), ICMPV6, asked.hops) + source.packed + target.packed
    return ethernet(to, ANOTHER, IPV6, header + body[:2] + check.to_bytes(2, "big") + body[4:])


def _arp(arp: Arp, to: bytes) -> bytes:
    body = ETHERNET_AND_IPV4 + pack(">H", arp.operation) + ANOTHER + arp.sender.packed + bytes(6) + arp.target.packed
    return ethernet(to, ANOTHER, ARP, body + bytes(arp.padding))


def _twisted(frame: bytes, twist: Twist) -> bytes:
    twisted = bytearray(frame)
    at = 34 if frame[12:14] == IPV4.to_bytes(2, "big") else 54
    if twist.tcp_options and len(frame) >= at + 20 and len(twist.tcp_options) <= len(frame) - at - 20:
        # In the place of payload: the transport's checksum is then wrong, and must stay as wrong.
        twisted[at + 20 : at + 20 + len(twist.tcp_options)] = twist.tcp_options
        twisted[at + 12] = (5 + len(twist.tcp_options) // 4) << 4
    if twist.ether_type is not None:
        twisted[12:14] = twist.ether_type.to_bytes(2, "big")
    for at, value in twist.bytes_at:
        twisted[at % len(twisted)] = value
    if twist.cut is not None:
        del twisted[max(twist.cut, SHORTEST) :]
    if twisted[12:14] == IPV4.to_bytes(2, "big") and twisted[20] & 0x20:
        # A first fragment passes, and leaves something behind: the model knows nothing of that.
        twisted[21] |= 1
    if twisted[12:14] == IPV6.to_bytes(2, "big"):
        twisted = twisted.ljust(SHORTEST_IPV6, b"\0")
    return bytes(twisted) + bytes(twist.padding)
