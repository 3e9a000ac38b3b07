"""What a frame is, in a line as people read it: addresses, ports, flags."""

import itertools
import struct
from ipaddress import IPv4Address, IPv6Address, ip_address

ICMP, TCP, UDP, ICMPV6 = 1, 6, 17, 58
FLAGS = "FSRPAUEW"
"""Of TCP, from the lowest bit on."""

FLAGS_AT = 13
NAMES = {ICMP: "icmp", ICMPV6: "icmp6"}


def words(data: bytes) -> str:
    """10.0.0.5:40000 > 10.0.0.100:80 tcp [S]; what is cut short is told as far as it goes."""
    try:
        return _words(data)
    except (struct.error, ValueError):
        return "cut short"


def _words(data: bytes) -> str:
    (ethertype,) = struct.unpack_from("!H", data, 12)
    match ethertype:
        case 0x0806:  # ARP
            return _arp(data[14:])
        case 0x0800:  # IPv4
            header = (data[14] & 0x0F) * 4
            protocol, _, source, target = struct.unpack_from("!BH4s4s", data, 23)
            return _transport(source, target, protocol, data[14 + header :])
        case 0x86DD:  # IPv6
            protocol, _, source, target = struct.unpack_from("!BB16s16s", data, 20)
            return _transport(source, target, protocol, data[54:])
        case _:
            return f"ethertype 0x{ethertype:04x}"


def _arp(data: bytes) -> str:
    operation, _, sender, _, target = struct.unpack_from("!H6s4s6s4s", data, 6)
    if operation == 1:
        return f"arp who has {IPv4Address(target)}, tell {IPv4Address(sender)}"
    return f"arp {IPv4Address(sender)} is here"


def _transport(source: bytes, target: bytes, protocol: int, body: bytes) -> str:
    addresses = ip_address(source), ip_address(target)
    if protocol not in (TCP, UDP):
        return f"{addresses[0]} > {addresses[1]} {NAMES.get(protocol, f'protocol {protocol}')}"
    ports = struct.unpack_from("!HH", body)
    ends = " > ".join(itertools.starmap(_at, zip(addresses, ports, strict=True)))
    if protocol == UDP:
        return f"{ends} udp"
    if len(body) <= FLAGS_AT:
        return f"{ends} tcp, cut short"
    said = body[FLAGS_AT]
    return f"{ends} tcp [{''.join(letter for bit, letter in enumerate(FLAGS) if said >> bit & 1)}]"


def _at(address: IPv4Address | IPv6Address, port: int) -> str:
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"
