"""VPCs that are really there: an account's network in a namespace, machines that answer, clients that ask."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass

from sidegate.api.endpoint.v1.endpoint_pb2 import ConnectionState, Endpoint
from sidegate.api.registry.v1.endpoint_service_pb2 import Backend, EndpointService, PortMapping
from sidegate.api.registry.v1.vpc_pb2 import NetnsTarget
from sidegate.client import Client
from tests.support.namespaces import Namespace
from tests.support.standalone import Standalone, until

CIDR = "10.0.0.0/24"
MACHINE = "10.0.0.10"
PATIENCE = 0.5
"""Seconds after which a connection attempt counts as one that does not get through."""


@dataclass
class Site:
    """A VPC of an account, attached to the gateway, with one machine at 10.0.0.10."""

    account: str
    namespace: Namespace
    vpc_id: str
    subnet_id: str
    client: Client

    async def publish(
        self, name: str, *mappings: PortMapping, approval: bool, backend: str = MACHINE
    ) -> EndpointService:
        return await self.client.services.create(
            name, self.vpc_id, [Backend(address=backend)], mappings or [tcp(80, 8080)], approval_required=approval
        )

    async def request(
        self, service: EndpointService, address: str = "", allowed: tuple[str, ...] = (), name: str = ""
    ) -> Endpoint:
        return await self.client.endpoints.create(
            service=service.full_name, subnet_id=self.subnet_id, address=address, allowed_cidrs=allowed, name=name
        )

    async def state(self, endpoint: Endpoint) -> ConnectionState.ValueType:
        return (await self.client.endpoints.get(endpoint.id)).state

    async def accepted(self, endpoint: Endpoint) -> Endpoint:
        """The endpoint once it is ACCEPTED: packets pass."""

        async def ask() -> Endpoint | None:
            found = await self.client.endpoints.get(endpoint.id)
            return found if found.state == ConnectionState.CONNECTION_STATE_ACCEPTED else None

        return (await until("the endpoint to be accepted", ask)) or endpoint


def tcp(client_port: int, server_port: int) -> PortMapping:
    return PortMapping(client_port=client_port, server_port=server_port, protocol=PortMapping.PROTOCOL_TCP)


def udp(client_port: int, server_port: int) -> PortMapping:
    return PortMapping(client_port=client_port, server_port=server_port, protocol=PortMapping.PROTOCOL_UDP)


@contextlib.asynccontextmanager
async def site(sidegate: Standalone, account: str, namespace: Namespace) -> AsyncIterator[Site]:
    """Makes an account's VPC and subnet, attaches the namespace, and gives its machine its address."""
    async with sidegate.client(account) as client, sidegate.client("operator") as operator:
        vpc = await client.vpcs.create(f"{account}-net", [CIDR])
        subnet = await client.subnets.create("main", vpc.id, CIDR)
        await operator.attachments.create(vpc.id, NetnsTarget(namespace=namespace.name))

        async def attached() -> bool:
            return "sidegate0" in namespace.devices()

        await until("the gateway's device", attached)
        namespace.add_address(f"{MACHINE}/24")
        await client.ports.create(subnet.id, "machine/main", MACHINE)
        yield Site(account, namespace, vpc.id, subnet.id, client)


@contextlib.asynccontextmanager
async def machine(
    namespace: Namespace, name: str, port: int = 8080, address: str = MACHINE
) -> AsyncIterator[list[str]]:
    """A server that says its name and then repeats what it hears; gives the source addresses that it saw."""
    sources: list[str] = []
    served: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            sources.append(writer.get_extra_info("peername")[0])
            writer.write(f"{name}\n".encode())
            with contextlib.suppress(ConnectionError):
                while line := await reader.readline():
                    writer.write(line)
        finally:  # a client that was cut off never says goodbye
            writer.transport.abort()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(serve(reader, writer))
        served.add(task)
        task.add_done_callback(served.discard)

    server = await asyncio.start_server(accept, sock=namespace.tcp_listener(address, port))
    try:
        yield sources
    finally:
        server.close()
        for task in tuple(served):
            task.cancel()
        await asyncio.gather(*served, return_exceptions=True)
        await server.wait_closed()


class Conversation:
    """One TCP connection to a machine of the kind above."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str) -> None:
        self._reader, self._writer, self.name = reader, writer, name

    async def goes_on(self, patience: float = PATIENCE) -> bool:
        """Whether what is said now is repeated within `patience` seconds."""
        self._writer.write(b"still there?\n")
        try:
            return await asyncio.wait_for(self._reader.readline(), patience) == b"still there?\n"
        except (TimeoutError, ConnectionError):
            return False

    def close(self) -> None:
        self._writer.transport.abort()


def anywhere(address: str) -> str:
    """What a client of this address binds to."""
    return "::" if ":" in address else ""


async def call(
    namespace: Namespace,
    address: str,
    port: int,
    *,
    source: str = "",
    source_port: int = 0,
    patience: float = PATIENCE,
) -> Conversation | None:
    """A conversation with whoever answers there; None if nobody does within `patience` seconds."""
    mouth, writer = namespace.tcp_socket(source or anywhere(address), source_port), None
    try:
        async with asyncio.timeout(patience):
            await asyncio.get_running_loop().sock_connect(mouth, (address, port))
            reader, writer = await asyncio.open_connection(sock=mouth)
            name = (await reader.readline()).decode().strip()
    except (TimeoutError, OSError):
        if writer is not None:  # it was cut before it was told a name
            writer.transport.abort()
        mouth.close()
        return None
    return Conversation(reader, writer, name)


async def who_answers(namespace: Namespace, address: str, port: int, patience: float = PATIENCE) -> str | None:
    """The name of the machine that answers there, None if none does."""
    conversation = await call(namespace, address, port, patience=patience)
    if conversation is None:
        return None
    conversation.close()
    return conversation.name


async def eventually_answers(namespace: Namespace, address: str, port: int) -> str:
    async def ask() -> str | None:
        return await who_answers(namespace, address, port)

    return await until(f"an answer at {address}:{port}", ask) or ""


async def ask_over_udp(namespace: Namespace, address: str, port: int, patience: float = PATIENCE) -> bytes | None:
    """What comes back for one datagram, None if nothing does."""
    loop = asyncio.get_running_loop()
    with namespace.udp_socket(anywhere(address)) as mouth:
        try:
            async with asyncio.timeout(patience):
                await loop.sock_connect(mouth, (address, port))
                await loop.sock_sendall(mouth, b"hello")
                return await loop.sock_recv(mouth, 1500)
        except (TimeoutError, OSError):
            return None


async def repeat_over_udp(ear: socket.socket, name: bytes) -> None:
    """Answers every datagram with the name and what was heard, until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        heard, source = await loop.sock_recvfrom(ear, 1500)
        await loop.sock_sendto(ear, name + b" " + heard, source)
