"""Ways for a client's packets to a server: plain routing, conntrack, NAT, two proxies, and an endpoint."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.gateways import forwarding
from benchmarks.processes import Failed, and_all_it_starts, child
from benchmarks.stage import (
    BULK_PORT,
    FLOOD_PORT,
    LOAD_PORT,
    ROUTERS,
    SERVER,
    TARGET,
    Stage,
    consecutive,
    join_by_routes,
    tracked_connections,
)

PORTS = (LOAD_PORT, BULK_PORT)
SOURCE_RANGE = "198.19.128.0/17"
CONNTRACK = """table ip bench {
    chain pass {
        type filter hook forward priority filter
        ct state invalid drop
    }
}
"""


@asynccontextmanager
async def routing(stage: Stage, _: Path) -> AsyncIterator[str]:
    join_by_routes(stage)
    yield str(SERVER)
    if tracked_connections(stage):
        raise Failed("plain routing tracked connections")


@asynccontextmanager
async def conntrack(stage: Stage, directory: Path) -> AsyncIterator[str]:
    """Plain routing with one rule that needs conntrack, as every firewall and container host has it."""
    rules = directory / "conntrack.nft"
    rules.write_text(CONNTRACK)
    join_by_routes(stage)
    async with child(("nft", "-f", str(rules)), namespace=stage.gateway) as nft:
        await nft.hear_all()
    yield str(SERVER)
    if not tracked_connections(stage):
        raise Failed("conntrack tracked nothing")


NAT = """table ip bench {{
    map targets {{
        type ifname . ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service
        elements = {{ {targets} }}
    }}
    chain arrive {{
        type nat hook prerouting priority dstnat
        dnat ip to iifname . ip daddr . meta l4proto . th dport map @targets
    }}
    chain leave {{
        type nat hook postrouting priority srcnat
        oifname "server" ct status dnat snat ip to 198.19.128.1-198.19.128.16
    }}
    chain pass {{
        type filter hook forward priority filter; policy drop
        ct state invalid drop
        ct status dnat accept
    }}
}}
"""


def give_proxy_addresses(stage: Stage) -> None:
    join_by_routes(stage)
    for address in consecutive(TARGET):
        stage.gateway.ip("address", "add", f"{address}/32", "dev", "client")


def haproxy_configuration() -> str:
    lines = ["global", " maxconn 4000", " nbthread 2", "defaults", " mode tcp", " timeout connect 5s"]
    lines += [" timeout client 60s", " timeout server 60s", " option splice-auto"]
    for port in PORTS:
        lines += [f"listen on-{port}", f" bind 0.0.0.0:{port}"]
        lines += [f" server s{n} {address}:{port}" for n, address in enumerate(consecutive(SERVER))]
    return "\n".join(lines) + "\n"


@asynccontextmanager
async def haproxy(stage: Stage, directory: Path) -> AsyncIterator[str]:
    configuration = directory / "haproxy.cfg"
    configuration.write_text(haproxy_configuration())
    give_proxy_addresses(stage)
    async with child(and_all_it_starts(("haproxy", "-db", "-f", str(configuration))), namespace=stage.gateway):
        yield str(TARGET)


def nginx_configuration(directory: Path) -> str:
    head = "load_module /usr/lib/nginx/modules/ngx_stream_module.so; daemon off; worker_processes 2; user root;"
    quiet = f"error_log stderr crit; pid {directory}/nginx.pid; events {{ worker_connections 4000; }}"
    streams = ""
    for port in PORTS:
        servers = " ".join(f"server {address}:{port};" for address in consecutive(SERVER))
        streams += f"upstream s{port} {{ {servers} }} server {{ listen {port} reuseport; proxy_pass s{port}; }}\n"
    return f"{head}\n{quiet}\nstream {{\n{streams}}}\n"


@asynccontextmanager
async def nginx(stage: Stage, directory: Path) -> AsyncIterator[str]:
    configuration = directory / "nginx.conf"
    configuration.write_text(nginx_configuration(directory))
    give_proxy_addresses(stage)
    command = ("nginx", "-p", str(directory), "-e", "stderr", "-c", str(configuration))
    async with child(and_all_it_starts(command), namespace=stage.gateway):
        yield str(TARGET)


@asynccontextmanager
async def nft_nat(stage: Stage, directory: Path) -> AsyncIterator[str]:
    """What an endpoint does, by maps of nftables: however many elements they have, a packet takes one look-up."""
    rules = directory / "nat.nft"
    rules.write_text(NAT.format(targets=", ".join(nat_targets())))
    give_proxy_addresses(stage)
    stage.server.ip("route", "add", SOURCE_RANGE, "via", ROUTERS["server"])
    async with child(("nft", "-f", str(rules)), namespace=stage.gateway) as nft:
        await nft.hear_all()
    yield str(TARGET)
    if not tracked_connections(stage):
        raise Failed("conntrack tracked nothing")


def nat_targets() -> Iterator[str]:
    for protocol, port in (*(("tcp", port) for port in PORTS), ("udp", FLOOD_PORT)):
        for target, server in zip(consecutive(TARGET), consecutive(SERVER), strict=True):
            yield f'"client" . {target} . {protocol} . {port} : {server} . {port}'


@asynccontextmanager
async def endpoint(stage: Stage, directory: Path, ranges: int = 0) -> AsyncIterator[str]:
    async with forwarding(stage, directory, ranges=ranges) as gateway:
        yield str(TARGET)
        await gateway.check()
