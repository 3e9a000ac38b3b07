"""What HAProxy is told in an annex: a configuration that knows ports, and a map that knows endpoints. Pure.

A connection comes in at the endpoint's own address and goes out to that address again, where the gateway takes it on.
So an endpoint is a line of the map, which is changed while HAProxy runs; only another port or another idle time takes
another configuration.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from services.gateway_agent.annexes import Proxied
from services.gateway_agent.table import Affinity, Timeouts

MAP = "endpoints.map"
SOCKET = "control"
CONNECT_SECONDS = 5
CLOSING_SECONDS = 30
MOST_SECONDS = 2_000_000  # HAProxy counts milliseconds in 31 bits
SEPARATOR = "|"
IPV4 = 4
SOURCES = 32
"""From so many addresses a proxy connects where clients are to be told apart by the service's affinity."""

_FIRST_SOURCES = (IPv4Address("169.254.1.0"), IPv6Address("fd73:6964:6567:6175::1:0"))


class Pool(NamedTuple):
    """What connections have in common that are kept alike."""

    timeouts: Timeouts
    affinity: Affinity
    version: int

    @property
    def name(self) -> str:
        kept = self.timeouts
        return f"v{self.version}-{self.affinity}-{kept.tcp_established}-{kept.tcp_half_open}-{kept.tcp_closed}"


@dataclass(frozen=True, slots=True)
class Process:
    """What a process may take, and as whom it works."""

    connections: int
    threads: int
    user: int
    group: int


def configuration(proxied: Collection[Proxied], process: Process) -> str:
    """The whole file; the same for whatever endpoints have these ports and settings."""
    ports = sorted({(port, each.address.version) for each in proxied for port in each.ports})
    pools = sorted({pool_of(each) for each in proxied}, key=lambda pool: pool.name)
    lines = [*_global(process), *_defaults()]
    for port, version in ports:
        lines += _frontend(port, version)
    for pool in pools:
        lines += _backend(pool)
    return "\n".join(lines) + "\n"


def map_lines(proxied: Iterable[Proxied]) -> list[str]:
    """By address of the endpoint: how its connections are kept, and what backends are told beside the client."""
    return sorted(f"{each.address} {pool_of(each).name}{SEPARATOR}{unique_id(each)}" for each in proxied)


def unique_id(proxied: Proxied) -> str:
    """The TLV of type 0x05, PP2_TYPE_UNIQUE_ID."""
    return f"marker={proxied.marker};endpoint={proxied.endpoint};vpc={proxied.vpc}"


def pool_of(proxied: Proxied) -> Pool:
    kept = Timeouts(
        tcp_established=proxied.timeouts.tcp_established,
        tcp_half_open=proxied.timeouts.tcp_half_open,
        tcp_closed=proxied.timeouts.tcp_closed,
    )
    return Pool(kept, proxied.affinity, proxied.address.version)


def sources(version: int) -> Iterator[IPv4Address | IPv6Address]:
    """The further addresses that a proxy connects from."""
    first = next(each for each in _FIRST_SOURCES if each.version == version)
    return (first + number for number in range(SOURCES))


def _global(process: Process) -> list[str]:
    return [
        "global",
        f"    maxconn {process.connections}",
        f"    nbthread {process.threads}",
        f"    uid {process.user}",
        f"    gid {process.group}",
        f"    stats socket unix@{SOCKET} mode 600 level admin expose-fd listeners",
        "    stats timeout 10s",
    ]


def _defaults() -> list[str]:
    """Of what passes nothing is logged: the gateway counts it, and the flow log tells of it."""
    return [
        "defaults",
        "    mode tcp",
        f"    timeout connect {CONNECT_SECONDS}s",
        f"    timeout client {2 * CONNECT_SECONDS}s",
        f"    timeout client-fin {CLOSING_SECONDS}s",
        "    retries 1",
    ]


def _frontend(port: int, version: int) -> list[str]:
    """Whatever address it is for that comes in is the annex's: `transparent` is what lets a process have it."""
    known = f"dst,map_ip({MAP})"
    return [
        f"frontend v{version}-{port}",
        f"    bind {_everywhere(version)}:{port} transparent{'' if version == IPV4 else ' v6only'}",
        f"    tcp-request connection reject unless {{ {known} -m found }}",
        f"    unique-id-format %[{known},field(2,{SEPARATOR})]",
        f"    use_backend %[{known},field(1,{SEPARATOR})]",
    ]


def _backend(pool: Pool) -> list[str]:
    """To where the client had connected, which from here is the gateway."""
    kept = pool.timeouts
    lines = [
        f"backend {pool.name}",
        f"    timeout connect {_seconds(min(kept.tcp_half_open or CONNECT_SECONDS, CONNECT_SECONDS))}",
        f"    timeout server {_seconds(kept.tcp_established)}",
        f"    timeout tunnel {_seconds(kept.tcp_established)}",
        f"    timeout server-fin {_seconds(kept.tcp_closed)}",
    ]
    everywhere = _everywhere(pool.version)
    told = "send-proxy-v2 proxy-v2-options unique-id"
    if pool.affinity is Affinity.NONE:
        return [*lines, f"    server gateway {everywhere} {told}"]
    lines += ["    balance source", "    hash-type consistent"]
    return lines + [
        f"    server gateway-{number} {everywhere} source {_written(source)} {told}"
        for number, source in enumerate(sources(pool.version))
    ]


def _everywhere(version: int) -> str:
    return "0.0.0.0" if version == IPV4 else "[::]"  # noqa: S104 - in a namespace where all comes from the gateway


def _written(address: IPv4Address | IPv6Address) -> str:
    """Of an IPv6 address without brackets, what is behind the last colon would be a port."""
    return f"[{address}]:0" if address.version != IPV4 else str(address)


def _seconds(number: int) -> str:
    return f"{min(number, MOST_SECONDS)}s"
