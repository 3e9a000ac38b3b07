"""An endpoint with what belongs to it, as far as its owner may read of it."""

from dataclasses import dataclass
from ipaddress import ip_address
from uuid import UUID

from sidegate import errors
from sidegate.api.endpoint.v1.endpoint_pb2 import Endpoint
from sidegate.api.registry.v1.endpoint_service_pb2 import ConnectableService, EndpointService, PortMapping
from sidegate.api.registry.v1.vpc_pb2 import RouteTable, Subnet, Vpc
from sidegate.client import Client

PLAIN_HTTP, OVER_TLS = frozenset({80, 3000, 5000, 8000, 8008, 8080, 8081, 8888, 9000, 9090}), frozenset({443, 8443})


@dataclass(frozen=True, slots=True)
class Way:
    """How a client tries a port: a command, and the address or name that it is told."""

    port: int
    protocol: str
    command: str


@dataclass(frozen=True, slots=True)
class Known:
    """`service` is none where it may not be connected to any more, or is gone."""

    endpoint: Endpoint
    service: ConnectableService | None
    vpc: Vpc | None
    subnet: Subnet | None
    tables: tuple[RouteTable, ...] = ()

    @property
    def by_routes(self) -> bool:
        return self.endpoint.type == EndpointService.SERVICE_TYPE_GATEWAY

    @property
    def ways(self) -> list[Way]:
        """To its name where one is answered, else to its address; none of one that is reached by routes."""
        named = self.endpoint.dns.status and self.endpoint.dns_names
        host = self.endpoint.dns_names[-1] if named else self.endpoint.address
        mappings = self.service.port_mappings if self.service and host else ()
        return [way(host, each) for each in mappings]


def ports_of(service: ConnectableService) -> list[str]:
    """As people write them: tcp/80."""
    return [f"{_protocol(each)}/{each.client_port}" for each in service.port_mappings]


def way(host: str, mapping: PortMapping) -> Way:
    protocol = _protocol(mapping)
    port, where = mapping.client_port, f"[{host}]" if _is_ipv6(host) else host
    if protocol == "udp":
        command = f"nc -u {host} {port}"
    elif port in OVER_TLS:
        command = f"curl https://{where}" + (f":{port}/" if port != 443 else "/")
    elif port in PLAIN_HTTP:
        command = f"curl http://{where}" + (f":{port}/" if port != 80 else "/")
    else:
        command = f"curl -v telnet://{where}:{port}"
    return Way(port, protocol, command)


async def read(client: Client, id_: str) -> Known:
    """Raises NotFound."""
    endpoint = await get(client, id_)
    return Known(
        endpoint,
        await _service(client, endpoint.service),
        await _vpc(client, endpoint.vpc_id),
        await _subnet(client, endpoint.subnet_id),
        tuple([await client.route_tables.get(each) for each in endpoint.route_tables]),
    )


async def get(client: Client, id_: str) -> Endpoint:
    """Raises NotFound, for what is no id, too."""
    try:
        UUID(id_)
    except ValueError:
        raise errors.NotFound(f"there is no endpoint {id_[:64]}", reason="NOT_FOUND") from None
    return await client.endpoints.get(id_)


async def _service(client: Client, id_: str) -> ConnectableService | None:
    try:
        return await client.services.lookup(id_)
    except errors.NotFound:
        return None


async def _vpc(client: Client, id_: str) -> Vpc | None:
    try:
        return await client.vpcs.get(id_)
    except errors.NotFound:
        return None


async def _subnet(client: Client, id_: str) -> Subnet | None:
    try:
        return await client.subnets.get(id_) if id_ else None
    except errors.NotFound:
        return None


def _protocol(mapping: PortMapping) -> str:
    return "udp" if mapping.protocol == PortMapping.PROTOCOL_UDP else "tcp"


def _is_ipv6(host: str) -> bool:
    try:
        return ip_address(host).version == 6
    except ValueError:
        return False
