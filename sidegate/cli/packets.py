"""Options that say which packet is meant: from whom, to which port, of which protocol."""

import re
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address
from typing import Annotated

import typer

from sidegate.api.endpoint.v1.packet_trace_pb2 import Opening

HIGHEST_PORT = 65535
CLIENTS = (r"\[([^\[\]]+)\](?::(\d{1,5}))?", r"([^:]+)(?::(\d{1,5}))?", r"([^\[\]]+)()")
"""With an IPv6 address a port needs brackets."""


@dataclass(frozen=True, slots=True)
class Client:
    """An address, and a port; 0 is any."""

    address: str
    port: int = 0


def client(text: str) -> Client:
    """IP[:PORT], or [IPV6]:PORT."""
    found = next((found for form in CLIENTS if (found := re.fullmatch(form, text))), None)
    try:
        address, port = str(ip_address(found[1] if found else "")), int((found and found[2]) or 0)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no client: IP[:PORT], such as 10.0.0.5:40000") from None
    if port > HIGHEST_PORT:
        raise typer.BadParameter(f"{text!r}: ports go up to {HIGHEST_PORT}")
    return Client(address, port)


def address(text: str) -> str:
    try:
        return str(ip_address(text)) if text else ""
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no address") from None


class Transport(StrEnum):
    """What a packet is of."""

    TCP = "tcp"
    UDP = "udp"


FromClient = Annotated[
    Client,
    typer.Option("--from", metavar="IP[:PORT]", parser=client, help="The client's address in its VPC; else any port."),
]
ToPort = Annotated[
    int,
    typer.Option(metavar="PORT", min=0, max=HIGHEST_PORT, help="The endpoint's port; else the first published one."),
]
ToAddress = Annotated[
    str,
    typer.Option(
        "--to",
        metavar="IP",
        parser=address,
        help="Of an endpoint with routes, the address that it is sent to; else the first that they allow.",
    ),
]
OfProtocol = Annotated[Transport, typer.Option("--protocol", help="A SYN of TCP, or a datagram of UDP.")]


def opening(client: Client, port: int, protocol: Transport, to: str = "") -> Opening:
    """The packet that the options say."""
    return Opening(source=client.address, source_port=client.port, port=port, protocol=protocol.value, destination=to)
