"""A real DNS server in a test: dnsmasq, which knows TXT records and refuses what it was not told of."""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from ipaddress import IPv4Address

import dns.asyncquery
import dns.exception
import dns.message

from services.common.name_servers import NameServer

HERE = IPv4Address("127.0.0.1")
DEADLINE = 20.0


@asynccontextmanager
async def name_server(
    texts: Mapping[str, str], *, zones: tuple[str, ...] = (), port: int = 0
) -> AsyncIterator[NameServer]:
    """Serves TXT records by name; in `zones` it says of all others that they are not there, elsewhere it refuses."""
    port = port or free_port()
    options = ["--keep-in-foreground", "--no-resolv", "--no-hosts", "--conf-file=", "--pid-file=", "--bind-interfaces"]
    options += ["--user=", f"--port={port}", f"--listen-address={HERE}", "--log-facility=-"]
    options += [f"--local=/{zone}/" for zone in zones]
    options += [f"--txt-record={name},{text}" for name, text in texts.items()]
    quiet = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec("dnsmasq", *options, stdout=quiet, stderr=quiet)
    try:
        await _until_it_answers(port)
        yield NameServer(HERE, port)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def free_port() -> int:
    """Free for UDP and TCP."""
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
            udp.bind((str(HERE), 0))
            port = int(udp.getsockname()[1])
            try:
                tcp.bind((str(HERE), port))
            except OSError:
                continue
            return port


async def _until_it_answers(port: int) -> None:
    async with asyncio.timeout(DEADLINE):
        while True:
            try:
                await dns.asyncquery.udp(dns.message.make_query("is.it.there.", "A"), str(HERE), port=port, timeout=0.2)
            except (OSError, dns.exception.DNSException):
                continue
            return
