"""What the model of the forwarding knows of backends that are to learn who the client is: proxies, and TOA."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from services.gateway_agent.dataplane.maps import Counter
from services.gateway_agent.table import ClientIdentity, Endpoint, PortMapping, Service
from tests.support.models.forwarding_packets import (
    CHECKSUM_AT,
    IPV4,
    IPV6,
    OPTION_END,
    OPTION_NOTHING,
    TCP,
    TRANSPORT_HEADER,
    EtherType,
    Refused,
    Tuple,
    carried,
    ether_type,
    found,
    header_checksum,
    transport_checksum,
)

OPTION_TOA = 254
MOST_OPTIONS = 40
NOTHING = bytes([OPTION_NOTHING])


class Way(NamedTuple):
    """Whose backends take a session, at which port, and what is refused where there is none."""

    service: Service
    server_port: int
    identity: ClientIdentity
    without: Counter


def way_of(services: Mapping[str, Service], endpoint: Endpoint, mapping: PortMapping) -> Way:
    """Raises Refused."""
    own = services[endpoint.service]
    if mapping.identity is not ClientIdentity.PROXY:
        return Way(own, mapping.server_port, mapping.identity, Counter.REFUSED_NO_BACKEND)
    if endpoint.proxy == own.id:
        return Way(own, mapping.server_port, ClientIdentity.NONE, Counter.REFUSED_NO_BACKEND)
    if not endpoint.proxy:
        raise Refused(Counter.REFUSED_NO_PROXY)
    for each in services[endpoint.proxy].ports:
        if (each.client_port, each.protocol) == (mapping.client_port, mapping.protocol):
            return Way(services[endpoint.proxy], each.server_port, ClientIdentity.PROXY, Counter.REFUSED_NO_PROXY)
    raise Refused(Counter.REFUSED_NO_PROXY)


def introduced(frame: bytes, client: Tuple) -> tuple[bytes, Counter]:
    """A SYN with the client in its options, if it ends with them and they leave room; without any that it has said
    itself. Raises Refused."""
    ip = IPV6 if ether_type(frame) == EtherType.IPV6 else IPV4
    at, header = ip.transport, 4 * (frame[ip.transport + 12] >> 4)
    if ip.payload(frame) < header:
        raise Refused(Counter.REFUSED_MALFORMED)
    said = frame[at + TRANSPORT_HEADER[TCP] : at + header]
    packed = client.source.packed
    ours = bytes([OPTION_TOA, 4 + len(packed)]) + client.source_port.to_bytes(2, "big") + packed
    options, rest = b"".join(_believable(said)), frame[at + header :]
    fits = ip.payload(frame) == header and len(options + ours) <= MOST_OPTIONS
    if fits:
        options, rest = options + ours, b""
    out = bytearray(frame[: at + TRANSPORT_HEADER[TCP]] + options + rest)
    out[at + 12] = (TRANSPORT_HEADER[TCP] + len(options)) << 2 | frame[at + 12] & 15
    length_at = 18 if ip is IPV6 else 16
    out[length_at : length_at + 2] = (found(frame, length_at) + len(options) - len(said)).to_bytes(2, "big")
    if ip is IPV4:
        out[24:26] = carried(found(frame, 24), header_checksum(frame), header_checksum(out))
    sum_at = at + CHECKSUM_AT[TCP]
    sums = transport_checksum(frame, ip), transport_checksum(out, ip)
    out[sum_at : sum_at + 2] = carried(found(frame, sum_at), *sums)
    return bytes(out), Counter.TOA_ADDED if fits else Counter.TOA_LEFT_OUT


def _believable(options: bytes) -> Iterator[bytes]:
    """Option by option; from where the list ends, or cannot be read, to its last byte nothing but padding."""
    while options:
        kind, length = options[0], 1
        if kind != OPTION_NOTHING:
            length = options[1] if kind != OPTION_END and len(options) > 1 else 0
        if not ((length == 1 and kind == OPTION_NOTHING) or 2 <= length <= len(options)):
            yield NOTHING * len(options)
            return
        yield NOTHING * length if kind == OPTION_TOA else options[:length]
        options = options[length:]
